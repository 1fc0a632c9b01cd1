(** * Position minima, evaluated

    [right_by_position_minima D] computes the tables of a model with dyadic weights, lower bounds of the terms, their
    minima position by position, and adds up the sizes of the boxes that are certified against every rival:

        right_by_position_minima D <= count_correct (real_model D).

    Minima are first replaced by the smallest negative bound, or zero, which is lower and needs few products; where a
    box is not certified by these, they are computed in full. So the boxes are those that full minima certify.

    Source: `pessimal.kernel.rules.position_minima`.

    Contents:
      lower — lower bound of a term; scan — minima over tokens; bounds — sums over positions, box by box.
      survivors — boxes certified against all rivals.
      right_by_position_minima_at, right_by_position_minima_at_correct — the count, from logits in units of 2^-b for any
        b, and its theorem.
      right_by_position_minima, right_by_position_minima_correct — the same with [logit_bits]. *)

From Coq Require Import ZArith Reals List Bool Arith Lra Lia.
From Pessimal Require Import Integers Statement Sums TableForm PositionMinima ClassSizes Exponential Tables.
Import ListNotations.
Open Scope R_scope.

Notation row_at i L := (nth i L []).

Lemma nth_combine_firstn {X Y} (x : X) (y : Y) n : forall L R i,
  (i < n)%nat -> (i < length L)%nat -> (i < length R)%nat ->
  nth i (combine (firstn n L) R) (x, y) = (nth i L x, nth i R y).
Proof.
  induction n as [|n IH]; intros [|a L] [|b R] [|i] Hn HL HR; cbn in *; try lia; [reflexivity|]. apply IH; lia.
Qed.

Section Evaluator.
  Context {T : Type} (A : integers T).
  Notation row := (list T).
  Notation at_ i l := (nth i l (of_Z A 0)).
  Notation pair_at i l := (nth i l (of_Z A 0, of_Z A 0)).

  (** Weight bounds w, rounded margin d of values, `ahead` the direct margin: bound of weight times margin. *)
  Definition lower (ahead : T) (w : T * T) (d : T) : T :=
    let m := add A d ahead in mul A (if leb A (of_Z A 0) m then fst w else snd w) m.

  Definition smaller (a : option T) (b : T) : option T :=
    Some match a with None => b | Some m => if leb A m b then m else b end.

  (** Smallest bound over the first n tokens, of the negative ones alone if quick, and the bound of token n; [limit] is
      -[ahead]. *)
  Definition scan (quick : bool) (ahead limit : T) : nat -> list (T * T) -> row -> option T -> option T * T :=
    fix go n ws ds acc :=
      match ws, ds with
      | w :: ws', d :: ds' =>
          match n with
          | O => (acc, lower ahead w d)
          | S n' =>
              if leb A limit d then
                if quick then go n' ws' ds' acc else go n' ws' ds' (smaller acc (mul A (fst w) (add A d ahead)))
              else go n' ws' ds' (smaller acc (mul A (snd w) (add A d ahead)))
          end
      | _, _ => (acc, of_Z A 0)
      end.

  (** Minima below y, at y, and up to y, from the pair that [scan] gives at y. *)
  Definition under (p : option T * T) : T := match fst p with None => of_Z A 0 | Some m => m end.
  Definition upto (p : option T * T) : T :=
    match fst p with None => snd p | Some m => if leb A m (snd p) then m else snd p end.

  (** Box by box, the sum over positions; [before] is what comes from the positions so far and the last one. *)
  Definition total (l : list (option T * T)) : T := fold_right (fun p s => add A (upto p) s) (of_Z A 0) l.
  Fixpoint bounds (before : T) (l : list (option T * T)) : row :=
    match l with
    | [] => []
    | p :: r => add A before (add A (snd p) (total r)) :: bounds (add A before (under p)) r
    end.

  (** Bounds of the boxes of stratum (q, y) against one rival. [own]: weight of q in the last position; W, M: weights
      of q and margins, by position before the last. *)
  Definition box_bounds (quick equal : bool) (q y : nat) (ahead : T) (own : T * T) (W : list (list (T * T)))
    (last : row) (M : list row) : row :=
    let tail := lower ahead own (at_ q last) in
    let limit := sub A (of_Z A 0) ahead in
    let start := if quick then Some (of_Z A 0) else None in
    let l := map (fun wm => scan quick ahead limit y (fst wm) (snd wm) start) (combine W M) in
    if equal then [add A tail (total l)] else bounds tail l.

  Fixpoint both (fl : list bool) (bs : row) : list bool :=
    match fl, bs with f :: fl', b :: bs' => (f && negb (leb A b (of_Z A 0))) :: both fl' bs' | _, _ => [] end.
  Fixpoint same (fl gl : list bool) : bool :=
    match fl, gl with f :: fl', g :: gl' => Bool.eqb f g && same fl' gl' | _, _ => true end.

  (** Boxes with positive bounds against every rival below n, other than y; [against] quick or in full. *)
  Fixpoint survivors (against : bool -> nat -> row) (y n : nat) (fl : list bool) : list bool :=
    match n with
    | O => fl
    | S o =>
        let f := survivors against y o fl in
        if (o =? y)%nat || negb (existsb (fun b : bool => b) f) then f
        else let g := both f (against true o) in if same f g then g else both f (against false o)
    end.

  (** By rival and position, values of y less those of the rival, rounded down, less 2. *)
  Definition margins (values : list (list row)) (y : nat) : list (list row) :=
    let two := of_Z A 2 in
    map (map (fun yo => map (fun ab => sub A (sub A (fst ab) (snd ab)) two) (combine (fst yo) (snd yo))))
      (map (fun os => combine (row_at y values) os) values).

  Variable D : dyadic.
  Let v := n_vocab D.
  Let K := n_k D.

  (** Values by output, position, token. *)
  Definition by_output (values : list (list row)) : list (list row) :=
    map (fun o => map (fun L => row_at o L) values) (seq 0 v).

  (** W: weights of q by position and token; d: direct logits of q; M: [margins] of y. *)
  Definition flags (W : list (list (T * T))) (d : row) (M : list (list row)) (q y : nat) : list bool :=
    let n := n_boxes K q y in
    if (n =? 0)%nat then [] else
    let before := firstn (K - 1) W in
    let own := pair_at q (row_at (K - 1) W) in
    let dy := at_ y d in
    let equal := (q =? y)%nat in
    survivors (fun quick o => let m := row_at o M in
      box_bounds quick equal q y (sub A dy (at_ o d)) own before (row_at (K - 1) m) m) y v (repeat true n).

  Definition right_by_position_minima_at (b : Z) : Z :=
    if well_formed D && (1 <=? K)%nat then
      let W := map snd (weights A D (exp_tables A)) in
      let values := by_output (map (attended_floor A D b) (seq 0 K)) in
      let direct := direct_floor A D b in
      sumZ (fun y => let M := margins values y in
        sumZ (fun q => let f := flags (row_at q W) (row_at q direct) M q y in
          sumZ (fun j => if nth j f false then box_size K q y j else 0%Z) (n_boxes K q y)) v) v
    else 0%Z.
  Definition right_by_position_minima : Z := right_by_position_minima_at (logit_bits A D).

  (** ** Proofs *)

  Hypothesis law : lawful A.
  Notation val := (val A).

  Lemma lower_correct ahead w d x m : 0 < x -> val (fst w) <= x <= val (snd w) -> val d + val ahead <= m ->
    val (lower ahead w d) <= x * m.
  Proof.
    intros Hx [W1 W2] Hm. unfold lower. cbv zeta. rewrite val_mul by exact law. rewrite <- val_add in Hm by exact law.
    set (u := add A d ahead) in *. destruct (leb A _ u) eqn:E.
    - apply val_leb in E; [|exact law]. rewrite val_of in E by exact law. nra.
    - apply val_leb_false in E; [|exact law]. rewrite val_of in E by exact law. nra.
  Qed.

  Lemma smaller_correct a b : exists m, smaller a b = Some m /\ val m <= val b /\
    forall c, a = Some c -> val m <= val c.
  Proof.
    destruct a as [c|]; [|exists b; repeat split; [lra|discriminate]]. unfold smaller.
    destruct (leb A c b) eqn:E; [apply val_leb in E|apply val_leb_false in E]; try exact law; eexists;
      (split; [reflexivity|]; split; [lra|]; intros ? [= <-]; lra).
  Qed.

  Definition token_bound (ahead : T) (ws : list (T * T)) (ds : row) (t : nat) : T :=
    lower ahead (pair_at t ws) (at_ t ds).

  Definition at_most (a : option T) (r : R) : Prop := exists m, a = Some m /\ val m <= r.

  Lemma scan_correct quick ahead limit n : val limit = - val ahead -> forall ws ds acc,
    (n < length ws)%nat -> (n < length ds)%nat -> (forall t, (t < length ws)%nat -> 0 <= val (fst (pair_at t ws))) ->
    (quick = true -> at_most acc 0) ->
    let r := scan quick ahead limit n ws ds acc in
    snd r = token_bound ahead ws ds n /\
    (forall t, (t < n)%nat -> at_most (fst r) (val (token_bound ahead ws ds t))) /\
    (forall m, acc = Some m -> at_most (fst r) (val m)).
  Proof.
    intros Hlim. induction n as [|n IH]; intros [|w ws] [|d ds] acc Hw Hd Hpos Hq; cbn [length] in *; try lia; cbn.
    - split; [reflexivity|]. split; [lia|]. intros m ->. exists m. split; [reflexivity|lra].
    - fold (scan quick ahead limit).
      assert (Hpos' : forall t, (t < length ws)%nat -> 0 <= val (fst (pair_at t ws)))
        by (intros t Ht; apply (Hpos (S t)); lia).
      (* The bound of this token, and the accumulator after it. *)
      assert (G : forall acc', at_most acc' (val (lower ahead w d)) -> (quick = true -> at_most acc' 0) ->
        (forall m, acc = Some m -> at_most acc' (val m)) ->
        let r := scan quick ahead limit n ws ds acc' in
        snd r = token_bound ahead (w :: ws) (d :: ds) (S n) /\
        (forall t, (t < S n)%nat -> at_most (fst r) (val (token_bound ahead (w :: ws) (d :: ds) t))) /\
        (forall m, acc = Some m -> at_most (fst r) (val m))).
      { intros acc' (m' & -> & Hm') Hq' Hacc.
        destruct (IH ws ds (Some m') ltac:(lia) ltac:(lia) Hpos' Hq') as (H1 & H2 & H3).
        destruct (H3 m' eq_refl) as (r & Hr & Hle). split; [exact H1|]. split.
        - intros [|t] Ht.
          { exists r. split; [exact Hr|]. change (token_bound _ _ _ 0) with (lower ahead w d). lra. }
          apply (H2 t). lia.
        - intros m Hm. destruct (Hacc m Hm) as (? & [= <-] & L). exists r. split; [exact Hr|lra]. }
      assert (S : forall b, b = lower ahead w d -> let acc' := smaller acc b in
        at_most acc' (val (lower ahead w d)) /\ (quick = true -> at_most acc' 0) /\
        (forall m, acc = Some m -> at_most acc' (val m))).
      { intros b ->. cbv zeta. destruct (smaller_correct acc (lower ahead w d)) as (m & -> & L1 & L2).
        split; [now exists m|]. split; [|intros c Hc; exists m; auto].
        intros E. destruct (Hq E) as (c & Hc & L). exists m. split; [reflexivity|]. specialize (L2 c Hc). lra. }
      assert (Hsum : val (add A d ahead) = val d + val ahead) by now apply val_add.
      destruct (leb A limit d) eqn:E.
      + apply val_leb in E; [|exact law].
        assert (F : leb A (of_Z A 0) (add A d ahead) = true)
          by (apply val_leb; [exact law|]; rewrite val_of, Hsum by exact law; lra).
        destruct quick.
        * apply G; [|exact Hq|intros m ->; exists m; split; [reflexivity|lra]].
          destruct (Hq eq_refl) as (m & -> & L). exists m. split; [reflexivity|]. unfold lower. rewrite F.
          specialize (Hpos 0%nat ltac:(lia)). cbn [nth] in Hpos. rewrite val_mul by exact law.
          assert (Hnn : 0 <= val (add A d ahead)) by (rewrite Hsum; lra). pose proof (Rmult_le_pos _ _ Hpos Hnn). lra.
        * destruct (S (mul A (fst w) (add A d ahead))) as (S1 & S2 & S3); [unfold lower; now rewrite F|now apply G].
      + apply val_leb_false in E; [|exact law].
        assert (F : leb A (of_Z A 0) (add A d ahead) = false)
          by (apply val_leb_false; [exact law|]; rewrite val_of, Hsum by exact law; lra).
        destruct (S (mul A (snd w) (add A d ahead))) as (S1 & S2 & S3); [unfold lower; now rewrite F|now apply G].
  Qed.

  Definition part (j i : nat) (p : option T * T) : T :=
    if (i <? j)%nat then under p else if (i =? j)%nat then snd p else upto p.

  Lemma total_sum l : val (total l) = sum (fun i => val (upto (nth i l (None, of_Z A 0)))) (length l).
  Proof.
    induction l as [|p l IH]; [exact (val_of A law 0)|]. cbn [length]. rewrite sum_first. cbn.
    rewrite val_add by exact law. now rewrite <- IH.
  Qed.

  Lemma bounds_sum l : forall before j, (j < length l)%nat ->
    val (at_ j (bounds before l)) = val before + sum (fun i => val (part j i (nth i l (None, of_Z A 0)))) (length l).
  Proof.
    induction l as [|p l IH]; intros before j Hj; cbn [length] in *; [lia|]. rewrite sum_first. destruct j as [|j].
    - cbn [bounds nth]. rewrite !val_add, total_sum by exact law. reflexivity.
    - cbn [bounds nth]. rewrite IH, val_add by (exact law || lia).
      change (part (S j) 0 p) with (under p). rewrite Rplus_assoc. reflexivity.
  Qed.

  Lemma both_true fl : forall bs j, nth j (both fl bs) false = true -> nth j fl false = true /\ 0 < val (at_ j bs).
  Proof.
    induction fl as [|f fl IH]; intros [|b bs] [|j]; cbn; try discriminate; [|apply IH].
    rewrite andb_true_iff, negb_true_iff. intros [Hf Hb]. split; [exact Hf|].
    apply val_leb_false in Hb; [|exact law]. now rewrite val_of in Hb.
  Qed.

  Lemma survivors_true against y fl j n : nth j (survivors against y n fl) false = true ->
    forall o, (o < n)%nat -> o <> y -> exists quick, 0 < val (at_ j (against quick o)).
  Proof.
    induction n as [|n IH]; cbn; intros H o Ho Hne; [lia|]. set (f := survivors against y n fl) in *.
    destruct (Nat.eqb_spec n y) as [->|Hn]; [apply IH; [exact H|lia|exact Hne]|]. cbn [orb] in H.
    destruct (existsb (fun b : bool => b) f) eqn:E; cbn [negb] in H.
    - assert (G : nth j f false = true /\ exists quick, 0 < val (at_ j (against quick n))).
      { destruct (same f _); apply both_true in H as [H1 H2]; eauto. }
      destruct G as [H1 H2]. destruct (Nat.eq_dec o n) as [->|]; [exact H2|]. apply IH; [exact H1|lia|exact Hne].
    - exfalso. assert (existsb (fun b : bool => b) f = true); [|congruence]. apply existsb_exists. exists true.
      split; [|reflexivity].
      rewrite <- H. apply nth_In. destruct (Nat.lt_ge_cases j (length f)) as [|L]; [assumption|].
      rewrite nth_overflow in H by exact L. discriminate.
  Qed.

  Section Sound.
    Hypothesis Hwf : well_formed D = true.
    Let M := real_model D.
    Variable b : Z.
    Let W := map snd (weights A D (exp_tables A)).
    Let values := by_output (map (attended_floor A D b) (seq 0 K)).
    Let directs := direct_floor A D b.

    Lemma K_positive : (0 < K)%nat.
    Proof. destruct (shapes D Hwf) as [H _]. exact H. Qed.

    Lemma values_correct o i : (o < v)%nat -> (i < K)%nat ->
      row_at i (row_at o values) = row_at o (attended_floor A D b i).
    Proof.
      intros Ho Hi. unfold values, by_output. rewrite nth_map_seq by exact Ho. rewrite map_map. now rewrite nth_map_seq.
    Qed.

    Lemma margins_correct y o i : (y < v)%nat -> (o < v)%nat -> (i < K)%nat ->
      length (row_at i (row_at o (margins values y))) = v /\ forall t, (t < v)%nat ->
        val (at_ t (row_at i (row_at o (margins values y)))) + 1 <= pow2 b * (attended M i t y - attended M i t o).
    Proof.
      intros Hy Ho Hi. unfold margins. rewrite map_map.
      assert (Lv : length values = v) by apply length_map_seq.
      rewrite (nth_map_lt _ _ _ []) by (rewrite Lv; exact Ho).
      assert (Lo : forall o, (o < v)%nat -> length (row_at o values) = K).
      { intros p Hp. unfold values, by_output. rewrite nth_map_seq by exact Hp.
        now rewrite map_length, length_map_seq. }
      rewrite (nth_map_lt _ _ _ ([], [])) by (rewrite combine_length, !Lo, Nat.min_id by assumption; exact Hi).
      rewrite combine_nth by (rewrite !Lo by assumption; reflexivity). cbn [fst snd].
      rewrite !values_correct by assumption.
      destruct (attended_floor_correct A law D Hwf b i Hi) as [_ F]. destruct (F y Hy) as [Ly Fy].
      destruct (F o Ho) as [Lo' Fo]. fold v in Ly, Lo'. split.
      - rewrite map_length, combine_length, Ly, Lo'. lia.
      - intros t Ht. rewrite (nth_map_lt _ _ _ (of_Z A 0, of_Z A 0)) by (rewrite combine_length, Ly, Lo'; lia).
        rewrite combine_nth by (rewrite Ly, Lo'; reflexivity). cbn [fst snd]. rewrite !val_sub, val_of by exact law.
        specialize (Fy t Ht). specialize (Fo t Ht). fold M in Fy, Fo. lra.
    Qed.

    Theorem flags_correct q y j : (q < v)%nat -> (y < v)%nat -> (j < n_boxes K q y)%nat ->
      nth j (flags (row_at q W) (row_at q directs) (margins values y) q y) false = true ->
      forall x, (forall i, (i < K)%nat -> (x i < v)%nat) -> in_box K q y j x -> correct M x.
    Proof.
      intros Hq Hy Hj Hf. pose proof K_positive as HK. unfold flags in Hf. cbv zeta in Hf.
      destruct (Nat.eqb_spec (n_boxes K q y) 0) as [E|_]; [lia|].
      destruct (weights_correct A law D Hwf q Hq) as (c & Hc & LW & HW). fold K v in LW, HW.
      assert (EW : row_at q W = snd (nth q (weights A D (exp_tables A)) (0%Z, []))).
      { unfold W. apply (nth_map_lt snd). unfold weights. rewrite length_map_seq. exact Hq. }
      cbv zeta in HW, LW. rewrite <- EW in HW, LW. set (Wq := row_at q W) in *.
      destruct (direct_floor_correct A law D Hwf b) as [_ HD]. destruct (HD q Hq) as [_ HDq]. clear HD.
      change (direct_floor A D b) with directs in HDq. fold M in HDq. set (dq := row_at q directs) in *.
      set (ahead o := sub A (at_ y dq) (at_ o dq)) in *.
      set (ms o i := row_at i (row_at o (margins values y))).
      assert (TB : forall o i t, (o < v)%nat -> (i < K)%nat -> (t < v)%nat ->
        val (token_bound (ahead o) (row_at i Wq) (ms o i) t) <= c * pow2 b * term M q y o i t).
      { intros o i t Ho Hi Ht. destruct (HW i Hi) as [_ Hw]. destruct (Hw t Ht) as [[W0 W1] W2].
        destruct (margins_correct y o i Hy Ho Hi) as [_ Hm]. specialize (Hm t Ht). fold (ms o i) in Hm.
        pose proof (HDq y Hy) as Dy. pose proof (HDq o Ho) as Do. unfold term.
        replace (c * pow2 b * (exp (score M q i t) * _)) with (c * exp (score M q i t) *
          (pow2 b * (direct M q y - direct M q o + (attended M i t y - attended M i t o)))) by ring.
        apply lower_correct; [apply Rmult_lt_0_compat; [exact Hc|apply exp_pos]|split; [exact W1|exact W2]|].
        unfold ahead. rewrite val_sub by exact law. fold M in W1. lra. }
      set (start (quick : bool) := if quick then Some (of_Z A 0) else None).
      set (p quick o i := scan quick (ahead o) (sub A (of_Z A 0) (ahead o)) y (row_at i Wq) (ms o i) (start quick)).
      set (own o := token_bound (ahead o) (row_at (K - 1) Wq) (ms o (K - 1)%nat) q).
      set (against quick o := box_bounds quick (q =? y)%nat q y (ahead o) (pair_at q (row_at (K - 1) Wq))
        (firstn (K - 1) Wq) (ms o (K - 1)%nat) (row_at o (margins values y))).
      (* Which of the two bounds is positive. *)
      set (best o := negb (leb A (at_ j (against true o)) (of_Z A 0))).
      assert (HS : forall o, (o < v)%nat -> o <> y -> 0 < val (at_ j (against (best o) o))).
      { intros o Ho Hne. destruct (survivors_true _ _ _ _ _ Hf o Ho Hne) as [quick H]. cbv beta zeta in H.
        fold (ahead o) in H. fold (ms o (K - 1)%nat) in H. fold (against quick o) in H. unfold best.
        destruct (leb A (at_ j (against true o)) (of_Z A 0)) eqn:E; cbn [negb].
        - destruct quick; [|exact H]. apply val_leb in E; [|exact law]. rewrite val_of in E by exact law. lra.
        - apply val_leb_false in E; [|exact law]. now rewrite val_of in E. }
      set (least o i := let r := p (best o) o i in
        val (if (i =? K - 1)%nat then own o else if (q =? y)%nat then upto r else part j i r)).
      apply (position_minima M q y j (fun _ => c * pow2 b) least HK Hj). intros o Ho Hne.
      change (d_vocab M) with v in Ho. split; [apply Rmult_lt_0_compat; [exact Hc|apply pow2_positive]|].
      specialize (HS o Ho Hne). destruct (margins_correct y o 0 Hy Ho HK) as [LM0 _]. split.
      - assert (sum (least o) (k M) = val (own o) + sum (fun i => val (if (q =? y)%nat then upto (p (best o) o i)
          else part j i (p (best o) o i))) (K - 1)) as ->.
        { change (k M) with K. replace K with (S (K - 1)) at 1 by lia. cbn [sum]. rewrite Rplus_comm. f_equal.
          - unfold least. cbv zeta. now rewrite Nat.eqb_refl.
          - apply sum_ext. intros i Hi. unfold least. cbv zeta. now destruct (Nat.eqb_spec i (K - 1)); [lia|]. }
        unfold against, box_bounds in HS. cbv zeta in HS. fold (token_bound (ahead o)) in HS.
        change (lower (ahead o) _ _) with (own o) in HS. fold (start (best o)) in HS.
        set (l := map _ _) in HS.
        assert (LR : length (row_at o (margins values y)) = K).
        { unfold margins. rewrite map_map.
          rewrite (nth_map_lt _ _ _ []) by (unfold values, by_output; rewrite length_map_seq; exact Ho).
          rewrite map_length, combine_length. unfold values, by_output. rewrite !nth_map_seq by assumption.
          rewrite !map_length, !seq_length. apply Nat.min_id. }
        assert (LF : length (firstn (K - 1) Wq) = (K - 1)%nat) by (rewrite firstn_length, LW; lia).
        assert (Hl : length l = (K - 1)%nat) by (unfold l; rewrite map_length, combine_length, LF, LR; lia).
        assert (Hn : forall i, (i < K - 1)%nat -> nth i l (None, of_Z A 0) = p (best o) o i).
        { intros i Hi. unfold l. rewrite (nth_map_lt _ _ _ ([], [])) by (rewrite combine_length, LF, LR; lia).
          rewrite nth_combine_firstn by lia. reflexivity. }
        unfold n_boxes in Hj. destruct (Nat.eqb_spec q y) as [_|_].
        + assert (j = O) by lia. subst j. cbn [nth] in HS. rewrite val_add, total_sum, Hl in HS by exact law.
          rewrite (sum_ext _ (fun i => val (upto (p (best o) o i)))) in HS; [exact HS|]. intros i Hi. now rewrite Hn.
        + rewrite bounds_sum, Hl in HS by (rewrite Hl; destruct (q <? y)%nat; lia).
          rewrite (sum_ext _ (fun i => val (part j i (p (best o) o i)))) in HS; [exact HS|].
          intros i Hi. now rewrite Hn.
      - intros i t Hi Ht Hal. change (k M) with K in *. change (d_vocab M) with v in *.
        pose proof (fun t => TB o i t Ho Hi) as TBi. clear TB.
        destruct (HW i Hi) as [L1 Hw]. destruct (margins_correct y o i Hy Ho Hi) as [L2 _]. fold (ms o i) in L2.
        destruct (scan_correct (best o) (ahead o) (sub A (of_Z A 0) (ahead o)) y)
          with (ws := row_at i Wq) (ds := ms o i) (acc := start (best o)) as (S1 & S2 & _).
        { rewrite val_sub, val_of by exact law. ring. }
        { now rewrite L1. }
        { now rewrite L2. }
        { intros u Hu. rewrite L1 in Hu. apply (Hw u Hu). }
        { intros ->. exists (of_Z A 0). split; [reflexivity|]. rewrite val_of by exact law. lra. }
        cbv zeta in S1, S2. fold (p (best o) o i) in S1, S2.
        assert (Below : (t < y)%nat -> val (under (p (best o) o i)) <= c * pow2 b * term M q y o i t).
        { intros Hty. destruct (S2 t Hty) as (m & Hm & Hle). unfold under. rewrite Hm. specialize (TBi t Ht). lra. }
        assert (Same : val (snd (p (best o) o i)) <= c * pow2 b * term M q y o i y)
          by (rewrite S1; apply TBi; exact Hy).
        assert (Upto : (t <= y)%nat -> val (upto (p (best o) o i)) <= c * pow2 b * term M q y o i t).
        { intros Hty. unfold upto. destruct (Nat.eq_dec t y) as [->|].
          - destruct (fst (p (best o) o i)) as [m|]; [|exact Same].
            destruct (leb A m _) eqn:E; [apply val_leb in E; [lra|exact law]|exact Same].
          - destruct (S2 t ltac:(lia)) as (m & Hm & Hle). rewrite Hm. specialize (TBi t Ht).
            destruct (leb A m _) eqn:E; [lra|]. apply val_leb_false in E; [lra|exact law]. }
        unfold allowed in Hal. unfold least, part. cbv zeta. destruct (Nat.eqb_spec i (K - 1)) as [->|].
        { apply Nat.eqb_eq in Hal. subst t. apply TBi. exact Hq. }
        destruct (q =? y)%nat; [apply Upto; now apply Nat.leb_le|].
        destruct (i <? j)%nat; [apply Below; now apply Nat.ltb_lt|].
        destruct (i =? j)%nat; [apply Nat.eqb_eq in Hal; subst t; exact Same|]. apply Upto; now apply Nat.leb_le.
    Qed.
  End Sound.
End Evaluator.

Theorem right_by_position_minima_at_correct {T} (A : integers T) (D : dyadic) b : lawful A ->
  (right_by_position_minima_at A D b <= count_correct (real_model D))%Z.
Proof.
  intros law. unfold right_by_position_minima_at. destruct (well_formed D) eqn:Hwf; [|unfold count_correct; cbn; lia].
  destruct (1 <=? n_k D)%nat; [|unfold count_correct; cbn; lia]. cbn [andb]. cbv zeta. rewrite sumZ_swap.
  exact (certified_boxes_count (real_model D) _ (K_positive D Hwf) (flags_correct A D law Hwf b)).
Qed.

Theorem right_by_position_minima_correct {T} (A : integers T) (D : dyadic) : lawful A ->
  (right_by_position_minima A D <= count_correct (real_model D))%Z.
Proof. apply right_by_position_minima_at_correct. Qed.
