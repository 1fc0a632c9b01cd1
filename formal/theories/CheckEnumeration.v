(** * Enumeration, evaluated

    [right_by_enumeration D] adds up, stratum by stratum, what [Enumeration.search] counts from lower bounds of the
    terms. It gives up a sequence only if it is wrong, or too close to call at the precision of the tables:

        right_by_enumeration D <= count_correct (real_model D),

    with equality for a model without ties whose margins the tables resolve.

    Rivals are first bounded with zero for every term that is not negative, which needs few products; most are settled
    by that in the whole stratum, for the others the terms are bounded in full.

    Source: `pessimal.kernel.rules.exact`.

    Contents:
      quick_row, full_row — bounds of the terms of one rival in one position.
      right_by_enumeration, right_by_enumeration_correct — the count and its theorem. *)

From Coq Require Import ZArith Reals List Bool Arith Lra Lia.
From Pessimal Require Import Integers Statement Sums TableForm PositionMinima ClassSizes StratumSums Enumeration.
From Pessimal Require Import Exponential Tables CheckPositionMinima.
Import ListNotations.
Open Scope R_scope.

Section Evaluator.
  Context {T : Type} (A : integers T).
  Notation row := (list T).
  Notation at_ i l := (nth i l (of_Z A 0)).
  Notation pair_at i l := (nth i l (of_Z A 0, of_Z A 0)).

  (** Bounds of tokens 0 .. y from weights ws and margins ds; [limit] is -[ahead]. *)
  Definition quick_row (zero ahead limit : T) (y : nat) (ws : list (T * T)) (ds : row) : row :=
    map (fun wd => if leb A limit (snd wd) then zero else mul A (snd (fst wd)) (add A (snd wd) ahead))
      (firstn (S y) (combine ws ds)).
  Definition full_row (ahead : T) (y : nat) (ws : list (T * T)) (ds : row) : row :=
    map (fun wd => lower A ahead (fst wd) (snd wd)) (firstn (S y) (combine ws ds)).

  Variable D : dyadic.
  Let v := n_vocab D.
  Let K := n_k D.

  (** The sum of one rival's last term, and its columns, in stratum (q, y). *)
  Definition rival_of (W : list (list (T * T))) (d : row) (m : list row) (q y o : nat) :
    T * list (column (T := T)) :=
    let ahead := sub A (at_ y d) (at_ o d) in
    let zero := of_Z A 0 in
    let own := lower A ahead (pair_at q (row_at (K - 1) W)) (at_ q (row_at (K - 1) m)) in
    let positions := firstn (K - 1) (combine W m) in
    let limit := sub A zero ahead in
    let quick := prepare y A (map (fun wm => quick_row zero ahead limit y (fst wm) (snd wm)) positions) in
    if leb A (add A own (low A (q =? y)%nat quick)) zero
    then (own, prepare y A (map (fun wm => full_row ahead y (fst wm) (snd wm)) positions))
    else (own, quick).

  Definition right_of (W : list (list (T * T))) (d : row) (M : list (list row)) (q y : nat) : Z :=
    Enumeration.search y A (K - 1) (q =? y)%nat
      (map (fun o => rival_of W d (row_at o M) q y o) (filter (fun o => negb (o =? y)%nat) (seq 0 v))).

  Definition wrong_at_most (W : list (list (list (T * T)))) (direct : list row) (values : list (list row)) : Z :=
    sumZ (fun y => let M := margins A values y in
      sumZ (fun q => if (q <=? y)%nat
        then size y (K - 1) (q =? y)%nat - right_of (row_at q W) (row_at q direct) M q y else 0) v)%Z v.

  Definition right_by_enumeration : Z :=
    if well_formed D && (1 <=? K)%nat then
      let b := logit_bits A D in
      let W := map snd (weights A D (exp_tables A)) in
      let values := by_output D (map (attended_floor A D b) (seq 0 K)) in
      (Z.of_nat v ^ Z.of_nat K - wrong_at_most W (direct_floor A D b) values)%Z
    else 0%Z.

  (** ** Proofs *)

  Hypothesis law : lawful A.
  Notation val := (val A).

  Section Sound.
    Hypothesis Hwf : well_formed D = true.
    Let M := real_model D.
    Variable b : Z.
    Let W := map snd (weights A D (exp_tables A)).
    Let values := by_output D (map (attended_floor A D b) (seq 0 K)).
    Let directs := direct_floor A D b.

    Lemma rows_of_query q : (q < v)%nat -> exists c, 0 < c /\ length (row_at q W) = K /\
      forall i, (i < K)%nat -> length (row_at i (row_at q W)) = v /\
      forall t, (t < v)%nat -> 0 <= val (fst (pair_at t (row_at i (row_at q W)))) /\
      forall y o, (y < v)%nat -> (o < v)%nat ->
        let ahead := sub A (at_ y (row_at q directs)) (at_ o (row_at q directs)) in
        val (lower A ahead (pair_at t (row_at i (row_at q W))) (at_ t (row_at i (row_at o (margins A values y)))))
          <= c * term M q y o i t.
    Proof.
      intros Hq. destruct (weights_correct A law D Hwf q Hq) as (c & Hc & LW & HW). cbv zeta in HW, LW.
      assert (EW : row_at q W = snd (nth q (weights A D (exp_tables A)) (0%Z, []))).
      { unfold W. apply (map_nth snd (weights A D (exp_tables A)) (0%Z, []) q). }
      rewrite <- EW in HW, LW. exists (c * pow2 b). split; [apply Rmult_lt_0_compat; [exact Hc|apply pow2_positive]|].
      split; [exact LW|]. intros i Hi. destruct (HW i Hi) as [L Hw]. split; [exact L|]. intros t Ht.
      destruct (Hw t Ht) as [[W0 W1] W2]. split; [exact W0|]. intros y o Hy Ho. cbv zeta.
      destruct (margins_correct A D law Hwf b y o i Hy Ho Hi) as [_ Hm]. specialize (Hm t Ht).
      change (by_output D (map (attended_floor A D b) (seq 0 (n_k D)))) with values in Hm. destruct (direct_floor_correct A law D Hwf b) as [_ HD]. destruct (HD q Hq) as [_ HDq].
      pose proof (HDq y Hy) as Dy. pose proof (HDq o Ho) as Do. fold directs in Dy, Do. clear HD HDq. fold M in Hm, Dy, Do.
      unfold term. replace (c * pow2 b * (exp (score M q i t) * _)) with (c * exp (score M q i t) *
        (pow2 b * (direct M q y - direct M q o + (attended M i t y - attended M i t o)))) by ring.
      apply lower_correct; [exact law|apply Rmult_lt_0_compat; [exact Hc|apply exp_pos]|split; [exact W1|exact W2]|].
      rewrite val_sub by exact law. lra.
    Qed.

    (** Both kinds of rows are bounds of c times the terms. *)
    Lemma rows_bounded q y o (row_of : list (T * T) -> row -> row) c :
      (q < v)%nat -> (y < v)%nat -> (o < v)%nat -> length (row_at q W) = K ->
      (forall i, (i < K)%nat -> length (row_at i (row_at q W)) = v) ->
      (forall ws ds, length ws = v -> length ds = v -> length (row_of ws ds) = S y) ->
      (forall i t, (i < K)%nat -> (t <= y)%nat ->
        val (at_ t (row_of (row_at i (row_at q W)) (row_at i (row_at o (margins A values y))))) <= c * term M q y o i t) ->
      bounded M A (K - 1) q y c o (map (fun wm => row_of (fst wm) (snd wm))
        (firstn (K - 1) (combine (row_at q W) (row_at o (margins A values y))))).
    Proof.
      intros Hq Hy Ho LW LR Hlen Hbound. set (m := row_at o (margins A values y)) in *.
      assert (Lm : length m = K).
      { unfold m, margins. rewrite map_map. rewrite (nth_map_lt _ _ _ []) by (unfold values, by_output; rewrite length_map_seq; exact Ho).
        rewrite map_length, combine_length. unfold values, by_output. rewrite !nth_map_seq by assumption.
        rewrite !map_length, !seq_length. fold K. lia. }
      set (l := firstn (K - 1) _). assert (Ll : length l = (K - 1)%nat).
      { unfold l. rewrite firstn_length, combine_length, LW, Lm. lia. }
      assert (Hn : forall i, (i < K - 1)%nat -> nth i l ([], []) = (row_at i (row_at q W), row_at i m)).
      { intros i Hi. unfold l. rewrite <- combine_nth by congruence.
        rewrite <- (firstn_skipn (K - 1) (combine (row_at q W) m)) at 2. rewrite app_nth1; [reflexivity|].
        fold l. lia. }
      assert (Lrow : forall i, (i < K)%nat -> length (row_at i m) = v).
      { intros i Hi. apply (margins_correct A D law Hwf b y o i Hy Ho Hi). }
      split; [now rewrite map_length|]. split.
      - apply Forall_forall. intros r (wm & <- & Hin)%in_map_iff. apply (In_nth _ _ ([], [])) in Hin as (i & Hi & <-).
        rewrite Ll in Hi. rewrite Hn by exact Hi. cbn [fst snd]. apply Hlen; [apply LR|apply Lrow]; lia.
      - intros i t Hi Ht. rewrite (nth_map_lt _ _ _ ([], [])) by lia. rewrite Hn by exact Hi. cbn [fst snd].
        apply Hbound; lia.
    Qed.

    Lemma at_row (f : (T * T) * T -> T) y ws ds t : (y < v)%nat -> (t <= y)%nat -> length ws = v -> length ds = v ->
      at_ t (map f (firstn (S y) (combine ws ds))) = f (pair_at t ws, at_ t ds).
    Proof.
      intros Hy Ht Hw Hd. assert (L : length (combine ws ds) = v) by (rewrite combine_length; lia).
      rewrite (nth_map_lt _ _ _ ((of_Z A 0, of_Z A 0), of_Z A 0)) by (rewrite firstn_length; lia). f_equal.
      rewrite <- combine_nth by congruence. rewrite <- (firstn_skipn (S y) (combine ws ds)) at 2.
      rewrite app_nth1; [reflexivity|]. rewrite firstn_length; lia.
    Qed.

    Lemma row_length (f : (T * T) * T -> T) y ws ds : (y < v)%nat -> length ws = v -> length ds = v ->
      length (map f (firstn (S y) (combine ws ds))) = S y.
    Proof. intros. rewrite map_length, firstn_length, combine_length. lia. Qed.

    Theorem right_of_correct q y : (q <= y)%nat -> (y < v)%nat ->
      (1 * count (fun s => in_stratum q y s && wrong M q s) (sequences (K - 1) v)
        <= size y (K - 1) (q =? y)%nat - right_of (row_at q W) (row_at q directs) (margins A values y) q y)%Z.
    Proof.
      intros Hqy Hy. assert (HK : (1 <= K)%nat) by apply (shapes D Hwf). rewrite Z.mul_1_l.
      destruct (rows_of_query q ltac:(lia)) as (c & Hc & LW & HW).
      set (r o := rival_of (row_at q W) (row_at q directs) (row_at o (margins A values y)) q y o).
      assert (E : right_of (row_at q W) (row_at q directs) (margins A values y) q y
        = right_of_stratum M A (K - 1) q y (fun o => fst (r o)) (fun o => snd (r o))).
      { unfold right_of, right_of_stratum, start, rivals. fold v. f_equal. apply map_ext. intros o.
        fold (r o). apply surjective_pairing. }
      rewrite E. apply (right_of_stratum_counts M A law (K - 1) q y _ _ c); auto.
      - cbn. fold K. lia.
      - intros o Ho _. change (d_vocab M) with v in Ho. unfold r, rival_of. cbv zeta.
        set (ahead := sub A (at_ y (row_at q directs)) (at_ o (row_at q directs))).
        assert (Full : bounded M A (K - 1) q y c o (map (fun wm => full_row ahead y (fst wm) (snd wm))
          (firstn (K - 1) (combine (row_at q W) (row_at o (margins A values y)))))).
        { apply rows_bounded; auto; [lia|intros i Hi; now apply HW|intros; now apply row_length|].
          intros i t Hi Ht. destruct (HW i Hi) as [Lw Hw]. destruct (Hw t ltac:(lia)) as [_ B].
          destruct (margins_correct A D law Hwf b y o i Hy Ho Hi) as [Lm _]. unfold full_row.
          rewrite at_row by assumption. cbn [fst snd]. now apply B. }
        assert (Quick : bounded M A (K - 1) q y c o
          (map (fun wm => quick_row (of_Z A 0) ahead (sub A (of_Z A 0) ahead) y (fst wm) (snd wm))
          (firstn (K - 1) (combine (row_at q W) (row_at o (margins A values y)))))).
        { apply rows_bounded; auto; [lia|intros i Hi; now apply HW|intros; now apply row_length|].
          intros i t Hi Ht. destruct (HW i Hi) as [Lw Hw]. destruct (Hw t ltac:(lia)) as [W0 B].
          specialize (B y o Hy Ho). cbv zeta in B. fold ahead in B.
          destruct (margins_correct A D law Hwf b y o i Hy Ho Hi) as [Lm _]. unfold quick_row.
          rewrite at_row by assumption. cbn [fst snd].
          set (d := at_ t (row_at i (row_at o (margins A values y)))) in *. unfold lower in B. cbv zeta in B.
          destruct (leb A (sub A (of_Z A 0) ahead) d) eqn:L.
          - apply val_leb in L; [|exact law]. rewrite val_sub, val_of in L by exact law.
            assert (F : leb A (of_Z A 0) (add A d ahead) = true).
            { apply val_leb; [exact law|]. rewrite val_of, val_add by exact law. lra. }
            rewrite F, val_mul, val_add in B by exact law. rewrite val_of by exact law.
            assert (P : 0 <= val d + val ahead) by lra. pose proof (Rmult_le_pos _ _ W0 P). lra.
          - apply val_leb_false in L; [|exact law]. rewrite val_sub, val_of in L by exact law.
            assert (F : leb A (of_Z A 0) (add A d ahead) = false).
            { apply val_leb_false; [exact law|]. rewrite val_of, val_add by exact law. lra. }
            rewrite F in B. exact B. }
        destruct (leb A _ (of_Z A 0)); cbn [snd]; eexists; split; try reflexivity; assumption.
      - intros o Ho _. change (d_vocab M) with v in Ho. unfold r, rival_of. cbv zeta.
        destruct (HW (K - 1)%nat ltac:(lia)) as [_ Hw]. destruct (Hw q ltac:(lia)) as [_ B].
        specialize (B y o Hy Ho). cbv zeta in B. destruct (leb A _ (of_Z A 0)); cbn [fst]; exact B.
    Qed.
  End Sound.
End Evaluator.

Theorem right_by_enumeration_correct {T} (A : integers T) (D : dyadic) : lawful A ->
  (right_by_enumeration A D <= count_correct (real_model D))%Z.
Proof.
  intros law. assert (H0 : (0 <= count_correct (real_model D))%Z) by (unfold count_correct; lia).
  unfold right_by_enumeration. destruct (well_formed D) eqn:Hwf; [|exact H0].
  destruct (Nat.leb_spec 1 (n_k D)) as [HK|_]; [|exact H0]. cbn [andb]. cbv zeta.
  set (b := logit_bits A D). set (W := map snd _). set (values := by_output D _). set (directs := direct_floor A D b).
  pose proof (wrong_by_stratum (real_model D) (n_k D - 1) 1 (fun q y => size y (n_k D - 1) (q =? y)%nat
    - right_of A D (row_at q W) (row_at q directs) (margins A values y) q y)%Z) as H.
  unfold over_strata in H. rewrite sumZ_swap in H. change (d_vocab (real_model D)) with (n_vocab D) in H.
  change (k (real_model D)) with (n_k D) in H. unfold wrong_at_most.
  enough (1 * (Z.of_nat (n_vocab D) ^ Z.of_nat (n_k D) - count_correct (real_model D))
    <= sumZ (fun y => sumZ (fun q => if (q <=? y)%nat then size y (n_k D - 1) (q =? y)%nat
      - right_of A D (row_at q W) (row_at q directs) (margins A values y) q y else 0) (n_vocab D)) (n_vocab D))%Z
    by lia.
  apply H; [lia|lia|]. intros q y Hq Hy. exact (right_of_correct A D law Hwf b q y Hq Hy).
Qed.
