(** * Tables of a model with dyadic weights, in integers

    The weights of a file are integers over one power of two. Products of matrices are then exact in integers; logits
    are rounded down to a coarser power of two, attention weights are enclosed (Exponential.v). How finely is chosen
    here, and the statements hold for any choice. Nothing can overflow, and nothing is looked up by index inside a loop.

    Source: `pessimal.kernel.model.tables.path_tables`, for one head without biases and LayerNorm.

    Contents:
      dyadic, real_model — the weights of a file, and the model over the reals that they are.
      vec, mat — a list of integers holds real numbers times a scale.
      matmul — exact products; floors, floor_mat — rounding down.
      scores — exact, by query and token.
      attended_floor, direct_floor — logits in units of 2^-logit_bits: by output and token, by query and output.
      weights — by query: p, then by position and token, integers around 2^p exp(score - s) for one number s, which is
        about the largest score of the query. *)

From Coq Require Import ZArith Reals List Bool Arith Lra Lia.
From Pessimal Require Import RealExponential Integers Statement Sums TableForm Exponential Arguments.
Import ListNotations.
Open Scope R_scope.

(** Weights n / 2^bits, row by row; positions are those used. *)
Record dyadic := {
  n_k : nat; n_vocab : nat; n_model : nat; n_head : nat; bits : nat;
  dE : list (list Z); dpos : list (list Z); dQ : list (list Z); dK : list (list Z);
  dV : list (list Z); dO : list (list Z); dU : list (list Z)
}.

Definition entry (b : nat) (L : list (list Z)) (i j : nat) : R := IZR (nth j (nth i L []) 0%Z) / IZR (2 ^ Z.of_nat b).

Definition real_model (D : dyadic) : model := {|
  k := n_k D; d_vocab := n_vocab D; d_model := n_model D; d_head := n_head D;
  W_E := entry (bits D) (dE D); W_pos := entry (bits D) (dpos D); W_Q := entry (bits D) (dQ D);
  W_K := entry (bits D) (dK D); W_V := entry (bits D) (dV D); W_O := entry (bits D) (dO D); W_U := entry (bits D) (dU D)
|}.

Lemma length_map_seq {A} (f : nat -> A) n : length (map f (seq 0 n)) = n.
Proof. now rewrite map_length, seq_length. Qed.

(* Types of entries are the same only up to conversion, which lia does not see. *)
Lemma within {A} (l : list A) n i : length l = n -> (i < n)%nat -> (i < length l)%nat.
Proof. intros ->. auto. Qed.
Ltac len := first [lia | eapply within; [eassumption|assumption]].

Definition shaped (n m : nat) (L : list (list Z)) : bool :=
  (length L =? n)%nat && forallb (fun r => (length r =? m)%nat) L.

Definition well_formed (D : dyadic) : bool :=
  let v := n_vocab D in let dm := n_model D in let dh := n_head D in
  (1 <=? n_k D)%nat && (1 <=? dh)%nat && shaped v dm (dE D) && shaped (n_k D) dm (dpos D) && shaped dm dh (dQ D)
  && shaped dm dh (dK D) && shaped dm dh (dV D) && shaped dh dm (dO D) && shaped dm v (dU D).

Section Matrices.
  Context {T : Type} (A : integers T) (law : lawful A).
  Notation val := (val A).
  Notation row := (list T).
  Notation at_ i l := (nth i l (of_Z A 0)).

  (** Products. The right factor is given by its columns. *)
  Fixpoint dot (l r : row) : T :=
    match l, r with a :: l', b :: r' => add A (mul A a b) (dot l' r') | _, _ => of_Z A 0 end.
  Definition matmul (L Rt : list row) : list row := map (fun a => map (dot a) Rt) L.
  (** The first m entries of every row, zeros where a row is shorter, column by column. *)
  Fixpoint columns (m : nat) (L : list row) : list row :=
    match L with
    | [] => repeat [] m
    | r :: L' => map (fun xc => fst xc :: snd xc)
        (combine (if (m <=? length r)%nat then r else r ++ repeat (of_Z A 0) m) (columns m L'))
    end.
  (** Weights read as integers; times 2^s, rounded down. *)
  Definition tensor (L : list (list Z)) : list row := map (map (of_Z A)) L.
  Definition floors (s : Z) (L : list row) : list row := map (map (fun x => shift A x s)) L.

  Definition vec (n : nat) (c : R) (l : row) (f : nat -> R) : Prop :=
    length l = n /\ forall i, (i < n)%nat -> val (at_ i l) = c * f i.
  Definition mat (n m : nat) (c : R) (L : list row) (f : nat -> nat -> R) : Prop :=
    length L = n /\ forall i, (i < n)%nat -> vec m c (nth i L []) (f i).
  Definition floor_mat (n m : nat) (c : R) (L : list row) (f : nat -> nat -> R) : Prop :=
    length L = n /\ forall i, (i < n)%nat -> length (nth i L []) = m /\
      forall j, (j < m)%nat -> val (at_ j (nth i L [])) <= c * f i j <= val (at_ j (nth i L [])) + 1.

  Lemma vec_ext n c c' l f g : vec n c l f -> c = c' -> (forall i, (i < n)%nat -> f i = g i) -> vec n c' l g.
  Proof. intros [Hl H] <- Hfg. split; [exact Hl|]. intros i Hi. rewrite H, Hfg; auto. Qed.

  Lemma mat_ext n m c c' L f g : mat n m c L f -> c = c' ->
    (forall i j, (i < n)%nat -> (j < m)%nat -> f i j = g i j) -> mat n m c' L g.
  Proof. intros [Hl H] Hc Hfg. split; [exact Hl|]. intros i Hi. eapply vec_ext; eauto. Qed.

  Lemma tensor_correct b n m L : shaped n m L = true -> mat n m (pow2 (Z.of_nat b)) (tensor L) (entry b L).
  Proof.
    unfold shaped. rewrite andb_true_iff, Nat.eqb_eq, forallb_forall. intros [Hl Hr]. unfold tensor.
    split; [now rewrite map_length|]. intros i Hi. rewrite (nth_map_lt _ _ _ []) by len.
    assert (Hm : length (nth i L []) = m) by (apply Nat.eqb_eq, Hr, nth_In; lia).
    split; [now rewrite map_length|]. intros j Hj. rewrite (nth_map_lt _ _ _ 0%Z) by len.
    rewrite val_of by exact law. unfold entry. rewrite <- pow2_IZR by lia. pose proof (pow2_positive (Z.of_nat b)).
    field. lra.
  Qed.

  Lemma dot_correct n c d : forall l r f g, vec n c l f -> vec n d r g ->
    val (dot l r) = c * d * sum (fun i => f i * g i) n.
  Proof.
    induction n as [|n IH]; intros l r f g [Hl Hf] [Hr Hg].
    - destruct l; [|discriminate]. cbn [dot sum]. rewrite val_of by exact law. ring.
    - destruct l as [|a l], r as [|b r]; try discriminate. cbn [dot].
      rewrite sum_first, val_add, val_mul by exact law. rewrite (IH l r (fun i => f (S i)) (fun i => g (S i))).
      + pose proof (Hf O ltac:(lia)) as Ha. pose proof (Hg O ltac:(lia)) as Hb. cbn [nth] in Ha, Hb. rewrite Ha, Hb.
        ring.
      + split; [now injection Hl|]. intros i Hi. apply (Hf (S i)). lia.
      + split; [now injection Hr|]. intros i Hi. apply (Hg (S i)). lia.
  Qed.

  Lemma matmul_correct n p m c d L Rt f g : mat n p c L f -> mat m p d Rt g ->
    mat n m (c * d) (matmul L Rt) (fun i j => sum (fun a => f i a * g j a) p).
  Proof.
    intros [HA Hf] [HB Hg]. unfold matmul. split; [now rewrite map_length|]. intros i Hi.
    rewrite (nth_map_lt _ _ _ []) by len. split; [now rewrite map_length|]. intros j Hj.
    rewrite (nth_map_lt _ _ _ []) by len. now apply dot_correct; auto.
  Qed.

  Lemma nth_combine {X Y} (l : list X) : forall (k : list Y) j x y, (j < length l)%nat -> (j < length k)%nat ->
    nth j (combine l k) (x, y) = (nth j l x, nth j k y).
  Proof.
    induction l as [|a l IH]; intros [|b k] [|j] x y Hl Hk; cbn in *; try lia; [reflexivity|]. apply IH; lia.
  Qed.

  Lemma length_columns m L : length (columns m L) = m.
  Proof.
    induction L as [|r L IH]; cbn [columns]; [apply repeat_length|]. rewrite map_length, combine_length, IH.
    destruct (Nat.leb_spec m (length r)); [|rewrite app_length, repeat_length]; lia.
  Qed.

  Lemma nth_columns m L j : (j < m)%nat -> nth j (columns m L) [] = map (fun r => at_ j r) L.
  Proof.
    intros Hj. induction L as [|r L IH]; cbn [columns map].
    - pose proof (repeat_spec m [] (nth j (repeat ([] : row) m) [])) as H. apply H, nth_In. now rewrite repeat_length.
    - set (p := if (m <=? length r)%nat then r else _).
      assert (P : (m <= length p)%nat /\ nth j p (of_Z A 0) = at_ j r).
      { unfold p. destruct (Nat.leb_spec m (length r)) as [L'|L']; [now split|].
        rewrite app_length, repeat_length. split; [lia|]. destruct (Nat.lt_ge_cases j (length r)) as [Hr|Hr].
        - now apply app_nth1.
        - rewrite app_nth2, (nth_overflow r) by exact Hr. apply nth_repeat. }
      destruct P as [P1 P2]. pose proof (length_columns m L) as LC. set (C := columns m L) in *.
      rewrite (nth_map_lt _ _ _ (of_Z A 0, [])) by (rewrite combine_length; lia).
      rewrite nth_combine by lia. cbn [fst snd]. now rewrite P2, IH.
  Qed.

  Lemma columns_correct n m c L f : mat n m c L f -> mat m n c (columns m L) (fun j i => f i j).
  Proof.
    intros [HL Hf]. split; [apply length_columns|]. intros j Hj. rewrite nth_columns by exact Hj.
    split; [now rewrite map_length|]. intros i Hi. rewrite (nth_map_lt _ _ _ []) by len. now apply Hf.
  Qed.

  Lemma floors_correct s n m c L f : mat n m c L f -> floor_mat n m (c * pow2 s) (floors s L) f.
  Proof.
    intros [HL H]. unfold floors. split; [now rewrite map_length|]. intros i Hi. destruct (H i Hi) as [Hm Hv].
    rewrite (nth_map_lt _ _ _ []) by len. split; [now rewrite map_length|]. intros j Hj.
    rewrite (nth_map_lt _ _ _ (of_Z A 0)) by len. specialize (Hv j Hj).
    pose proof (val_shift A law (at_ j (nth i L [])) s) as F. rewrite Hv in F.
    replace (c * pow2 s * f i j) with (c * f i j * pow2 s) by ring. lra.
  Qed.

  (** Weights of one query from arguments by position and token: the smallest gets WEIGHT_BITS. *)
  Definition WEIGHT_BITS : Z := 48.
  Definition MAX_POWER : Z := 4096.
  Definition largest_of (l : list T) (a : T) : T := fold_right (fun x m => if leb A m x then x else m) a l.
  Definition smallest_of (l : list T) (a : T) : T := fold_right (fun x m => if leb A m x then m else x) a l.

  Definition weigh (tab : tables T) (args : list (list (T * T))) : Z * list (list (T * T)) :=
    let zero := of_Z A 0 in
    let flat := concat args in
    let top := match flat with [] => zero | a :: l => largest_of (map snd l) (snd a) end in
    let bottom := match flat with [] => zero | a :: l => smallest_of (map fst l) (fst a) end in
    (* 1.443 is above 1 / ln 2. *)
    let p := Z.min MAX_POWER (WEIGHT_BITS + 1 + (to_Z A (sub A top bottom) * 1443 / 1000) / 2 ^ FINE)%Z in
    (p, map (map (fun a => (exp_below A tab p (sub A (fst a) top),
      match exp_above A tab p (sub A (snd a) top) with Some e => e | None => zero end))) args).

  Lemma largest_correct l a : val a <= val (largest_of l a) /\ forall x, In x l -> val x <= val (largest_of l a).
  Proof.
    induction l as [|b l [IH1 IH2]]; cbn [largest_of fold_right]; [split; [lra|easy]|].
    fold (largest_of l a). destruct (leb A (largest_of l a) b) eqn:E.
    - apply val_leb in E; [|exact law]. split; [lra|]. intros x [<-|H]; [lra|]. specialize (IH2 x H). lra.
    - apply val_leb_false in E; [|exact law]. split; [lra|]. intros x [<-|H]; [lra|]. now apply IH2.
  Qed.

  (** If arguments enclose f, then [weigh] encloses e^f, times a number. *)
  Lemma weigh_correct args n m (f : nat -> nat -> R) : length args = n ->
    (forall i, (i < n)%nat -> length (nth i args []) = m) ->
    (forall i t, (i < n)%nat -> (t < m)%nat -> let a := nth t (nth i args []) (of_Z A 0, of_Z A 0) in
      IZR (to_Z A (fst a)) / IZR (2 ^ FINE) <= f i t <= IZR (to_Z A (snd a)) / IZR (2 ^ FINE)) ->
    exists c, 0 < c /\ length (snd (weigh (exp_tables A) args)) = n /\
      forall i, (i < n)%nat -> length (nth i (snd (weigh (exp_tables A) args)) []) = m /\
        forall t, (t < m)%nat -> let w := nth t (nth i (snd (weigh (exp_tables A) args)) []) (of_Z A 0, of_Z A 0) in
          0 <= val (fst w) <= c * exp (f i t) /\ c * exp (f i t) <= val (snd w).
  Proof.
    intros Hn Hm Hf. unfold weigh. cbv zeta. cbn [snd].
    set (top := match concat args with [] => _ | a :: l => largest_of _ _ end).
    set (p := Z.min _ _). assert (P : 0 < pow2 p) by apply pow2_positive. clearbody p.
    exists (pow2 p * exp (- (IZR (to_Z A top) / IZR (2 ^ FINE)))).
    split; [apply Rmult_lt_0_compat; [exact P|apply exp_pos]|].
    split; [now rewrite map_length|]. intros i Hi. rewrite (nth_map_lt _ _ _ []) by len.
    split; [rewrite map_length; auto|]. intros t Ht. specialize (Hm i Hi).
    rewrite (nth_map_lt _ _ _ (of_Z A 0, of_Z A 0)) by len. cbn [fst snd]. specialize (Hf i t Hi Ht). cbv zeta in Hf.
    assert (Hin : In (nth t (nth i args []) (of_Z A 0, of_Z A 0)) (concat args)).
    { apply in_concat. exists (nth i args []). split; apply nth_In; len. }
    set (a := nth t _ _) in *.
    assert (Htop : val (snd a) <= val top).
    { unfold top. destruct (concat args) as [|b l]; [destruct Hin|].
      destruct (largest_correct (map snd l) (snd b)) as [L1 L2]. destruct Hin as [->|Hin]; [exact L1|].
      apply L2. now apply in_map. }
    clearbody top. assert (HF : 0 < / IZR (2 ^ FINE)) by (apply Rinv_0_lt_compat, IZR_lt; reflexivity).
    rewrite Rmult_assoc, <- exp_plus.
    pose proof (exp_below_correct A law p (sub A (fst a) top)) as [B0 B1].
    rewrite sub_law, minus_IZR in B1 by exact law. unfold Rdiv in *. rewrite Rmult_minus_distr_r in B1. split; [split|].
    - exact B0.
    - apply Rle_trans with (1 := B1). apply Rmult_le_compat_l; [lra|]. apply exp_le. lra.
    - destruct (exp_above A _ p _) as [e|] eqn:E.
      + apply exp_above_correct in E; [|exact law]. rewrite sub_law, minus_IZR in E by exact law.
        unfold Rdiv in E. rewrite Rmult_minus_distr_r in E. apply Rle_trans with (2 := E).
        apply Rmult_le_compat_l; [lra|]. apply exp_le. lra.
      + exfalso. revert E. apply exp_above_found; [exact law|]. rewrite sub_law by exact law.
        apply le_IZR in Htop. assert (0 < 2 ^ (FINE + 10))%Z by reflexivity. lia.
  Qed.
End Matrices.

Section OfModel.
  Context {T : Type} (A : integers T) (law : lawful A).
  Variable D : dyadic.
  Let M := real_model D.
  Let v := n_vocab D.
  Let dm := n_model D.
  Let dh := n_head D.
  Let c := pow2 (Z.of_nat (bits D)).
  Notation tensor := (tensor A).
  Notation columns := (columns A).
  Notation matmul := (matmul A).
  Notation mat := (mat A).

  Definition embedded (i : nat) : list (list T) :=
    let p := nth i (tensor (dpos D)) [] in
    map (fun r => map (fun ab => add A (fst ab) (snd ab)) (combine r p)) (tensor (dE D)).
  Definition through (i : nat) (W : list (list Z)) : list (list T) := matmul (embedded i) (columns dh (tensor W)).
  Definition unembed : list (list T) := columns v (tensor (dU D)).
  Definition scores (i : nat) : list (list T) := matmul (through (n_k D - 1) (dQ D)) (through i (dK D)).
  Definition out (values : list (list T)) : list (list T) :=
    matmul unembed (matmul values (columns dm (tensor (dO D)))).
  Definition attended_exact (i : nat) : list (list T) := out (through i (dV D)).
  Definition direct_exact : list (list T) := matmul (embedded (n_k D - 1)) unembed.

  (** The largest logit of the last token, a sample of the logits, gets LOGIT_BITS. *)
  Definition LOGIT_BITS : Z := 48.
  Definition logit_bits : Z :=
    let sample := out [List.last (through 0 (dV D)) []] in
    let largest := fold_right (fun x m => Z.max (Z.abs (to_Z A x)) m) 0%Z (concat sample) in
    (LOGIT_BITS - (Z.log2 largest - 4 * Z.of_nat (bits D)))%Z.
  Definition direct_floor (b : Z) : list (list T) := floors A (b - 2 * Z.of_nat (bits D)) direct_exact.
  Definition attended_floor (b : Z) (i : nat) : list (list T) :=
    floors A (b - 4 * Z.of_nat (bits D)) (attended_exact i).

  (** The largest score is taken off before the root is multiplied, whose error would grow with it. *)
  Definition weights (tab : tables T) : list (Z * list (list (T * T))) :=
    let r := roots A (Z.of_nat dh) in
    let S := map scores (seq 0 (n_k D)) in
    map (fun q =>
      let rows := map (fun L => nth q L []) S in
      let top := match concat rows with [] => of_Z A 0 | a :: l => largest_of A l a end in
      weigh A tab (map (map (fun x => arguments A r (4 * Z.of_nat (bits D)) (sub A x top))) rows)) (seq 0 v).

  Hypothesis Hwf : well_formed D = true.

  Lemma shapes : (1 <= n_k D)%nat /\ (1 <= dh)%nat /\ shaped v dm (dE D) = true /\ shaped (n_k D) dm (dpos D) = true /\
    shaped dm dh (dQ D) = true /\ shaped dm dh (dK D) = true /\ shaped dm dh (dV D) = true /\
    shaped dh dm (dO D) = true /\ shaped dm v (dU D) = true.
  Proof. unfold well_formed in Hwf. rewrite !andb_true_iff, !Nat.leb_le in Hwf. tauto. Qed.

  Lemma embedded_correct i : (i < n_k D)%nat -> mat v dm c (embedded i) (fun t d => embedding M i t d).
  Proof.
    intros Hi. destruct shapes as (_ & _ & HE & HP & _). apply (tensor_correct A law (bits D)) in HE, HP.
    destruct HE as [EL EV]. destruct (proj2 HP i Hi) as [PL PV]. unfold embedded.
    split; [now rewrite map_length|]. intros t Ht. rewrite (nth_map_lt _ _ _ []) by len. destruct (EV t Ht) as [RL RV].
    assert (CL : length (combine (nth t (tensor (dE D)) []) (nth i (tensor (dpos D)) [])) = dm)
      by (rewrite combine_length, RL, PL; lia).
    split; [now rewrite map_length|]. intros d Hd. rewrite (nth_map_lt _ _ _ (of_Z A 0, of_Z A 0)) by len.
    rewrite combine_nth by exact (eq_trans RL (eq_sym PL)). cbn [fst snd]. rewrite val_add by exact law.
    rewrite RV, PV by exact Hd. symmetry. apply Rmult_plus_distr_l.
  Qed.

  Lemma through_correct i W : (i < n_k D)%nat -> shaped dm dh W = true ->
    mat v dh (c * c) (through i W) (fun t a => sum (fun d => embedding M i t d * entry (bits D) W d a) dm).
  Proof.
    intros Hi HW. apply (tensor_correct A law (bits D)) in HW. apply columns_correct in HW.
    exact (matmul_correct A law _ _ _ _ _ _ _ _ _ (embedded_correct i Hi) HW).
  Qed.

  Lemma scores_correct i : (i < n_k D)%nat ->
    mat v v (c * c * (c * c)) (scores i) (fun q t => sum (fun a => query M q a * key M i t a) dh).
  Proof.
    intros Hi. destruct shapes as (Hk & _ & _ & _ & HQ & HK & _).
    exact (matmul_correct A law _ _ _ _ _ _ _ _ _ (through_correct (n_k D - 1) _ ltac:(lia) HQ)
      (through_correct i _ Hi HK)).
  Qed.

  Lemma attended_correct i : (i < n_k D)%nat ->
    mat v v (c * c * (c * c)) (attended_exact i) (fun o t => attended M i t o).
  Proof.
    intros Hi. destruct shapes as (_ & _ & _ & _ & _ & _ & HV & HO & HU).
    pose proof (columns_correct _ _ _ _ _ _ (tensor_correct A law (bits D) _ _ _ HO)) as CO.
    pose proof (columns_correct _ _ _ _ _ _ (tensor_correct A law (bits D) _ _ _ HU)) as CU.
    pose proof (matmul_correct A law _ _ _ _ _ _ _ _ _ CU
      (matmul_correct A law _ _ _ _ _ _ _ _ _ (through_correct i _ Hi HV) CO)) as H.
    apply (mat_ext _ _ _ _ _ _ _ _ H); [fold c; ring|]. intros o t _ _. apply sum_ext; intros d _. apply Rmult_comm.
  Qed.

  Lemma direct_correct : mat v v (c * c) direct_exact (fun q o => direct M q o).
  Proof.
    destruct shapes as (Hk & _ & _ & _ & _ & _ & _ & _ & HU).
    pose proof (columns_correct _ _ _ _ _ _ (tensor_correct A law (bits D) _ _ _ HU)) as CU.
    exact (matmul_correct A law _ _ _ _ _ _ _ _ _ (embedded_correct (n_k D - 1) ltac:(lia)) CU).
  Qed.

  Theorem direct_floor_correct b : floor_mat A v v (pow2 b) (direct_floor b) (fun q o => direct M q o).
  Proof.
    pose proof (floors_correct A law (b - 2 * Z.of_nat (bits D)) _ _ _ _ _ direct_correct) as H.
    replace (pow2 b) with (c * c * pow2 (b - 2 * Z.of_nat (bits D))); [exact H|].
    unfold c. rewrite <- !pow2_add. f_equal. lia.
  Qed.

  Theorem attended_floor_correct b i : (i < n_k D)%nat ->
    floor_mat A v v (pow2 b) (attended_floor b i) (fun o t => attended M i t o).
  Proof.
    intros Hi. pose proof (floors_correct A law (b - 4 * Z.of_nat (bits D)) _ _ _ _ _ (attended_correct i Hi)) as H.
    replace (pow2 b) with (c * c * (c * c) * pow2 (b - 4 * Z.of_nat (bits D))); [exact H|].
    unfold c. rewrite <- !pow2_add. f_equal. lia.
  Qed.

  Theorem weights_correct q : (q < v)%nat -> let W := snd (nth q (weights (exp_tables A)) (0%Z, [])) in
    exists factor, 0 < factor /\ length W = n_k D /\
      forall i, (i < n_k D)%nat -> length (nth i W []) = v /\
        forall t, (t < v)%nat -> let w := nth t (nth i W []) (of_Z A 0, of_Z A 0) in
          0 <= val A (fst w) <= factor * exp (score M q i t) /\ factor * exp (score M q i t) <= val A (snd w).
  Proof.
    intros Hq. unfold weights. cbv zeta. rewrite nth_map_seq by exact Hq. rewrite map_map.
    set (top := match concat _ with [] => _ | a :: l => largest_of A l a end). clearbody top.
    assert (Hd : (0 < Z.of_nat dh)%Z) by (destruct shapes as (_ & Hd & _); lia).
    assert (Hs : 0 < sqrt (IZR (Z.of_nat dh))) by (apply sqrt_lt_R0, IZR_lt; exact Hd).
    set (unit := pow2 (4 * Z.of_nat (bits D)) * sqrt (IZR (Z.of_nat dh))).
    set (off := IZR (to_Z A top) / unit).
    destruct (weigh_correct A law (map (fun L => map (fun x => arguments A (roots A (Z.of_nat dh))
      (4 * Z.of_nat (bits D)) (sub A x top)) (nth q L [])) (map scores (seq 0 (n_k D)))) (n_k D) v
      (fun i t => score M q i t - off)) as (factor & HF & LW & HW).
    - now rewrite map_length, length_map_seq.
    - intros i Hi. rewrite (nth_map_lt _ _ _ []) by (rewrite length_map_seq; exact Hi).
      rewrite nth_map_seq by exact Hi. rewrite map_length. apply (scores_correct i Hi). exact Hq.
    - intros i t Hi Ht. cbv zeta. rewrite (nth_map_lt _ _ _ []) by (rewrite length_map_seq; exact Hi).
      rewrite nth_map_seq by exact Hi. destruct (proj2 (scores_correct i Hi) q Hq) as [SL SV].
      rewrite (nth_map_lt _ _ _ (of_Z A 0)) by len. specialize (SV t Ht). unfold val in SV.
      pose proof (arguments_correct A law (Z.of_nat dh) (4 * Z.of_nat (bits D))
        (sub A (nth t (nth q (scores i) []) (of_Z A 0)) top) Hd) as H.
      rewrite sub_law, minus_IZR, SV in H by exact law. fold unit in H.
      replace ((_ - IZR (to_Z A top)) / unit) with (score M q i t - off) in H; [exact H|].
      unfold off, unit, score. change (d_head M) with dh. rewrite INR_IZR_INZ.
      replace (pow2 (4 * Z.of_nat (bits D))) with (c * c * (c * c)) by (unfold c; rewrite <- !pow2_add; f_equal; lia).
      assert (0 < c) by apply pow2_positive. field. split; lra.
    - exists (factor * exp (- off)). split; [apply Rmult_lt_0_compat; [exact HF|apply exp_pos]|].
      split; [exact LW|]. intros i Hi. destruct (HW i Hi) as [L H]. split; [exact L|]. intros t Ht. cbv zeta.
      specialize (H t Ht). cbv zeta in H. rewrite Rmult_assoc, <- exp_plus, Rplus_comm. exact H.
  Qed.
End OfModel.
