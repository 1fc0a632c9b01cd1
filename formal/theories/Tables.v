(** * Tables of a model with dyadic weights, in integers

    The weights of a file are integers over one power of two. Products of matrices are then exact in integers; logits
    are rounded down to a coarser power of two, exponentials are enclosed (Exponential.v).
    Big integers in lists: nothing
    can overflow, and nothing is looked up by index inside a loop.

    Source: `pessimal.kernel.tables.path_tables`, for one head without biases and LayerNorm.

    Contents:
      dyadic, real_model — the weights of a file, and the model over the reals that they are.
      vec, mat — a list of integers holds real numbers times a scale.
      matmul — exact products; floors — rounding down.
      scores, attended_floor, direct_floor, weights — the tables, each with what it holds. *)

From Coq Require Import ZArith Reals List Bool Arith Lra Lia Uint63 Sint63.
From Flocq Require Import Core.
From Bignums Require Import BigZ.
From Pessimal Require Import Statement Sums TableForm Exponential.
Import ListNotations.
Open Scope R_scope.

(** Weights n / 2^bits, row by row; positions are those used. *)
Record dyadic := {
  n_k : nat; n_vocab : nat; n_model : nat; n_head : nat; bits : nat;
  dE : list (list int); dpos : list (list int); dQ : list (list int); dK : list (list int);
  dV : list (list int); dO : list (list int); dU : list (list int)
}.

Definition entry (b : nat) (L : list (list int)) (i j : nat) : R :=
  IZR (Sint63.to_Z (nth j (nth i L []) 0%uint63)) / IZR (2 ^ Z.of_nat b).

Definition real_model (D : dyadic) : model := {|
  k := n_k D; d_vocab := n_vocab D; d_model := n_model D; d_head := n_head D;
  W_E := entry (bits D) (dE D); W_pos := entry (bits D) (dpos D); W_Q := entry (bits D) (dQ D);
  W_K := entry (bits D) (dK D); W_V := entry (bits D) (dV D); W_O := entry (bits D) (dO D); W_U := entry (bits D) (dU D)
|}.

(** Integers as reals. *)
Definition val (x : bigZ) : R := IZR (BigZ.to_Z x).
Lemma val_add x y : val (x + y)%bigZ = val x + val y.
Proof. unfold val. now rewrite BigZ.spec_add, plus_IZR. Qed.
Lemma val_sub x y : val (x - y)%bigZ = val x - val y.
Proof. unfold val. now rewrite BigZ.spec_sub, minus_IZR. Qed.
Lemma val_mul x y : val (x * y)%bigZ = val x * val y.
Proof. unfold val. now rewrite BigZ.spec_mul, mult_IZR. Qed.
Lemma val_one : val 1%bigZ = 1.
Proof. reflexivity. Qed.
Lemma val_zero : val 0%bigZ = 0.
Proof. reflexivity. Qed.

Notation row := (list bigZ).
Notation at_ i l := (nth i l 0%bigZ).
Definition vec (n : nat) (c : R) (l : row) (f : nat -> R) : Prop :=
  length l = n /\ forall i, (i < n)%nat -> val (at_ i l) = c * f i.
Definition mat (n m : nat) (c : R) (L : list row) (f : nat -> nat -> R) : Prop :=
  length L = n /\ forall i, (i < n)%nat -> vec m c (nth i L []) (f i).

Lemma nth_map_lt {A B} (f : A -> B) l i a b : (i < length l)%nat -> nth i (map f l) b = f (nth i l a).
Proof. intros H. rewrite (nth_indep _ b (f a)) by now rewrite map_length. apply map_nth. Qed.

Lemma nth_map_seq {A} (f : nat -> A) n i a : (i < n)%nat -> nth i (map f (seq 0 n)) a = f i.
Proof. intros H. rewrite (nth_map_lt f _ i O a) by now rewrite seq_length. now rewrite seq_nth. Qed.

Lemma length_map_seq {A} (f : nat -> A) n : length (map f (seq 0 n)) = n.
Proof. now rewrite map_length, seq_length. Qed.

Lemma vec_ext n c c' l f g : vec n c l f -> c = c' -> (forall i, (i < n)%nat -> f i = g i) -> vec n c' l g.
Proof. intros [Hl H] <- Hfg. split; [exact Hl|]. intros i Hi. rewrite H, Hfg; auto. Qed.

Lemma mat_ext n m c c' L f g : mat n m c L f -> c = c' ->
  (forall i j, (i < n)%nat -> (j < m)%nat -> f i j = g i j) -> mat n m c' L g.
Proof. intros [Hl H] Hc Hfg. split; [exact Hl|]. intros i Hi. eapply vec_ext; eauto. Qed.

(* Types of entries are the same only up to conversion, which lia does not see. *)
Lemma within {A} (l : list A) n i : length l = n -> (i < n)%nat -> (i < length l)%nat.
Proof. intros ->. auto. Qed.
Ltac len := first [lia | eapply within; [eassumption|assumption]].

(** Weights read as integers. *)
Definition tensor (L : list (list int)) : list row := map (map (fun i => BigZ.of_Z (Sint63.to_Z i))) L.
Definition shaped (n m : nat) (L : list (list int)) : bool :=
  (length L =? n)%nat && forallb (fun r => (length r =? m)%nat) L.
Definition scale (b : nat) : R := bpow radix2 (Z.of_nat b).

Lemma scale_power b : scale b = IZR (2 ^ Z.of_nat b).
Proof. unfold scale. rewrite <- IZR_Zpower by lia. reflexivity. Qed.

Lemma scale_positive b : 0 < scale b.
Proof. apply bpow_gt_0. Qed.

Lemma tensor_correct b n m L : shaped n m L = true -> mat n m (scale b) (tensor L) (entry b L).
Proof.
  unfold shaped. rewrite andb_true_iff, Nat.eqb_eq, forallb_forall. intros [Hl Hr]. unfold tensor.
  split; [now rewrite map_length|]. intros i Hi. rewrite (nth_map_lt _ _ _ []) by len.
  assert (Hm : length (nth i L []) = m) by (apply Nat.eqb_eq, Hr, nth_In; lia).
  split; [now rewrite map_length|]. intros j Hj. rewrite (nth_map_lt _ _ _ 0%uint63) by len.
  unfold val, entry. rewrite BigZ.spec_of_Z, <- scale_power. pose proof (scale_positive b). field. lra.
Qed.

(** Products. The right factor is given by its columns. *)
Fixpoint dot (l r : row) : bigZ :=
  match l, r with a :: l', b :: r' => (a * b + dot l' r')%bigZ | _, _ => 0%bigZ end.
Definition matmul (A Bt : list row) : list row := map (fun a => map (dot a) Bt) A.
Definition columns (m : nat) (L : list row) : list row := map (fun j => map (fun r => at_ j r) L) (seq 0 m).

Lemma dot_correct n c d : forall l r f g, vec n c l f -> vec n d r g ->
  val (dot l r) = c * d * sum (fun i => f i * g i) n.
Proof.
  induction n as [|n IH]; intros l r f g [Hl Hf] [Hr Hg].
  - destruct l; [|discriminate]. cbn [dot sum]. rewrite val_zero. ring.
  - destruct l as [|a l], r as [|b r]; try discriminate. cbn [dot]. rewrite sum_first, val_add, val_mul.
    rewrite (IH l r (fun i => f (S i)) (fun i => g (S i))).
    + pose proof (Hf O ltac:(lia)) as A. pose proof (Hg O ltac:(lia)) as B. cbn [nth] in A, B. rewrite A, B. ring.
    + split; [now injection Hl|]. intros i Hi. apply (Hf (S i)). lia.
    + split; [now injection Hr|]. intros i Hi. apply (Hg (S i)). lia.
Qed.

Lemma matmul_correct n p m c d A Bt f g : mat n p c A f -> mat m p d Bt g ->
  mat n m (c * d) (matmul A Bt) (fun i j => sum (fun a => f i a * g j a) p).
Proof.
  intros [HA Hf] [HB Hg]. unfold matmul. split; [now rewrite map_length|]. intros i Hi.
  rewrite (nth_map_lt _ _ _ []) by len. split; [now rewrite map_length|]. intros j Hj.
  rewrite (nth_map_lt _ _ _ []) by len. now apply dot_correct; auto.
Qed.

Lemma columns_correct n m c L f : mat n m c L f -> mat m n c (columns m L) (fun j i => f i j).
Proof.
  intros [HL Hf]. unfold columns. split; [apply length_map_seq|]. intros j Hj. rewrite nth_map_seq by exact Hj.
  split; [now rewrite map_length|]. intros i Hi. rewrite (nth_map_lt _ _ _ []) by len. now apply Hf.
Qed.

(** Rounding down to multiples of 2^shift. *)
Definition floors (shift : bigZ) (L : list row) : list row := map (map (fun x => BigZ.shiftl x (- shift))) L.
Definition floor_mat (n m : nat) (c : R) (L : list row) (f : nat -> nat -> R) : Prop :=
  length L = n /\ forall i, (i < n)%nat -> length (nth i L []) = m /\
    forall j, (j < m)%nat -> val (at_ j (nth i L [])) <= c * f i j <= val (at_ j (nth i L [])) + 1.

Lemma floors_correct shift n m c L f : mat n m c L f ->
  floor_mat n m (c * bpow radix2 (- BigZ.to_Z shift)) (floors shift L) f.
Proof.
  intros [HL H]. unfold floors. split; [now rewrite map_length|]. intros i Hi. destruct (H i Hi) as [Hm Hv].
  rewrite (nth_map_lt _ _ _ []) by len. split; [now rewrite map_length|]. intros j Hj.
  rewrite (nth_map_lt _ _ _ 0%bigZ) by len. specialize (Hv j Hj). unfold val in *.
  rewrite BigZ.spec_shiftl, BigZ.spec_opp.
  pose proof (shiftl_floor (BigZ.to_Z (at_ j (nth i L []))) (- BigZ.to_Z shift)) as F. rewrite Hv in F.
  replace (c * bpow radix2 (- BigZ.to_Z shift) * f i j) with (c * f i j * bpow radix2 (- BigZ.to_Z shift)) by ring.
  exact F.
Qed.

Section OfModel.
  Variable D : dyadic.
  Let M := real_model D.
  Let v := n_vocab D.
  Let dm := n_model D.
  Let dh := n_head D.
  Let c := scale (bits D).

  Definition well_formed : bool :=
    (1 <=? n_k D)%nat && (1 <=? dh)%nat && shaped v dm (dE D) && shaped (n_k D) dm (dpos D) && shaped dm dh (dQ D)
    && shaped dm dh (dK D) && shaped dm dh (dV D) && shaped dh dm (dO D) && shaped dm v (dU D).

  Definition embedded (i : nat) : list row :=
    map (fun r => map (fun ab => (fst ab + snd ab)%bigZ) (combine r (nth i (tensor (dpos D)) []))) (tensor (dE D)).
  Definition through (i : nat) (W : list (list int)) : list row := matmul (embedded i) (columns dh (tensor W)).
  Definition unembed : list row := columns v (tensor (dU D)).
  Definition scores (i : nat) : list row := matmul (through (n_k D - 1) (dQ D)) (through i (dK D)).
  Definition attended_exact (i : nat) : list row :=
    matmul unembed (matmul (through i (dV D)) (columns dm (tensor (dO D)))).
  Definition direct_exact : list row := matmul (embedded (n_k D - 1)) unembed.

  Hypothesis Hwf : well_formed = true.

  Lemma shapes : (1 <= n_k D)%nat /\ (1 <= dh)%nat /\ shaped v dm (dE D) = true /\ shaped (n_k D) dm (dpos D) = true /\
    shaped dm dh (dQ D) = true /\ shaped dm dh (dK D) = true /\ shaped dm dh (dV D) = true /\
    shaped dh dm (dO D) = true /\ shaped dm v (dU D) = true.
  Proof. unfold well_formed in Hwf. rewrite !andb_true_iff, !Nat.leb_le in Hwf. tauto. Qed.

  Lemma embedded_correct i : (i < n_k D)%nat -> mat v dm c (embedded i) (fun t d => embedding M i t d).
  Proof.
    intros Hi. destruct shapes as (_ & _ & HE & HP & _). apply (tensor_correct (bits D)) in HE, HP.
    destruct HE as [EL EV]. destruct (proj2 HP i Hi) as [PL PV]. unfold embedded.
    split; [now rewrite map_length|]. intros t Ht. rewrite (nth_map_lt _ _ _ []) by len. destruct (EV t Ht) as [RL RV].
    assert (CL : length (combine (nth t (tensor (dE D)) []) (nth i (tensor (dpos D)) [])) = dm)
      by (rewrite combine_length, RL, PL; lia).
    split; [now rewrite map_length|]. intros d Hd. rewrite (nth_map_lt _ _ _ (0, 0)%bigZ) by len.
    rewrite combine_nth by exact (eq_trans RL (eq_sym PL)). cbn [fst snd]. rewrite val_add, RV, PV by exact Hd.
    symmetry. apply Rmult_plus_distr_l.
  Qed.

  Lemma through_correct i W : (i < n_k D)%nat -> shaped dm dh W = true ->
    mat v dh (c * c) (through i W) (fun t a => sum (fun d => embedding M i t d * entry (bits D) W d a) dm).
  Proof.
    intros Hi HW. apply (tensor_correct (bits D)) in HW. apply columns_correct in HW.
    exact (matmul_correct _ _ _ _ _ _ _ _ _ (embedded_correct i Hi) HW).
  Qed.

  Lemma scores_correct i : (i < n_k D)%nat ->
    mat v v (c * c * (c * c)) (scores i) (fun q t => sum (fun a => query M q a * key M i t a) dh).
  Proof.
    intros Hi. destruct shapes as (Hk & _ & _ & _ & HQ & HK & _).
    exact (matmul_correct _ _ _ _ _ _ _ _ _ (through_correct (n_k D - 1) _ ltac:(lia) HQ) (through_correct i _ Hi HK)).
  Qed.

  Lemma attended_correct i : (i < n_k D)%nat ->
    mat v v (c * c * (c * c)) (attended_exact i) (fun o t => attended M i t o).
  Proof.
    intros Hi. destruct shapes as (_ & _ & _ & _ & _ & _ & HV & HO & HU).
    pose proof (columns_correct _ _ _ _ _ (tensor_correct (bits D) _ _ _ HO)) as CO.
    pose proof (columns_correct _ _ _ _ _ (tensor_correct (bits D) _ _ _ HU)) as CU.
    pose proof (matmul_correct _ _ _ _ _ _ _ _ _ CU
      (matmul_correct _ _ _ _ _ _ _ _ _ (through_correct i _ Hi HV) CO)) as H.
    apply (mat_ext _ _ _ _ _ _ _ H); [fold c; ring|]. intros o t _ _. apply sum_ext; intros d _. apply Rmult_comm.
  Qed.

  Lemma direct_correct : mat v v (c * c) direct_exact (fun q o => direct M q o).
  Proof.
    destruct shapes as (Hk & _ & _ & _ & _ & _ & _ & _ & HU).
    pose proof (columns_correct _ _ _ _ _ (tensor_correct (bits D) _ _ _ HU)) as CU.
    exact (matmul_correct _ _ _ _ _ _ _ _ _ (embedded_correct (n_k D - 1) ltac:(lia)) CU).
  Qed.

  (** Logits times 2^(2 bits - shift), rounded down. *)
  Variable shift : bigZ.
  Definition logit_scale : R := c * c * bpow radix2 (- BigZ.to_Z shift).
  Definition direct_floor : list row := floors shift direct_exact.
  Definition attended_floor (i : nat) : list row :=
    floors (shift + BigZ.of_Z (2 * Z.of_nat (bits D))) (attended_exact i).

  Lemma logit_scale_positive : 0 < logit_scale.
  Proof. unfold logit_scale, c, scale. repeat apply Rmult_lt_0_compat; apply bpow_gt_0. Qed.

  Lemma direct_floor_correct : floor_mat v v logit_scale direct_floor (fun q o => direct M q o).
  Proof. exact (floors_correct shift _ _ _ _ _ direct_correct). Qed.

  Lemma attended_floor_correct i : (i < n_k D)%nat ->
    floor_mat v v logit_scale (attended_floor i) (fun o t => attended M i t o).
  Proof.
    intros Hi. pose proof (floors_correct (shift + BigZ.of_Z (2 * Z.of_nat (bits D))) _ _ _ _ _ (attended_correct i
      Hi)) as H.
    replace logit_scale with (c * c * (c * c) * bpow radix2 (- BigZ.to_Z (shift + BigZ.of_Z (2 * Z.of_nat (bits D)))));
      [exact H|].
    unfold logit_scale, c, scale. rewrite BigZ.spec_add, BigZ.spec_of_Z. rewrite <- !bpow_plus. f_equal. lia.
  Qed.

  (** Bounds of exp(score) times 2^(p q), by last token q. *)
  Variable power : list bigZ.
  Definition score_divisor : I.type := divisor (2 ^ (4 * Z.of_nat (bits D))) (Z.of_nat dh).
  Definition weights (i : nat) : list (list (bigZ * bigZ)) :=
    let div := score_divisor in let s := scores i in
    map (fun q => let p := at_ q power in map (weight_bounds div p) (nth q s [])) (seq 0 v).
  Definition bounded (L : list (list (bigZ * bigZ))) : bool := forallb (forallb (fun w => (0 <=? snd w)%bigZ)) L.
  Definition weight_scale (q : nat) : R := bpow radix2 (BigZ.to_Z (at_ q power)).

  Lemma weights_correct i q t : (i < n_k D)%nat -> (q < v)%nat -> (t < v)%nat -> bounded (weights i) = true ->
    length (nth q (weights i) []) = v /\
    let w := nth t (nth q (weights i) []) (0, 0)%bigZ in
    val (fst w) <= weight_scale q * exp (score M q i t) <= val (snd w).
  Proof.
    intros Hi Hq Ht Hb. destruct (scores_correct i Hi) as [_ HS]. destruct (HS q Hq) as [SL SV].
    unfold bounded in Hb. rewrite forallb_forall in Hb. specialize (Hb (nth q (weights i) [])).
    assert (WL : length (weights i) = v) by apply length_map_seq. rewrite forallb_forall in Hb.
    assert (Hrow : nth q (weights i) [] = map (weight_bounds score_divisor (at_ q power)) (nth q (scores i) []))
      by (unfold weights; now rewrite nth_map_seq).
    assert (RL : length (nth q (weights i) []) = v) by now rewrite Hrow, map_length.
    split; [exact RL|]. assert (Hin : In (nth q (weights i) []) (weights i)) by (apply nth_In; rewrite WL; exact Hq).
    assert (Hin' : In (nth t (nth q (weights i) []) (0, 0)%bigZ) (nth q (weights i) []))
      by (apply nth_In; rewrite RL; exact Ht).
    specialize (Hb Hin _ Hin').
    rewrite Hrow in Hb |- *. rewrite (nth_map_lt _ _ _ 0%bigZ) in Hb |- * by len.
    destruct shapes as (_ & Hd & _).
    pose proof (weight_bounds_correct (2 ^ (4 * Z.of_nat (bits D))) (Z.of_nat dh) (at_ q power)
      (at_ t (nth q (scores i) [])) ltac:(apply Z.pow_pos_nonneg; lia) ltac:(lia)) as H. fold score_divisor in H.
    destruct (weight_bounds score_divisor _ _) as [lo hi]. cbn [fst snd] in *.
    rewrite BigZ.spec_leb in Hb. apply Z.leb_le in Hb. specialize (H Hb).
    assert (Hs : IZR (BigZ.to_Z (at_ t (nth q (scores i) []))) / (IZR (2 ^ (4 * Z.of_nat (bits D))) * R_sqrt.sqrt (IZR
      (Z.of_nat dh)))
      = score M q i t); [|rewrite Hs in H; exact H].
    specialize (SV t Ht). unfold val in SV. rewrite SV. unfold score. change (d_head M) with dh. rewrite INR_IZR_INZ.
    assert (IZR (2 ^ (4 * Z.of_nat (bits D))) = c * c * (c * c)) as ->.
    { unfold c, scale. rewrite <- !bpow_plus. change 2%Z with (radix_val radix2). rewrite IZR_Zpower by lia. f_equal.
      lia. }
    assert (0 < R_sqrt.sqrt (IZR (Z.of_nat dh))) by (apply sqrt_lt_R0, IZR_lt; lia).
    assert (0 < c) by apply bpow_gt_0. field. split; lra.
  Qed.
End OfModel.
