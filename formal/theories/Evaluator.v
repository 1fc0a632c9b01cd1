(** * The evaluator of position minima

    [certified_count D power shift] computes the tables of a model with dyadic weights, lower bounds of the terms, their
    minima position by position, and adds up the sizes of the boxes that are certified against every rival. The powers
    and the shift say how finely to round; they are hints, and the theorem

        certified_count D power shift <= count_correct (real_model D)

    holds for all of them.

    Source: `pessimal.kernel.rules.position_minima`.

    Contents:
      lower — lower bound of a term; scan — minima over tokens; bounds — sums over positions, box by box.
      survivors — boxes certified against all rivals.
      certified_count, certified_count_correct — the count and its theorem. *)

From Coq Require Import ZArith Reals List Bool Arith Lra Lia.
From Bignums Require Import BigZ.
From Pessimal Require Import Statement Sums TableForm PositionMinima ClassSizes Exponential Tables.
Import ListNotations.
Open Scope R_scope.

Notation pair_at i l := (nth i l (0, 0)%bigZ).
Notation row_at i L := (nth i L []).

Lemma val_leb x y : (x <=? y)%bigZ = true <-> val x <= val y.
Proof. rewrite BigZ.spec_leb, Z.leb_le. unfold val. split; [apply IZR_le|apply le_IZR]. Qed.

Lemma val_min x y : val (BigZ.min x y) = Rmin (val x) (val y).
Proof.
  unfold val. rewrite BigZ.spec_min. unfold Rmin. destruct (Rle_dec _ _) as [H|H].
  - apply le_IZR in H. now rewrite Z.min_l.
  - rewrite Z.min_r; [reflexivity|]. apply Rnot_le_lt, lt_IZR in H. lia.
Qed.

(** Weight bounds w, logits y and o rounded down, `ahead` the direct margin: bound of weight times margin. *)
Definition lower (ahead : bigZ) (w : bigZ * bigZ) (y o : bigZ) : bigZ :=
  let d := (y - o + ahead)%bigZ in if (0 <=? d)%bigZ then (fst w * d)%bigZ else (snd w * d)%bigZ.

Lemma lower_correct ahead w y o x d : 0 < x -> val (fst w) <= x <= val (snd w) ->
  val y - val o + val ahead <= d -> val (lower ahead w y o) <= x * d.
Proof.
  intros Hx [W1 W2] Hd. unfold lower. rewrite <- val_sub, <- val_add in Hd. set (u := (y - o + ahead)%bigZ) in *.
  destruct (0 <=? u)%bigZ eqn:E; rewrite val_mul.
  - apply val_leb in E. change (val 0%bigZ) with 0 in E. nra.
  - assert (val u < 0). { apply Rnot_le_lt. intros H. apply (val_leb 0%bigZ u) in H. congruence. } nra.
Qed.

(** Smallest bound over the first n tokens (with [acc]), and the bound of token n. *)
Fixpoint scan (ahead : bigZ) (n : nat) (ws : list (bigZ * bigZ)) (ys os : row) (acc : option bigZ) : option bigZ *
  bigZ :=
  match ws, ys, os with
  | w :: ws', y :: ys', o :: os' =>
      let g := lower ahead w y o in
      match n with
      | O => (acc, g)
      | S n' => scan ahead n' ws' ys' os' (Some match acc with None => g | Some m => BigZ.min m g end)
      end
  | _, _, _ => (acc, 0%bigZ)
  end.

Definition token_bound (ahead : bigZ) (ws : list (bigZ * bigZ)) (ys os : row) (t : nat) : bigZ :=
  lower ahead (pair_at t ws) (at_ t ys) (at_ t os).

Definition at_most (a : option bigZ) (r : R) : Prop := exists m, a = Some m /\ val m <= r.

Lemma scan_correct ahead n : forall ws ys os acc,
  (n < length ws)%nat -> (n < length ys)%nat -> (n < length os)%nat ->
  let r := scan ahead n ws ys os acc in
  snd r = token_bound ahead ws ys os n /\
  (forall t, (t < n)%nat -> at_most (fst r) (val (token_bound ahead ws ys os t))) /\
  (forall m, acc = Some m -> at_most (fst r) (val m)).
Proof.
  induction n as [|n IH]; intros [|w ws] [|y ys] [|o os] acc Hw Hy Ho; cbn [length] in *; try lia; cbn [scan].
  - split; [reflexivity|]. split; [lia|]. intros m ->. exists m. split; [reflexivity|lra].
  - set (acc' := Some _). destruct (IH ws ys os acc' ltac:(lia) ltac:(lia) ltac:(lia)) as (H1 & H2 & H3).
    destruct (H3 _ eq_refl) as (r & Hr & Hle). set (g := lower ahead w y o) in *. split; [exact H1|]. split.
    + intros [|t] Ht; [|apply (H2 t); lia]. exists r. split; [exact Hr|].
      change (token_bound ahead (w :: ws) (y :: ys) (o :: os) 0) with g.
      destruct acc as [m|]; [|exact Hle]. rewrite val_min in Hle. pose proof (Rmin_r (val m) (val g)). lra.
    + intros m ->. exists r. split; [exact Hr|]. rewrite val_min in Hle. pose proof (Rmin_l (val m) (val g)). lra.
Qed.

(** Minima below y, at y, and up to y, from the pair that [scan] gives at y. *)
Definition below (p : option bigZ * bigZ) : bigZ := match fst p with None => 0%bigZ | Some m => m end.
Definition upto (p : option bigZ * bigZ) : bigZ := match fst p with None => snd p | Some m => BigZ.min m (snd p) end.

(** Box by box, the sum over positions; [before] is what comes from the positions so far and the last one. *)
Definition total (l : list (option bigZ * bigZ)) : bigZ := fold_right (fun p s => (upto p + s)%bigZ) 0%bigZ l.
Fixpoint bounds (before : bigZ) (l : list (option bigZ * bigZ)) : row :=
  match l with
  | [] => []
  | p :: r => (before + (snd p + total r))%bigZ :: bounds (before + below p) r
  end.

Definition part (j i : nat) (p : option bigZ * bigZ) : bigZ :=
  if (i <? j)%nat then below p else if (i =? j)%nat then snd p else upto p.

Lemma total_sum l : val (total l) = sum (fun i => val (upto (nth i l (None, 0%bigZ)))) (length l).
Proof. induction l as [|p l IH]; [reflexivity|]. cbn [length]. rewrite sum_first. cbn. rewrite val_add.
  now rewrite <- IH. Qed.

Lemma bounds_sum l : forall before j, (j < length l)%nat ->
  val (at_ j (bounds before l)) = val before + sum (fun i => val (part j i (nth i l (None, 0%bigZ)))) (length l).
Proof.
  induction l as [|p l IH]; intros before j Hj; cbn [length] in *; [lia|]. rewrite sum_first. destruct j as [|j].
  - cbn [bounds nth]. rewrite !val_add, total_sum. reflexivity.
  - cbn [bounds nth]. rewrite IH, val_add by lia.
    change (part (S j) 0 p) with (below p). rewrite Rplus_assoc. reflexivity.
Qed.

Lemma bounds_length l : forall before, length (bounds before l) = length l.
Proof. induction l; intros; cbn; auto. Qed.

(** Boxes of stratum (q, y) that rival o leaves standing; W, Y, O: weights of q, logits of y and of o, by position. *)
Definition box_bounds (K q y : nat) (ahead : bigZ) (W : list (list (bigZ * bigZ))) (Y O : list row) : row :=
  let own := token_bound ahead (row_at (K - 1) W) (row_at (K - 1) Y) (row_at (K - 1) O) q in
  let l := map (fun i => scan ahead y (row_at i W) (row_at i Y) (row_at i O) None) (seq 0 (K - 1)) in
  if (q =? y)%nat then [(own + total l)%bigZ] else bounds own l.

Fixpoint both (fl : list bool) (bs : row) : list bool :=
  match fl, bs with f :: fl', b :: bs' => (f && negb (b <=? 0)%bigZ) :: both fl' bs' | _, _ => [] end.

Lemma both_true fl : forall bs j, nth j (both fl bs) false = true -> nth j fl false = true /\ 0 < val (at_ j bs).
Proof.
  induction fl as [|f fl IH]; intros [|b bs] [|j]; cbn; try discriminate; [|apply IH].
  rewrite andb_true_iff, negb_true_iff. intros [Hf Hb]. split; [exact Hf|]. apply Rnot_le_lt. intros H.
  apply (val_leb b 0%bigZ) in H. congruence.
Qed.

Fixpoint survivors (against : nat -> row) (y n : nat) (fl : list bool) : list bool :=
  match n with
  | O => fl
  | S o => let f := survivors against y o fl in
      if (o =? y)%nat then f else if existsb (fun b : bool => b) f then both f (against o) else f
  end.

Lemma survivors_true against y fl j n : nth j (survivors against y n fl) false = true ->
  forall o, (o < n)%nat -> o <> y -> 0 < val (at_ j (against o)).
Proof.
  induction n as [|n IH]; cbn; intros H o Ho Hne; [lia|]. set (f := survivors against y n fl) in *.
  destruct (Nat.eqb_spec n y) as [->|Hn]; [apply IH; [exact H|lia|exact Hne]|].
  destruct (existsb (fun b : bool => b) f) eqn:E.
  - apply both_true in H as [H1 H2]. destruct (Nat.eq_dec o n) as [->|]; [exact H2|].
    apply IH; [exact H1|lia|exact Hne].
  - exfalso. assert (existsb (fun b : bool => b) f = true); [|congruence]. apply existsb_exists. exists true.
    split; [|reflexivity].
    rewrite <- H. apply nth_In. destruct (Nat.lt_ge_cases j (length f)) as [|L]; [assumption|].
    rewrite nth_overflow in H by exact L. discriminate.
Qed.

(** Everything that is computed once, and the count. *)
Section Count.
  Variables (D : dyadic) (power : list bigZ) (shift : bigZ).
  Let M := real_model D.
  Let v := n_vocab D.
  Let K := n_k D.

  (** By output, logits of the tokens in every position. *)
  Definition by_output (A : list (list row)) : list (list row) :=
    map (fun o => map (fun L => row_at o L) A) (seq 0 v).

  (** W: weights by position, query, token; A: logits by output, position, token; d: direct logits by query, output. *)
  Definition flags (W : list (list (list (bigZ * bigZ)))) (A : list (list row)) (d : list row) (q y : nat) : list bool
    :=
    let Wq := map (fun L => row_at q L) W in
    let Y := row_at y A in
    let dq := row_at q d in
    let dy := at_ y dq in
    survivors (fun o => box_bounds K q y (dy - at_ o dq - 2) Wq Y (row_at o A)) y v (repeat true (n_boxes K q y)).

  Definition count_boxes (W : list (list (list (bigZ * bigZ)))) (A : list (list row)) (d : list row) : Z :=
    sumZ (fun q => sumZ (fun y => let f := flags W A d q y in
      sumZ (fun j => if nth j f false then box_size K q y j else 0%Z) (n_boxes K q y)) v) v.

  Definition certified_count : Z :=
    if well_formed D then
      let W := map (weights D power) (seq 0 K) in
      if forallb bounded W
      then count_boxes W (by_output (map (attended_floor D shift) (seq 0 K))) (direct_floor D shift)
      else 0
    else 0.

  Section Sound.
    Hypothesis Hwf : well_formed D = true.
    Let W := map (weights D power) (seq 0 K).
    Let A := by_output (map (attended_floor D shift) (seq 0 K)).
    Let d := direct_floor D shift.
    Hypothesis Hb : forallb bounded W = true.

    Lemma K_positive : (0 < K)%nat.
    Proof. destruct (shapes D Hwf) as [H _]. exact H. Qed.

    Definition factor (q : nat) : R := weight_scale power q * logit_scale D shift.
    Lemma factor_positive q : 0 < factor q.
    Proof. apply Rmult_lt_0_compat; [apply Flocq.Core.Raux.bpow_gt_0|apply logit_scale_positive]. Qed.

    Let Wq q := map (fun L => row_at q L) W.
    Let ahead q y o := (at_ y (row_at q d) - at_ o (row_at q d) - 2)%bigZ.

    Lemma rows i q o : (i < K)%nat -> (q < v)%nat -> (o < v)%nat ->
      row_at i (Wq q) = row_at q (weights D power i) /\ row_at i (row_at o A) = row_at o (attended_floor D shift i).
    Proof.
      intros Hi Hq Ho. unfold Wq, A, W, by_output. split.
      - rewrite map_map. now rewrite nth_map_seq.
      - rewrite nth_map_seq by exact Ho. rewrite map_map. now rewrite nth_map_seq.
    Qed.

    Lemma lengths i q o : (i < K)%nat -> (q < v)%nat -> (o < v)%nat ->
      length (row_at i (Wq q)) = v /\ length (row_at i (row_at o A)) = v.
    Proof.
      intros Hi Hq Ho. destruct (rows i q o Hi Hq Ho) as [-> ->]. split.
      - apply (weights_correct D Hwf power i q q Hi Hq Hq). rewrite forallb_forall in Hb. apply Hb.
        unfold W. apply in_map, in_seq. lia.
      - destruct (attended_floor_correct D Hwf shift i Hi) as [_ H]. apply (H o Ho).
    Qed.

    Lemma token_bound_correct q y o i t : (q < v)%nat -> (y < v)%nat -> (o < v)%nat -> (i < K)%nat -> (t < v)%nat ->
      val (token_bound (ahead q y o) (row_at i (Wq q)) (row_at i (row_at y A)) (row_at i (row_at o A)) t)
        <= factor q * term M q y o i t.
    Proof.
      intros Hq Hy Ho Hi Ht. destruct (rows i q y Hi Hq Hy) as [-> ->]. destruct (rows i q o Hi Hq Ho) as [_ ->].
      unfold token_bound, factor, term. rewrite forallb_forall in Hb.
      assert (Hin : In (weights D power i) W) by (apply in_map, in_seq; lia).
      destruct (weights_correct D Hwf power i q t Hi Hq Ht (Hb _ Hin)) as [_ HW]. cbv zeta in HW.
      destruct (attended_floor_correct D Hwf shift i Hi) as [_ HA].
      destruct (HA y Hy) as [_ HAy]. destruct (HA o Ho) as [_ HAo]. specialize (HAy t Ht). specialize (HAo t Ht).
      destruct (direct_floor_correct D Hwf shift) as [_ HD]. destruct (HD q Hq) as [_ HDq].
      pose proof (HDq y Hy) as HDy. pose proof (HDq o Ho) as HDo. clear HD HDq HA.
      fold M in HW, HAy, HAo, HDy, HDo. set (B := logit_scale D shift) in *.
      replace (weight_scale power q * B * (exp (score M q i t) * (direct M q y - direct M q o + (attended M i t y -
        attended M i t o))))
        with (weight_scale power q * exp (score M q i t) * (B * (direct M q y - direct M q o + (attended M i t y -
          attended M i t o)))) by ring.
      apply lower_correct; [|exact HW|].
      - apply Rmult_lt_0_compat; [apply Flocq.Core.Raux.bpow_gt_0|apply exp_pos].
      - unfold ahead. rewrite !val_sub. change (val 2%bigZ) with 2. fold d in HDy, HDo. lra.
    Qed.

    Theorem flags_correct q y j : (q < v)%nat -> (y < v)%nat -> (j < n_boxes K q y)%nat ->
      nth j (flags W A d q y) false = true ->
      forall x, (forall i, (i < K)%nat -> (x i < v)%nat) -> in_box K q y j x -> correct M x.
    Proof.
      intros Hq Hy Hj Hf. pose proof K_positive as HK.
      set (p o i := scan (ahead q y o) y (row_at i (Wq q)) (row_at i (row_at y A)) (row_at i (row_at o A)) None).
      set (own o := token_bound (ahead q y o) (row_at (K - 1) (Wq q)) (row_at (K - 1) (row_at y A)) (row_at (K - 1)
        (row_at o A)) q).
      set (least o i := val (if (i =? K - 1)%nat then own o else if (q =? y)%nat then upto (p o i) else part j i (p o
        i))).
      apply (position_minima M q y j (fun _ => factor q) least HK Hj). intros o Ho Hne.
      split; [apply factor_positive|]. split.
      - pose proof (survivors_true _ _ _ _ _ Hf o Ho Hne) as HS. cbv beta in HS.
        assert (sum (least o) (k M) = val (own o) + sum (fun i => val (if (q =? y)%nat then upto (p o i) else part j i
          (p o i))) (K - 1)) as ->.
        { change (k M) with K. replace K with (S (K - 1)) at 1 by lia. cbn [sum]. rewrite Rplus_comm. f_equal.
          - unfold least. now rewrite Nat.eqb_refl.
          - apply sum_ext. intros i Hi. unfold least. now destruct (Nat.eqb_spec i (K - 1)); [lia|]. }
        unfold box_bounds in HS. fold (ahead q y o) in HS. fold (Wq q) in HS. fold (own o) in HS.
        set (l := map _ _) in HS. assert (Hl : length l = (K - 1)%nat) by apply length_map_seq.
        assert (Hn : forall i, (i < K - 1)%nat -> nth i l (None, 0%bigZ) = p o i).
        { intros i Hi. unfold l. now rewrite nth_map_seq. }
        unfold n_boxes in Hj. destruct (Nat.eqb_spec q y) as [_|_].
        + assert (j = O) by lia. subst j. cbn [nth] in HS. rewrite val_add, total_sum, Hl in HS.
          rewrite (sum_ext _ (fun i => val (upto (p o i)))) in HS; [exact HS|]. intros i Hi. now rewrite Hn.
        + rewrite bounds_sum, Hl in HS by (rewrite Hl; destruct (q <? y)%nat; lia).
          rewrite (sum_ext _ (fun i => val (part j i (p o i)))) in HS; [exact HS|]. intros i Hi. now rewrite Hn.
      - intros i t Hi Ht Hal. change (k M) with K in *. change (d_vocab M) with v in *.
        pose proof (fun t => token_bound_correct q y o i t Hq Hy Ho Hi) as T.
        destruct (lengths i q y Hi Hq Hy) as [L1 L2]. destruct (lengths i q o Hi Hq Ho) as [_ L3].
        destruct (scan_correct (ahead q y o) y (row_at i (Wq q)) (row_at i (row_at y A)) (row_at i (row_at o A)) None
          ltac:(lia) ltac:(lia) ltac:(lia)) as (S1 & S2 & _). cbv zeta in S1, S2. fold (p o i) in S1, S2.
        assert (Below : (t < y)%nat -> val (below (p o i)) <= factor q * term M q y o i t).
        { intros Hty. destruct (S2 t Hty) as (m & Hm & Hle). unfold below. rewrite Hm. specialize (T t Ht). lra. }
        assert (Same : val (snd (p o i)) <= factor q * term M q y o i y) by (rewrite S1; apply T; exact Hy).
        assert (Upto : (t <= y)%nat -> val (upto (p o i)) <= factor q * term M q y o i t).
        { intros Hty. unfold upto. destruct (Nat.eq_dec t y) as [->|].
          - destruct (fst (p o i)); [|exact Same]. rewrite val_min.
            match goal with |- Rmin ?a ?b <= _ => pose proof (Rmin_r a b) end. lra.
          - destruct (S2 t ltac:(lia)) as (m & Hm & Hle). rewrite Hm, val_min. specialize (T t Ht).
            match goal with |- Rmin ?a ?b <= _ => pose proof (Rmin_l a b) end. lra. }
        unfold allowed in Hal. unfold least, part. destruct (Nat.eqb_spec i (K - 1)) as [->|].
        { apply Nat.eqb_eq in Hal. subst t. apply T. exact Hq. }
        destruct (q =? y)%nat; [apply Upto; now apply Nat.leb_le|].
        destruct (i <? j)%nat; [apply Below; now apply Nat.ltb_lt|].
        destruct (i =? j)%nat; [apply Nat.eqb_eq in Hal; subst t; exact Same|]. apply Upto; now apply Nat.leb_le.
    Qed.
  End Sound.

  Theorem certified_count_correct : (certified_count <= count_correct M)%Z.
  Proof.
    assert (H0 : (0 <= count_correct M)%Z) by (unfold count_correct; lia).
    unfold certified_count. destruct (well_formed D) eqn:Hwf; [|exact H0]. cbv zeta.
    destruct (forallb bounded _) eqn:Hb; [|exact H0]. set (W := map (weights D power) (seq 0 K)) in *.
    set (A := by_output _). set (d := direct_floor D shift).
    exact (certified_boxes_count M (fun q y j => nth j (flags W A d q y) false) (K_positive Hwf)
      (flags_correct Hwf Hb)).
  Qed.
End Count.
