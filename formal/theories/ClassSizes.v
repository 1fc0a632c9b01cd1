(** * Class sizes: how many sequences the certified boxes hold

    Box j of stratum (q, y), q < y, holds y^j (y+1)^(K-2-j) sequences, the one box of q = y holds (y+1)^(K-1); the
    stratum with last token q and maximum y has (y+1)^(K-1) - y^(K-1) of them, or (y+1)^(K-1) if q = y. Boxes are
    disjoint, so the sizes of those in which every sequence is right add up to at most the number of right sequences.

    Source: `pessimal.kernel.strata.strata` (sizes of strata), `pessimal.kernel.strata.weighing` (weights of moves).

    Contents:
      count — how many members of a list pass a test.
      count_fits — sequences that pass a test position by position: a product.
      box_size, box_size_closed, class_size — the numbers above.
      certified_boxes_count — the sum is a lower bound of [count_correct]. *)

From Coq Require Import Reals ZArith List Bool Arith Lia.
From Pessimal Require Import Statement Sums PositionMinima.
Import ListNotations.
Open Scope Z_scope.

Definition count {A : Type} (p : A -> bool) (l : list A) : Z := Z.of_nat (length (filter p l)).
Definition one (b : bool) : Z := if b then 1 else 0.

Lemma count_cons {A} (p : A -> bool) a l : count p (a :: l) = one (p a) + count p l.
Proof. unfold count, one. cbn [filter]. destruct (p a); cbn [length]; lia. Qed.

Lemma count_app {A} (p : A -> bool) l m : count p (l ++ m) = count p l + count p m.
Proof. unfold count. rewrite filter_app, app_length. lia. Qed.

Lemma count_le {X} (p r : X -> bool) l : (forall s, In s l -> p s = true -> r s = true) -> count p l <= count r l.
Proof.
  induction l as [|s l IH]; intros H; [unfold count; simpl; lia|]. rewrite !count_cons.
  assert (count p l <= count r l) by (apply IH; intros; apply H; simpl; auto).
  destruct (p s) eqn:E; [rewrite (H s (or_introl eq_refl) E); unfold one; lia|]. destruct (r s); unfold one; lia.
Qed.

Lemma count_map {X Y} (h : X -> Y) p l : count p (map h l) = count (fun s => p (h s)) l.
Proof. induction l as [|s l IH]; [reflexivity|]. cbn [map]. now rewrite !count_cons, IH. Qed.

Lemma count_nonneg {X} (p : X -> bool) l : 0 <= count p l.
Proof. unfold count. lia. Qed.

Lemma count_none {A} (f : A -> bool) l : (forall s, In s l -> f s = false) -> count f l = 0.
Proof. induction l as [|s l IH]; intros H; [reflexivity|]. rewrite count_cons, (H s), IH; simpl; auto with datatypes.
  Qed.

Lemma count_ext {A} (f g : A -> bool) l : (forall s, In s l -> f s = g s) -> count f l = count g l.
Proof. induction l as [|s l IH]; intros H; [reflexivity|]. rewrite !count_cons, (H s), IH; auto with datatypes. Qed.

Fixpoint prodZ (f : nat -> Z) (n : nat) : Z := match n with O => 1 | S m => prodZ f m * f m end.

Lemma prodZ_ext f g n : (forall i, (i < n)%nat -> f i = g i) -> prodZ f n = prodZ g n.
Proof. induction n; simpl; intros H; [reflexivity|]. rewrite IHn, H by auto with arith. reflexivity. Qed.

Lemma prodZ_first f n : prodZ f (S n) = f O * prodZ (fun i => f (S i)) n.
Proof. induction n as [|n IH]; [cbn [prodZ]; ring|]. change (prodZ f (S (S n))) with (prodZ f (S n) * f (S n)).
  rewrite IH. cbn [prodZ]. ring. Qed.

Lemma prodZ_constant c n : prodZ (fun _ => c) n = c ^ Z.of_nat n.
Proof. induction n; [reflexivity|]. cbn [prodZ]. rewrite IHn, Nat2Z.inj_succ, Z.pow_succ_r by lia. ring. Qed.

(** Every token passes the test of its position. *)
Fixpoint fits (p : nat -> nat -> bool) (s : list nat) : bool :=
  match s with [] => true | t :: r => p O t && fits (fun i => p (S i)) r end.

Lemma fits_spec s : forall p, fits p s = true <-> forall i, (i < length s)%nat -> p i (token s i) = true.
Proof.
  induction s as [|t r IH]; intros p; simpl; [split; intros; [lia|reflexivity]|].
  rewrite andb_true_iff, IH. split.
  - intros [H0 H] [|i] Hi; [exact H0|]. apply H. lia.
  - intros H. split; [apply (H O); lia|]. intros i Hi. apply (H (S i)). lia.
Qed.

Lemma count_fits v n : forall p, count (fits p) (sequences n v) = prodZ (fun i => count (p i) (seq 0 v)) n.
Proof.
  induction n as [|n IH]; intros p; [reflexivity|]. rewrite prodZ_first. cbn [sequences].
  rewrite <- (IH (fun i => p (S i))). generalize (seq 0 v) as ts. induction ts as [|t ts IHt]; [reflexivity|].
  cbn [flat_map]. rewrite count_app, IHt, count_cons, Z.mul_add_distr_r. f_equal.
  generalize (sequences n v) as l. induction l as [|s l IHl]; [unfold count; cbn [map filter length]; lia|].
  cbn [map]. rewrite !count_cons, IHl. cbn [fits]. destruct (p O t), (fits (fun i => p (S i)) s); unfold one, andb; lia.
Qed.

Lemma count_seq_S (p : nat -> bool) v : count p (seq 0 (S v)) = count p (seq 0 v) + one (p v).
Proof. rewrite seq_S, count_app, count_cons. change (count p []) with 0. rewrite Nat.add_0_l. lia. Qed.

Lemma count_below y v : count (fun t => t <? y)%nat (seq 0 v) = Z.of_nat (Nat.min y v).
Proof. induction v; [rewrite Nat.min_0_r; reflexivity|]. rewrite count_seq_S, IHv. cbv beta.
  destruct (Nat.ltb_spec v y); unfold one; lia. Qed.

Lemma count_upto y v : count (fun t => t <=? y)%nat (seq 0 v) = Z.of_nat (Nat.min (S y) v).
Proof. induction v; [rewrite Nat.min_0_r; reflexivity|]. rewrite count_seq_S, IHv. cbv beta.
  destruct (Nat.leb_spec v y); unfold one; lia. Qed.

Lemma count_equal y v : count (fun t => t =? y)%nat (seq 0 v) = one (y <? v)%nat.
Proof.
  induction v; [reflexivity|]. rewrite count_seq_S, IHv. cbv beta.
  destruct (Nat.eqb_spec v y), (Nat.ltb_spec y v), (Nat.ltb_spec y (S v)); unfold one; lia.
Qed.

(** Number of tokens that box j of stratum (q, y) allows in position i; and of its sequences. *)
Definition width (K q y j i : nat) : Z :=
  if (i =? K - 1)%nat then 1
  else if (q =? y)%nat then Z.of_nat y + 1
  else if (i <? j)%nat then Z.of_nat y
  else if (i =? j)%nat then 1
  else Z.of_nat y + 1.

Definition box_size (K q y j : nat) : Z := prodZ (width K q y j) K.

Lemma box_size_counts K q y j v : (q < v)%nat -> (y < v)%nat ->
  count (fits (allowed K q y j)) (sequences K v) = box_size K q y j.
Proof.
  intros Hq Hy. rewrite count_fits. apply prodZ_ext. intros i Hi. unfold allowed, width.
  destruct (i =? K - 1)%nat; [rewrite count_equal; destruct (Nat.ltb_spec q v); [reflexivity|lia]|].
  destruct (q =? y)%nat; [rewrite count_upto; lia|]. destruct (i <? j)%nat; [rewrite count_below; lia|].
  destruct (i =? j)%nat; [rewrite count_equal; destruct (Nat.ltb_spec y v); [reflexivity|lia]|].
  rewrite count_upto; lia.
Qed.

Lemma box_size_last n q y j : box_size (S n) q y j = prodZ (width (S n) q y j) n.
Proof. unfold box_size. cbn [prodZ]. unfold width at 2. replace (S n - 1)%nat with n by lia. rewrite Nat.eqb_refl. lia.
  Qed.

Theorem box_size_closed n q y j : (j < n_boxes (S n) q y)%nat -> box_size (S n) q y j =
  if (q =? y)%nat then (Z.of_nat y + 1) ^ Z.of_nat n
  else Z.of_nat y ^ Z.of_nat j * (Z.of_nat y + 1) ^ Z.of_nat (n - 1 - j).
Proof.
  intros Hj. rewrite box_size_last. unfold n_boxes in Hj. destruct (Nat.eqb_spec q y) as [E|E].
  - rewrite <- prodZ_constant. apply prodZ_ext. intros i Hi. unfold width. tests; lia.
  - assert (Hn : (j < n)%nat) by (tests; lia). clear Hj.
    rewrite (prodZ_ext _ (fun i => if (i <? j)%nat then Z.of_nat y else if (i =? j)%nat then 1 else Z.of_nat y + 1)).
    2:{ intros i Hi. unfold width. tests; lia. }
    induction n as [|n IH]; [lia|]. cbn [prodZ]. destruct (Nat.eq_dec j n) as [->|].
    + rewrite Nat.ltb_irrefl, Nat.eqb_refl, <- prodZ_constant. replace (S n - 1 - n)%nat with O by lia.
      change (_ ^ Z.of_nat 0) with 1. f_equal. apply prodZ_ext. intros i Hi. tests; lia.
    + rewrite IH by lia. replace (Z.of_nat (S n - 1 - j)) with (Z.succ (Z.of_nat (n - 1 - j))) by lia.
      rewrite Z.pow_succ_r by lia. tests; lia.
Qed.

(** Size of stratum (q, y): last token q, maximum y. *)
Theorem class_size n q y : (q <= y)%nat -> sumZ (box_size (S n) q y) (n_boxes (S n) q y) =
  if (q =? y)%nat then (Z.of_nat y + 1) ^ Z.of_nat n
  else (Z.of_nat y + 1) ^ Z.of_nat n - Z.of_nat y ^ Z.of_nat n.
Proof.
  intros Hq. rewrite (sumZ_ext _ _ _ (box_size_closed n q y)). unfold n_boxes.
  destruct (Nat.eqb_spec q y); [simpl; lia|].
  destruct (Nat.ltb_spec q y); [|lia]. replace (S n - 1)%nat with n by lia. clear.
  induction n as [|n IH]; [simpl; lia|]. cbn [sumZ].
  rewrite (sumZ_ext _ (fun j => Z.of_nat y ^ Z.of_nat j * (Z.of_nat y + 1) ^ Z.of_nat (n - 1 - j) * (Z.of_nat y + 1))).
  2:{ intros j Hj. replace (Z.of_nat (S n - 1 - j)) with (Z.succ (Z.of_nat (n - 1 - j))) by lia.
  rewrite Z.pow_succ_r; lia. }
  rewrite sumZ_scale_r, IH. replace (S n - 1 - n)%nat with O by lia. rewrite Nat2Z.inj_succ, !Z.pow_succ_r by lia.
  change (_ ^ Z.of_nat 0) with 1. lia.
Qed.

(** Adding up boxes in which every sequence is right. *)
Section Certified.
  Variables (M : model) (certified : nat -> nat -> nat -> bool).
  Let K := k M.
  Let v := d_vocab M.
  Hypothesis HK : (0 < K)%nat.
  Hypothesis right : forall q y j, (q < v)%nat -> (y < v)%nat -> (j < n_boxes K q y)%nat -> certified q y j = true ->
    forall x, (forall i, (i < K)%nat -> (x i < v)%nat) -> in_box K q y j x -> correct M x.

  Definition over_boxes (f : nat -> nat -> nat -> Z) : Z :=
    sumZ (fun q => sumZ (fun y => sumZ (fun j => if certified q y j then f q y j else 0) (n_boxes K q y)) v) v.

  Lemma over_boxes_ext f g : (forall q y j, (q < v)%nat -> (y < v)%nat -> f q y j = g q y j) ->
    over_boxes f = over_boxes g.
  Proof. intros H. apply sumZ_ext; intros q Hq. apply sumZ_ext; intros y Hy. apply sumZ_ext; intros j _.
    rewrite H; auto. Qed.

  Lemma over_boxes_plus f g : over_boxes (fun q y j => f q y j + g q y j) = over_boxes f + over_boxes g.
  Proof.
    unfold over_boxes. rewrite <- sumZ_plus. apply sumZ_ext; intros q _. rewrite <- sumZ_plus.
    apply sumZ_ext; intros y _.
    rewrite <- sumZ_plus. apply sumZ_ext; intros j _. destruct (certified q y j); lia.
  Qed.

  Lemma one_sequence s : In s (sequences K v) ->
    over_boxes (fun q y j => one (fits (allowed K q y j) s)) <= one (is_correct M (token s)).
  Proof.
    intros [Hl Hf]%in_sequences.
    assert (Hb : forall q y j, fits (allowed K q y j) s = true <-> in_box K q y j (token s)).
    { intros. rewrite fits_spec, Hl. reflexivity. }
    set (f := fun q y j => if certified q y j then one (fits (allowed K q y j) s) else 0).
    assert (Hpos : forall q y j, 0 < f q y j -> certified q y j = true /\ in_box K q y j (token s)).
    { intros q y j. unfold f. rewrite <- Hb. destruct (certified q y j); [|lia].
      destruct (fits _ s); [auto|simpl; lia]. }
    assert (Hnonneg : forall q y j, 0 <= f q y j).
    { intros. unfold f. destruct (certified q y j); [|lia]. destruct (fits _ s); simpl; lia. }
    assert (Hone : 0 <= one (is_correct M (token s))) by (destruct (is_correct _ _); simpl; lia).
    assert (Hmax : forall q y j, (q < v)%nat -> (y < v)%nat -> (j < n_boxes K q y)%nat ->
      f q y j <= one (is_correct M (token s))).
    { intros q y j Hq Hy Hj. destruct (Z_lt_le_dec 0 (f q y j)) as [H|H]; [|lia]. destruct (Hpos _ _ _ H) as [Hc Hin].
      assert (is_correct M (token s) = true) as ->.
      { apply is_correct_spec. apply (right q y j Hq Hy Hj Hc); [|exact Hin].
        intros i Hi. rewrite Forall_forall in Hf. apply Hf, nth_In. lia. }
      unfold f. rewrite Hc. destruct (fits _ s); simpl; lia. }
    change (sumZ (fun q => sumZ (fun y => sumZ (f q y) (n_boxes K q y)) v) v <= one (is_correct M (token s))).
    apply sumZ_only; [exact Hone| |].
    - intros q Hq. split; [apply sumZ_nonneg; intros; apply sumZ_nonneg; intros; apply Hnonneg|].
      apply sumZ_only; [exact Hone| |].
      + intros y Hy. split; [apply sumZ_nonneg; intros; apply Hnonneg|].
        apply sumZ_only; [exact Hone|auto|]. intros j j' Hj Hj' [_ H]%Hpos [_ H']%Hpos.
        apply (box_unique K q y j q y j' (token s) HK Hj Hj' H H').
      + intros y y' Hy Hy' (j & Hj & [_ H]%Hpos)%sumZ_found (j' & Hj' & [_ H']%Hpos)%sumZ_found.
        apply (box_unique K q y j q y' j' (token s) HK Hj Hj' H H').
    - intros q q' Hq Hq' (y & Hy & (j & Hj & [_ H]%Hpos)%sumZ_found)%sumZ_found
        (y' & Hy' & (j' & Hj' & [_ H']%Hpos)%sumZ_found)%sumZ_found.
      apply (box_unique K q y j q' y' j' (token s) HK Hj Hj' H H').
  Qed.

  Theorem certified_boxes_count : over_boxes (box_size K) <= count_correct M.
  Proof.
    rewrite (over_boxes_ext _ (fun q y j => count (fits (allowed K q y j)) (sequences K v))).
    2:{ intros. symmetry. now apply box_size_counts. }
    unfold count_correct. fold K v. fold (count (fun s => is_correct M (token s)) (sequences K v)).
    assert (H : forall s, In s (sequences K v) -> In s (sequences K v)) by auto. revert H.
    generalize (sequences K v) at 1 3 4 as l. induction l as [|s l IH]; intros H.
    - unfold over_boxes, count. simpl. rewrite (sumZ_ext _ (fun _ => 0)); [rewrite sumZ_zero; lia|].
      intros q _. rewrite (sumZ_ext _ (fun _ => 0)); [apply sumZ_zero|]. intros y _.
      rewrite (sumZ_ext _ (fun _ => 0)); [apply sumZ_zero|]. intros j _. now destruct (certified q y j).
    - rewrite (over_boxes_ext _ (fun q y j => one (fits (allowed K q y j) s) + count (fits (allowed K q y j)) l)).
      2:{ intros. apply count_cons. }
      rewrite over_boxes_plus, count_cons. pose proof (one_sequence s (H s (or_introl eq_refl))).
      specialize (IH (fun r Hr => H r (or_intror Hr))). lia.
  Qed.
End Certified.
