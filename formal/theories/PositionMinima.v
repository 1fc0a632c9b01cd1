(** * Position minima: the worst token at every position

    Sequences with last token q and maximum y fall into boxes: if q < y, by the first position j that holds y
    (tokens before j are below y, those after j and before the last are at most y); if q = y, all tokens are at most y
    and there is a single box. If for every rival o the minima of the terms over the tokens that the box allows, summed
    over positions, are positive, then every sequence of the box is right. A positive factor per rival changes nothing.

    The kernel's rule certifies moves, not boxes: the move "first y at j" lies on the path of box j only, and a move
    "below y" or "y seen" is certified only if every box through it is. So the sequences with a certified move are
    those of the certified boxes, and both count the same.

    Source: `pessimal.kernel.rules.position_minima`; programs of `pessimal.kernel.strata.strata` for Max-of-K.

    Contents:
      allowed, in_box — the boxes.
      box_is_class, box_unique — a sequence is in one box at most, that of its last token and its maximum.
      position_minima — the theorem. *)

From Coq Require Import Reals ZArith Bool Arith Lra Lia.
From Pessimal Require Import Statement Sums TableForm.
Open Scope nat_scope.

(** Number of boxes of stratum (q, y) of sequences of K tokens. *)
Definition n_boxes (K q y : nat) : nat := if q =? y then 1 else if q <? y then K - 1 else 0.

(** Tokens that box j of stratum (q, y) allows in position i. *)
Definition allowed (K q y j i t : nat) : bool :=
  if i =? K - 1 then t =? q
  else if q =? y then t <=? y
  else if i <? j then t <? y
  else if i =? j then t =? y
  else t <=? y.

Definition in_box (K q y j : nat) (x : nat -> nat) : Prop := forall i, i < K -> allowed K q y j i (x i) = true.

Ltac tests := repeat match goal with
  | |- context [?a =? ?b] => destruct (Nat.eqb_spec a b)
  | |- context [?a <=? ?b] => destruct (Nat.leb_spec a b)
  | |- context [?a <? ?b] => destruct (Nat.ltb_spec a b)
  | H : context [?a =? ?b] |- _ => destruct (Nat.eqb_spec a b)
  | H : context [?a <=? ?b] |- _ => destruct (Nat.leb_spec a b)
  | H : context [?a <? ?b] |- _ => destruct (Nat.ltb_spec a b)
  end.

Lemma box_is_class K q y j x : 0 < K -> j < n_boxes K q y -> in_box K q y j x ->
  x (K - 1) = q /\ largest x K = y.
Proof.
  intros HK Hj H. assert (Hq : x (K - 1) = q).
  { specialize (H (K - 1) ltac:(lia)). unfold allowed in H. tests; congruence || lia. }
  split; [exact Hq|]. unfold n_boxes in Hj. apply Nat.le_antisymm.
  - apply largest_le. intros i Hi. specialize (H i Hi). unfold allowed in H. tests; subst; discriminate || lia.
  - destruct (Nat.eq_dec q y) as [E|E].
    + rewrite <- E, <- Hq. apply largest_ge. lia.
    + assert (Hn : j < K - 1) by (tests; lia). specialize (H j ltac:(lia)). unfold allowed in H.
      assert (x j = y) as <- by (tests; discriminate || lia). apply largest_ge. lia.
Qed.

Lemma box_unique K q y j q' y' j' x : 0 < K -> j < n_boxes K q y -> j' < n_boxes K q' y' ->
  in_box K q y j x -> in_box K q' y' j' x -> q = q' /\ y = y' /\ j = j'.
Proof.
  intros HK Hj Hj' H H'. destruct (box_is_class _ _ _ _ _ HK Hj H) as [Eq Ey].
  destruct (box_is_class _ _ _ _ _ HK Hj' H') as [Eq' Ey']. subst q' y'. rewrite Eq, Ey in *.
  repeat split. unfold n_boxes in *. destruct (Nat.eqb_spec q y) as [E|E]; [lia|].
  destruct (Nat.ltb_spec q y); [|lia].
  destruct (lt_eq_lt_dec j j') as [[L| ->]|L]; [|reflexivity|]; exfalso.
  - pose proof (H j ltac:(lia)) as A. pose proof (H' j ltac:(lia)) as B. unfold allowed in A, B.
    tests; try discriminate; lia.
  - pose proof (H j' ltac:(lia)) as A. pose proof (H' j' ltac:(lia)) as B. unfold allowed in A, B.
    tests; try discriminate; lia.
Qed.

Open Scope R_scope.

Section Soundness.
  Variable M : model.
  Let K := k M.
  Let v := d_vocab M.

  (** A right margin, position by position: any lower bounds of the terms with a positive sum. *)
  Lemma positive_terms x c least : (0 < K)%nat -> 0 < c ->
    let q := x (last M) in let y := largest x K in
    forall o, (forall i, (i < K)%nat -> least i <= c * term M q y o i (x i)) -> 0 < sum least K ->
    logit M x o < logit M x y.
  Proof.
    intros HK Hc q y o Hl Hs. pose proof (separable M x y o HK) as S. fold K q in S.
    pose proof (denominator_positive M x HK) as HZ. pose proof (sum_le _ _ _ Hl) as L. rewrite sum_scale in L.
    rewrite <- S in L. assert (0 < c * ((logit M x y - logit M x o) * denominator M x)) as P by lra.
    assert (0 < (logit M x y - logit M x o) * denominator M x) as P2 by (apply Rmult_lt_reg_l with c; lra).
    assert (0 < logit M x y - logit M x o) by (apply Rmult_lt_reg_r with (denominator M x); lra). lra.
  Qed.

  (** [least o i] is a lower bound of c times the terms of rival o in position i. *)
  Theorem position_minima q y j (c : nat -> R) (least : nat -> nat -> R) :
    (0 < K)%nat -> (j < n_boxes K q y)%nat ->
    (forall o, (o < v)%nat -> o <> y -> 0 < c o /\ 0 < sum (least o) K /\
      forall i t, (i < K)%nat -> (t < v)%nat -> allowed K q y j i t = true -> least o i <= c o * term M q y o i t) ->
    forall x, (forall i, (i < K)%nat -> (x i < v)%nat) -> in_box K q y j x -> correct M x.
  Proof.
    intros HK Hj H x Hx Hb o Ho Hne. change (k M) with K in Hne |- *.
    destruct (box_is_class _ _ _ _ _ HK Hj Hb) as [Eq Ey].
    rewrite Ey in Hne. destruct (H o Ho Hne) as (Hc & Hs & Hl). apply positive_terms with (c o) (least o); auto.
    intros i Hi. fold K. unfold last. fold K. rewrite Eq, Ey. apply Hl; auto.
  Qed.
End Soundness.
