(** * The evaluator of exponential moment and grid counting

    [right_by_sums_at A D o b] computes the tables of a model with dyadic weights and, stratum by stratum and problem by
    problem, the bounds of CheckStratum.v; a stratum has at most as many wrong sequences as the sum over its problems,
    rounded down, and at most its size. What is left of all sequences is right:

        right_by_sums_at A D o b <= count_correct (real_model D)        for all options and hints o,

    whatever the unit 2^-b of logits.

    Tilts and steps are (m, e) for m 2^e, by problem and then by stratum, in the order of the certificate: by last token
    q, then by target y >= q. A missing pair, or m <= 0, is no tilt, or no step.

    Source: `pessimal.kernel.rules.exponential_moment`, `pessimal.kernel.rules.grid_count`.

    Contents:
      options — the options and hints of a certificate.
      right_by_sums_at, right_by_sums_at_correct — the evaluator and its theorem.
      right_by_sums, right_by_sums_correct — the same with [logit_bits]. *)

From Coq Require Import Reals ZArith List Bool Arith Lra Lia.
From Pessimal Require Import Integers Statement Sums TableForm Exponential Tables ClassSizes StratumSums.
From Pessimal Require Import ExponentialMoment GridCounting Margins Terms CheckStratum.
Import ListNotations.
Open Scope Z_scope.

Record options := {
  rival : rivals; pooled : bool; near : nat;
  tilts : list (list (Z * Z));
  grid : option (list (list (Z * Z)) * Z)     (* steps, cells *)
}.

(** Cut into rows of v, v - 1, .., 1. *)
Fixpoint triangle {X} (v : nat) (l : list X) : list (list X) :=
  match v with O => [] | S v' => firstn v l :: triangle v' (skipn v l) end.

Definition total_sequences (D : dyadic) : Z := Z.of_nat (n_vocab D) ^ Z.of_nat (n_k D).

(* Digits of the inverse of a step. *)
Definition INVERSE : Z := 160.

Section Sums.
  Context {T : Type} (A : integers T).
  Notation hints := (list (list (list (Z * Z)))).
  Notation zero := (Margins.zero A).

  (** The hint of the first problem for a stratum. *)
  Definition hint (q y : nat) (l : hints) : Z * Z := nth (y - q) (nth q (hd [] l) []) (0, 0).

  (** Bound for one problem in units of 2^-UNIT; terms are in units of 2^-bits. *)
  Definition problem_bound (tab : tables T) (n : nat) (pooled : bool) (slot cells bits size : Z) (q y : nat)
    (tilt step : Z * Z) (tm : terms (T := T)) : Z :=
    let by_moment :=
      if 0 <? fst tilt
      then match moment A tab n pooled q y (of_Z A (fst tilt)) (snd tilt - bits + FINE) tm with
           | Some z => z | None => size end
      else size in
    if 0 <? fst step
    then match counted_sequences A n pooled slot cells q y (of_Z A (2 ^ INVERSE / fst step))
                 (- INVERSE - bits - snd step) tm with
         | Some z => Z.min by_moment (2 ^ UNIT * z) | None => by_moment end
    else by_moment.

  Fixpoint over_problems (bound : Z * Z -> Z * Z -> problem (T := T) -> Z) (q y : nat) (ps : list (problem (T := T)))
    (tilts steps : hints) : Z :=
    match ps with
    | [] => 0
    | p :: ps' => bound (hint q y tilts) (hint q y steps) p + over_problems bound q y ps' (tl tilts) (tl steps)
    end.

  Variables (D : dyadic) (o : options).
  Let v := n_vocab D.
  Let n := (n_k D - 1)%nat.

  (** Sizes of the strata of target y, in units of 2^-UNIT: that of the last token y, and that of another. *)
  Definition stratum_sizes : list (Z * Z) :=
    map (fun y => let rows := repeat (of_Z A (Z.of_nat y), of_Z A 1) n in
      let size same := Z.shiftl (to_Z A (passed A (fun a => a) rows (start A (negb same)) (start A same))) UNIT in
      (size true, size false)) (seq 0 v).

  (** Wrong sequences of stratum (q, y). W: weights of q by position and token; pW: those before the last, pooled. *)
  Definition stratum_bound (tab : tables T) (slot cells bits : Z) (tilts steps : hints) (W pW : list (list (T * T)))
    (ps : list (list (problem (T := T)))) (sizes : list (Z * Z)) (q y : nat) : Z :=
    let size := (if (q =? y)%nat then fst else snd) (nth y sizes (0, 0)) in
    let own := nth q (nth n W []) (zero, zero) in
    let bound tilt step p :=
      problem_bound tab n (pooled o) slot cells bits size q y tilt step (terms_of A (near o) pW own q y p) in
    Z.min size (over_problems bound q y (nth y ps []) tilts steps).

  Definition wrong_bound (b : Z) : Z :=
    let tab := exp_tables A in
    let slot := Z.log2 (Z.of_nat v ^ Z.of_nat n) + 2 in
    let cells := match grid o with Some (_, c) => c | None => 0 end in
    let tilts := map (triangle v) (tilts o) in
    let steps := map (triangle v) match grid o with Some (l, _) => l | None => [] end in
    let V := map (attended_floor A D b) (seq 0 (n_k D)) in
    let direct := columns A v (direct_floor A D b) in
    let ps := problems A (rival o) (pooled o) n V direct in
    let Ws := weights A D tab in
    let sizes := stratum_sizes in
    sumZ (fun q =>
      let pW := nth q Ws (0, []) in
      let W := snd pW in
      let before := pooled_rows (pooled o) (wider A) (firstn n W) in
      let of_q := ps q in
      sumZ (fun y => if (q <=? y)%nat
        then stratum_bound tab slot cells (fst pW + b) tilts steps W before of_q sizes q y / 2 ^ UNIT else 0) v) v.

  Definition right_by_sums_at (b : Z) : Z :=
    if well_formed D && (2 <=? v)%nat then total_sequences D - wrong_bound b else 0.
  Definition right_by_sums : Z := right_by_sums_at (logit_bits A D).

  (** ** Proofs *)

  Hypothesis law : lawful A.
  Let M := real_model D.

  Section Stratum.
    Variables (q y : nat) (slot cells bits : Z) (W pW : list (list (T * T))) (V : list (list (list T)))
      (direct_path : list (list T)) (B F : R).
    Hypotheses (HK : n_k D = S n) (Hqy : (q <= y)%nat) (Hy : (y < v)%nat) (HB : (0 < B)%R) (HF : (0 < F)%R).
    Hypotheses (Hslot : 0 < slot) (room : Z.of_nat v ^ Z.of_nat n < 2 ^ slot - 1).
    Notation entry L a b := (to_Z A (nth b (nth a L []) zero)).
    Notation weight := (nth q (nth n W []) (zero, zero)).
    Hypothesis HV : forall i a t, (i <= n)%nat -> (a < v)%nat -> (t < v)%nat ->
      (IZR (entry (nth i V []) a t) <= B * attended M i t a <= IZR (entry (nth i V []) a t) + 1)%R.
    Hypothesis HD : forall a, (a < v)%nat ->
      (IZR (entry direct_path a q) <= B * direct M q a <= IZR (entry direct_path a q) + 1)%R.
    Hypothesis HW : length (spread (pooled o) n pW) = n /\ forall i, (i < n)%nat ->
      length (nth i (spread (pooled o) n pW) []) = v /\ forall t, (t < v)%nat ->
      let x := nth t (nth i (spread (pooled o) n pW) []) (zero, zero) in
      (IZR (to_Z A (fst x)) <= F * exp (score M q i t) <= IZR (to_Z A (snd x)))%R.
    Hypothesis Hw : (IZR (to_Z A (fst weight)) <= F * exp (score M q n q) <= IZR (to_Z A (snd weight)))%R.

    (** Wrong against one of some rivals. *)
    Definition beaten (R : list nat) (s : list nat) : bool :=
      let x := token (s ++ [q]) in
      existsb (fun a => if Rlt_dec (logit M x a) (logit M x y) then false else true) R.

    Notation all := (sequences n v).
    Notation size := (2 ^ UNIT * stratum_size n q y).

    Lemma at_most_size bad : 2 ^ UNIT * count (fun s => in_stratum q y s && bad s) all <= size.
    Proof.
      apply Z.mul_le_mono_nonneg_l; [now apply Z.pow_nonneg|]. rewrite <- (stratum_size_counts n q y v Hqy Hy).
      rewrite !count_over. apply over_le. intros s _. destruct (in_stratum q y s), (bad s); cbn; lia.
    Qed.

    Lemma problem_bound_correct p R tilt step : R <> [] -> (forall a, In a R -> (a < v)%nat) ->
      (forall a, In a R -> fits A v (pooled o) n V direct_path q y p a) ->
      2 ^ UNIT * count (fun s => in_stratum q y s && beaten R s) all
      <= problem_bound (exp_tables A) n (pooled o) slot cells bits size q y tilt step
           (terms_of A (near o) pW weight q y p).
    Proof.
      intros HR Hv Hp. set (tm := terms_of _ _ _ _ _ _ _).
      assert (Hfar : (n_far tm <= y)%nat) by (unfold tm, terms_of; cbn [n_far]; lia).
      assert (Hnear : length (spread (pooled o) n (Terms.near tm)) = n /\ forall i, (i < n)%nat ->
        length (nth i (spread (pooled o) n (Terms.near tm)) []) = S (y - n_far tm)).
      { destruct R as [|a R]; [congruence|].
        apply (near_spread A M n (pooled o) (near o) q y a p V direct_path pW weight F); auto using in_eq. }
      assert (sums : forall s, In s all -> in_stratum q y s = true -> beaten R s = true ->
        total (functions A n (pooled o) tm) s + to_Z A (own tm) <= 0).
      { intros s Hs Hin (a & Ha & Hl)%existsb_exists. destruct (Rlt_dec _ _) as [|Hn]; [discriminate|].
        apply (terms_correct A law M n (pooled o) (near o) q y a p V direct_path pW weight B F); auto.
        apply Rnot_lt_le in Hn. exact Hn. }
      pose proof (at_most_size (beaten R)) as HS. unfold problem_bound.
      set (by_moment := if 0 <? fst tilt then _ else _).
      assert (HM : 2 ^ UNIT * count (fun s => in_stratum q y s && beaten R s) all <= by_moment).
      { unfold by_moment. destruct (Z.ltb_spec 0 (fst tilt)); [|exact HS].
        destruct (moment _ _ _ _ _ _ _ _ _) as [z|] eqn:E; [|exact HS].
        apply (moment_correct A _ law v) with (bad := beaten R) in E; auto. rewrite (of_Z_law A law). lia. }
      destruct (Z.ltb_spec 0 (fst step)) as [Hs|_]; [|exact HM].
      destruct (counted_sequences _ _ _ _ _ _ _ _ _ _) as [z|] eqn:E; [|exact HM]. apply Z.min_glb; [exact HM|].
      apply (counted_correct A law v) with (bad := beaten R) in E; auto.
      - apply Z.mul_le_mono_nonneg_l; [now apply Z.pow_nonneg|exact E].
      - rewrite (of_Z_law A law). apply Z.div_pos; [now apply Z.pow_nonneg|exact Hs].
    Qed.

    Lemma over_problems_correct bound : forall ps Rs, (forall p R tilt step, In R Rs ->
        (forall a, In a R -> fits A v (pooled o) n V direct_path q y p a) ->
        2 ^ UNIT * count (fun s => in_stratum q y s && beaten R s) all <= bound tilt step p) ->
      Forall2 (fun p R => forall a, In a R -> fits A v (pooled o) n V direct_path q y p a) ps Rs -> forall tilts steps,
      2 ^ UNIT * count (fun s => in_stratum q y s && existsb (fun R => beaten R s) Rs) all
      <= over_problems bound q y ps tilts steps.
    Proof.
      intros ps Rs Hb H. induction H as [|p R ps Rs Hp _ IH]; intros tilts steps; cbn [over_problems existsb].
      - rewrite count_over, (over_ext _ _ (fun _ => 0 * 0)), over_scale; [lia|]. intros s _. now rewrite andb_false_r.
      - specialize (Hb p R (hint q y tilts) (hint q y steps) (or_introl eq_refl) Hp) as H1.
        specialize (IH (fun p R tilt step HR => Hb p R tilt step (or_intror HR)) (tl tilts) (tl steps)).
        rewrite count_over in H1. rewrite count_over in IH. rewrite count_over.
        assert (HU : 0 <= 2 ^ UNIT) by now apply Z.pow_nonneg.
        apply Z.le_trans with (2 ^ UNIT * over all (fun s => one (in_stratum q y s && beaten R s)
          + one (in_stratum q y s && existsb (fun R => beaten R s) Rs))).
        + apply Z.mul_le_mono_nonneg_l; [assumption|]. apply over_le. intros s _.
          destruct (in_stratum q y s), (beaten R s), (existsb _ Rs); cbn; lia.
        + rewrite over_plus, Z.mul_add_distr_l. now apply Z.add_le_mono.
    Qed.

    Lemma wrong_beaten s : In s all -> in_stratum q y s = true -> wrong M q s = true ->
      existsb (fun R => beaten R s) (rivals_of v (rival o) y) = true.
    Proof.
      intros [Ls _]%in_sequences Hin Hwrong. apply existsb_exists. unfold wrong in Hwrong.
      apply negb_true_iff in Hwrong.
      pose proof (largest_of_stratum q y s Hin) as HL. rewrite app_length, Ls, Nat.add_1_r in HL.
      unfold is_correct in Hwrong. change (k M) with (n_k D) in Hwrong. rewrite HK, HL in Hwrong. cbv zeta in Hwrong.
      change (d_vocab M) with v in Hwrong.
      assert (H : exists a, In a (seq 0 v) /\ ((a =? y)%nat || (if Rlt_dec (logit M (token (s ++ [q])) a)
        (logit M (token (s ++ [q])) y) then true else false)) = false).
      { clear -Hwrong. induction (seq 0 v) as [|a l IH]; [discriminate|]. cbn [forallb] in Hwrong.
        apply andb_false_iff in Hwrong as [H|H]; [exists a; split; [now left|exact H]|].
        destruct (IH H) as (b & Hb & E). exists b. split; [now right|exact E]. }
      destruct H as (a & Ha%in_seq & [Hne Hl]%orb_false_iff). apply Nat.eqb_neq in Hne.
      destruct (rivals_of_all v (rival o) y a ltac:(lia) Hne) as (R & HR & HaR). exists R. split; [exact HR|].
      apply existsb_exists. exists a. split; [exact HaR|]. destruct (Rlt_dec _ _); [discriminate|reflexivity].
    Qed.

    Lemma rivals_nonempty R : (2 <= v)%nat -> In R (rivals_of v (rival o) y) ->
      R <> [] /\ forall a, In a R -> (a < v)%nat.
    Proof.
      intros Hv HR. assert (H : forall a, In a (others y (seq 0 v)) -> (a < v)%nat)
        by (intros a; rewrite in_others; tauto).
      assert (C : R = others y (seq 0 v) \/ exists a, R = [a] /\ In a (others y (seq 0 v))).
      { unfold rivals_of in HR. destruct (rival o); try (left; destruct HR as [HR|[]]; now symmetry).
        right. apply in_map_iff in HR as (a & <- & Ha). now exists a. }
      destruct C as [-> |(a & -> & Ha)].
      - split; [|exact H]. intros E. assert (In (if (y =? 0)%nat then 1 else 0)%nat []) as []. rewrite <- E.
        apply in_others. destruct (Nat.eqb_spec y 0); lia.
      - split; [congruence|]. intros b [<-|[]]. now apply H.
    Qed.

    Lemma stratum_sizes_correct : (if (q =? y)%nat then fst else snd) (nth y stratum_sizes (0, 0)) = size.
    Proof.
      unfold stratum_sizes. rewrite nth_map_seq by exact Hy. cbv zeta.
      assert (H : forall same, Z.shiftl (to_Z A (passed A (fun a => a) (repeat (of_Z A (Z.of_nat y), of_Z A 1) n)
        (start A (negb same)) (start A same))) UNIT
        = 2 ^ UNIT * pass (repeat (Z.of_nat y, 1) n) (one (negb same)) (one same)).
      { intros same. rewrite Z.shiftl_mul_pow2, Z.mul_comm by easy. f_equal.
        rewrite (passed_correct A law _ (fun a => a)), reduced_pass_id, !(start_correct A law) by reflexivity. f_equal.
        generalize n as m. induction m as [|m IH]; [reflexivity|]. cbn [repeat map fst snd].
        now rewrite IH, !(of_Z_law A law). }
      unfold stratum_size, stratum_sum. cbn [fst snd]. destruct (q =? y)%nat; apply H.
    Qed.

    Theorem stratum_bound_correct ps tilts steps : (2 <= v)%nat ->
      fit_all A v (pooled o) n V direct_path (rival o) q y (nth y ps []) ->
      2 ^ UNIT * count (fun s => in_stratum q y s && wrong M q s) all
      <= stratum_bound (exp_tables A) slot cells bits tilts steps W pW ps stratum_sizes q y.
    Proof.
      intros Hv Hfit. unfold stratum_bound. cbv zeta. rewrite stratum_sizes_correct.
      apply Z.min_glb; [apply at_most_size|].
      eapply Z.le_trans; [|apply over_problems_correct with (Rs := rivals_of v (rival o) y); [|exact Hfit]].
      - apply Z.mul_le_mono_nonneg_l; [now apply Z.pow_nonneg|]. rewrite !count_over. apply over_le. intros s Hs.
        destruct (in_stratum q y s) eqn:Hin; [|cbn; lia]. destruct (wrong M q s) eqn:Hwr; cbn [andb one].
        + now rewrite wrong_beaten.
        + destruct (existsb _ _); cbn; lia.
      - intros p R tilt step HR Hp. destruct (rivals_nonempty R Hv HR). now apply problem_bound_correct.
    Qed.
  End Stratum.

  Section Whole.
    Hypotheses (Hwf : well_formed D = true) (Hv : (2 <= v)%nat).

    Lemma wrong_bound_correct b : total_sequences D - count_correct M <= wrong_bound b.
    Proof.
      destruct (shapes D Hwf) as [Hk _]. assert (HK : n_k D = S n) by (unfold n; lia).
      unfold wrong_bound. set (slot := Z.log2 _ + 2). set (cells := match grid o with Some (_, c) => c | None => 0 end).
      set (tl := map (triangle v) (tilts o)).
      set (st := map (triangle v) match grid o with Some (l, _) => l | None => [] end).
      set (V := map (attended_floor A D b) _).
      set (direct_path := columns A v (direct_floor A D b)).
      set (ps := problems A (rival o) (pooled o) n V direct_path). set (Ws := weights A D (exp_tables A)). cbv zeta.
      set (before q := pooled_rows (pooled o) (wider A) (firstn n (snd (nth q Ws (0, []))))).
      apply (wrong_by_floors M n (2 ^ UNIT) (fun q y => stratum_bound (exp_tables A) slot cells
        (fst (nth q Ws (0, [])) + b) tl st (snd (nth q Ws (0, []))) (before q) (ps q) stratum_sizes q y) HK);
        [now apply Z.pow_pos_nonneg|].
      intros q y Hqy Hy. change (d_vocab M) with v in *. assert (Hq : (q < v)%nat) by lia.
      destruct (weights_correct A law D Hwf q Hq) as (F & HF & LW & HW). fold Ws M in LW, HW.
      assert (LV : length V = S n) by (unfold V; now rewrite length_map_seq).
      assert (NV : forall i, (i < n_k D)%nat -> nth i V [] = attended_floor A D b i)
        by (intros i Hi; unfold V; now rewrite nth_map_seq).
      destruct (direct_floor_correct A law D Hwf b) as [LD VD].
      assert (HX : 0 < Z.of_nat v ^ Z.of_nat n) by (apply Z.pow_pos_nonneg; lia).
      assert (Hroom : Z.of_nat v ^ Z.of_nat n < 2 ^ slot - 1).
      { destruct (Z.log2_spec _ HX) as [_ L]. unfold slot. pose proof (Z.log2_nonneg (Z.of_nat v ^ Z.of_nat n)).
        replace (Z.log2 (Z.of_nat v ^ Z.of_nat n) + 2) with (Z.succ (Z.succ (Z.log2 (Z.of_nat v ^ Z.of_nat n)))) by lia.
        rewrite Z.pow_succ_r by lia. assert (1 < 2 ^ Z.succ (Z.log2 (Z.of_nat v ^ Z.of_nat n)))
          by (apply Z.pow_gt_1; lia). lia. }
      apply (stratum_bound_correct q y slot cells _ _ _ V direct_path (pow2 b) F); auto; try lia.
      - apply pow2_positive.
      - unfold slot. pose proof (Z.log2_nonneg (Z.of_nat v ^ Z.of_nat n)). lia.
      - intros i a t Hi Ha Ht. rewrite NV by lia. destruct (attended_floor_correct A law D Hwf b i ltac:(lia)) as [_ H].
        destruct (H a Ha) as [_ H']. apply (H' t Ht).
      - intros a Ha. unfold direct_path. rewrite nth_columns by exact Ha.
        rewrite (nth_map_lt _ _ _ []) by (rewrite LD; exact Hq). destruct (VD q Hq) as [_ H]. apply (H a Ha).
      - destruct (pooled_correct (pooled o) (wider A)
          (fun x z => to_Z A (fst x) <= to_Z A (fst z) /\ to_Z A (snd z) <= to_Z A (snd x)) (zero, zero) v)
          with (n := n) (l := firstn n (snd (nth q Ws (0, [])))) as [P1 P2].
        + intros; lia.
        + intros; lia.
        + intros x z. unfold wider. cbn [fst snd]. pose proof (smaller_le A law (fst x) (fst z)).
          pose proof (larger_le A law (snd x) (snd z)). lia.
        + rewrite firstn_length. lia.
        + intros s (i & Hi & <-)%(In_nth _ _ []). rewrite firstn_length in Hi. rewrite nth_firstn by lia. apply HW. lia.
        + split; [exact P1|]. intros i Hi. destruct (P2 i Hi) as [P3 P4]. split; [exact P3|]. intros t Ht. cbv zeta.
          specialize (P4 t Ht). rewrite nth_firstn in P4 by exact Hi. destruct (HW i ltac:(lia)) as [_ HW'].
          specialize (HW' t Ht). cbv zeta in HW'. destruct P4 as [Q1 Q2]. apply IZR_le in Q1, Q2.
          unfold before. unfold val in HW'. change (of_Z A 0) with zero in HW'. lra.
      - destruct (HW n ltac:(lia)) as [_ HW']. specialize (HW' q Hq). cbv zeta in HW'. unfold val in HW'.
        change (of_Z A 0) with zero in HW'. lra.
      - apply problems_correct; auto.
        + apply Forall_forall. intros L (i & Hi & <-)%(In_nth _ _ []). rewrite LV in Hi. rewrite NV by lia.
          destruct (attended_floor_correct A law D Hwf b i ltac:(lia)) as [H1 H2]. split; [exact H1|]. intros a Ha.
          now destruct (H2 a Ha).
        + unfold direct_path. split; [apply length_columns|]. intros a Ha. rewrite nth_columns by exact Ha. now rewrite map_length.
    Qed.
  End Whole.

  Theorem right_by_sums_at_correct b : right_by_sums_at b <= count_correct M.
  Proof.
    assert (H0 : 0 <= count_correct M) by (unfold count_correct; lia). unfold right_by_sums_at.
    destruct (well_formed D) eqn:Hwf; [|exact H0]. destruct (Nat.leb_spec 2 v) as [Hv|_]; [|exact H0]. cbn [andb].
    pose proof (wrong_bound_correct Hwf Hv b). lia.
  Qed.

  Theorem right_by_sums_correct : right_by_sums <= count_correct M.
  Proof. apply right_by_sums_at_correct. Qed.
End Sums.
