(** * Terms of a stratum: integers below c g_i(t) for all rivals of a problem

    A margin times an attention weight, the lower bound of the weight if the margin is at least zero and else the upper
    one, is below the term of the separable margin (TableForm.v) times a positive factor. With pooled positions the
    least margin and the least and greatest weight over the positions before the last stand for all of them. Far
    tokens t <= y - near share min(0, least margin) times the greatest weight among them.

    If a sequence of the stratum is wrong against a rival of the problem, its terms sum to at most zero.

    Source: `pessimal.kernel.terms.builder`.

    Contents:
      lower, lower_correct — weight times margin.
      terms, terms_of — the terms of one problem and stratum; term_at — that of a token.
      terms_correct — wrong sequences have sums that are not positive. *)

From Coq Require Import Reals ZArith List Bool Arith Lra Lia.
From Pessimal Require Import Integers Statement Sums TableForm ClassSizes StratumSums ExponentialMoment Margins.
Import ListNotations.
Open Scope Z_scope.

Section Terms.
  Context {T : Type} (A : integers T).
  Notation row := (list T).
  Notation zero := (zero A).

  (** Bounds w of a weight times m, rounded down in effect. *)
  Definition lower (w : T * T) (m : T) : T := if leb A zero m then mul A (fst w) m else mul A (snd w) m.

  Definition wider (a b : T * T) : T * T := (smaller A (fst a) (fst b), larger A (snd a) (snd b)).

  (** Far tokens are 0 .. n_far - 1; each row holds the terms of n_far .. y. One row if pooled. *)
  Record terms := { n_far : nat; far : T; near : list row; own : T }.

  Definition term_at (far : T) (n_far : nat) (r : row) (t : nat) : T :=
    if (t <? n_far)%nat then far else nth (t - n_far) r zero.

  Definition row_terms (n_far y : nat) (d : T) (w : list (T * T)) (m : row) : row :=
    zip (fun a b => lower a (add A b d)) (firstn (S y - n_far) (skipn n_far w)) (skipn n_far m).

  Definition far_term (n_far : nat) (d : T) (W : list (list (T * T))) (m : list row) : T :=
    let least := fold_left (fun a r => fold_left (smaller A) (firstn n_far r) a) m (sub A zero d) in
    let most := fold_left (fun a r => fold_left (fun b w => larger A b (snd w)) (firstn n_far r) a) W zero in
    mul A most (add A least d).

  (** W: bounds of the weights of query q by position before the last (one row if pooled) and token; w: of its own. *)
  Definition terms_of (nearest : nat) (W : list (list (T * T))) (w : T * T) (q y : nat) (p : problem) : terms :=
    let d := nth q (m_direct p) zero in
    let n_far := (S y - Nat.max 1 nearest)%nat in {|
      n_far := n_far; far := far_term n_far d W (m_rows p); near := zip (row_terms n_far y d) W (m_rows p);
      own := lower w (add A (nth q (m_last p) zero) d)
    |}.

  (** ** Proofs *)

  Hypothesis law : lawful A.
  Notation val x := (IZR (to_Z A x)).
  Open Scope R_scope.

  Lemma lower_correct w m lo hi x g : val (fst w) <= lo -> hi <= val (snd w) -> 0 < x -> lo <= x <= hi -> val m <= g ->
    val (lower w m) <= x * g.
  Proof.
    intros Hl Hh Hx Hw Hm. unfold lower. rewrite (leb_law A law), (to_Z_zero A law).
    destruct (Z.leb_spec 0 (to_Z A m)) as [H|H]; rewrite (mul_law A law), mult_IZR;
      [apply IZR_le in H|apply IZR_lt in H]; nra.
  Qed.

  Lemma fold_smaller l a : (to_Z A (fold_left (smaller A) l a) <= to_Z A a)%Z /\
    forall x, In x l -> (to_Z A (fold_left (smaller A) l a) <= to_Z A x)%Z.
  Proof.
    revert a. induction l as [|x l IH]; intros a; cbn [fold_left]; [split; [lia|intros x []]|].
    destruct (IH (smaller A a x)) as [H G]. pose proof (smaller_le A law a x). split; [lia|].
    intros z [<-|Hz]; [lia|auto].
  Qed.

  Lemma fold_rows m n_far a : let r := fold_left (fun a r => fold_left (smaller A) (firstn n_far r) a) m a in
    (to_Z A r <= to_Z A a)%Z /\ forall s x, In s m -> In x (firstn n_far s) -> (to_Z A r <= to_Z A x)%Z.
  Proof.
    cbv zeta. revert a. induction m as [|s m IH]; intros a; cbn [fold_left]; [split; [lia|intros s x []]|].
    destruct (IH (fold_left (smaller A) (firstn n_far s) a)) as [H G].
    destruct (fold_smaller (firstn n_far s) a) as [H' G']. split; [lia|].
    intros s' x [<-|Hs] Hx; [specialize (G' x Hx); lia|now apply (G s')].
  Qed.

  Lemma fold_larger (l : list (T * T)) a : let r := fold_left (fun b w => larger A b (snd w)) l a in
    (to_Z A a <= to_Z A r)%Z /\ forall w, In w l -> (to_Z A (snd w) <= to_Z A r)%Z.
  Proof.
    cbv zeta. revert a. induction l as [|x l IH]; intros a; cbn [fold_left]; [split; [lia|intros x []]|].
    destruct (IH (larger A a (snd x))) as [H G]. pose proof (larger_le A law a (snd x)). split; [lia|].
    intros z [<-|Hz]; [lia|auto].
  Qed.

  Lemma fold_weights (W : list (list (T * T))) n_far a :
    let r := fold_left (fun a r => fold_left (fun b w => larger A b (snd w)) (firstn n_far r) a) W a in
    (to_Z A a <= to_Z A r)%Z /\ forall s w, In s W -> In w (firstn n_far s) -> (to_Z A (snd w) <= to_Z A r)%Z.
  Proof.
    cbv zeta. revert a. induction W as [|s W IH]; intros a; cbn [fold_left]; [split; [lia|intros s x []]|].
    destruct (IH (fold_left (fun b w => larger A b (snd w)) (firstn n_far s) a)) as [H G].
    destruct (fold_larger (firstn n_far s) a) as [H' G']. split; [lia|].
    intros s' x [<-|Hs] Hx; [specialize (G' x Hx); lia|now apply (G s')].
  Qed.

  Lemma nth_firstn_in {X} (l : list X) m t d : (t < m)%nat -> (t < length l)%nat -> In (nth t l d) (firstn m l).
  Proof.
    intros Hm Hl. rewrite <- (firstn_skipn m l) at 1. rewrite app_nth1 by (rewrite firstn_length; lia).
    apply nth_In. rewrite firstn_length. lia.
  Qed.

  Lemma nth_skipn {X} (l : list X) m t d : nth t (skipn m l) d = nth (m + t) l d.
  Proof. revert l. induction m as [|m IH]; intros [|x l]; cbn [skipn plus nth]; try reflexivity; [now destruct t|auto].
    Qed.

  Lemma nth_firstn {X} (l : list X) m t d : (t < m)%nat -> nth t (firstn m l) d = nth t l d.
  Proof. revert l t. induction m as [|m IH]; intros [|x l] [|t] H; cbn; try lia; try reflexivity. apply IH. lia. Qed.

  Lemma row_terms_length n_far y d w m v : length w = v -> length m = v -> (n_far <= y < v)%nat ->
    length (row_terms n_far y d w m) = S (y - n_far).
  Proof. intros Hw Hm H. unfold row_terms. rewrite zip_length, firstn_length, !skipn_length. lia. Qed.

  Lemma row_terms_nth n_far y d w m v t : length w = v -> length m = v -> (n_far <= t <= y)%nat -> (y < v)%nat ->
    nth (t - n_far) (row_terms n_far y d w m) zero = lower (nth t w (zero, zero)) (add A (nth t m zero) d).
  Proof.
    intros Hw Hm H Hy. unfold row_terms.
    rewrite (zip_nth _ (zero, zero) zero) by (rewrite ?firstn_length, !skipn_length; lia).
    rewrite nth_firstn, !nth_skipn by lia. now replace (n_far + (t - n_far))%nat with t by lia.
  Qed.

  Lemma in_spread {X} (x : X) pooled n l : In x (spread pooled n l) -> In x l.
  Proof. unfold spread. destruct pooled, l; trivial. intros H. apply repeat_spec in H. subst. now left. Qed.

  Lemma spread_zip {X Y Z} (f : X -> Y -> Z) a b c pooled n l m : length (spread pooled n l) = n ->
    length (spread pooled n m) = n -> length (spread pooled n (zip f l m)) = n /\ forall i, (i < n)%nat ->
    nth i (spread pooled n (zip f l m)) c = f (nth i (spread pooled n l) a) (nth i (spread pooled n m) b).
  Proof.
    unfold spread. destruct pooled.
    - destruct l as [|x l], m as [|z m]; cbn [zip length]; intros; subst; try (split; [reflexivity|lia]).
      split; [apply repeat_length|]. intros i Hi.
      rewrite (nth_indep _ c (f x z)), (nth_indep _ a x), (nth_indep _ b z) by now rewrite repeat_length.
      now rewrite !nth_repeat.
    - intros Hl Hm. rewrite zip_length. split; [lia|]. intros i Hi. apply zip_nth; lia.
  Qed.

  Lemma total_sum rows : forall s, length s = length rows ->
    IZR (total rows s) = sum (fun i => IZR (nth i rows (fun _ => 0%Z) (token s i))) (length rows).
  Proof.
    induction rows as [|f rows IH]; intros [|t s] L; try discriminate; [reflexivity|]. cbn [length total].
    rewrite sum_first, plus_IZR, (IH s) by now injection L. reflexivity.
  Qed.

  Section Sound.
    Variables (M : model) (n : nat) (pooled : bool) (nearest q y o : nat) (p : problem (T := T)).
    Variables (V : list (list row)) (D : list row) (W : list (list (T * T))) (w : T * T) (B F : R).
    Let v := d_vocab M.
    Notation entry L a b := (to_Z A (nth b (nth a L []) zero)).
    Hypotheses (HK : k M = S n) (Hqy : (q <= y)%nat) (Hy : (y < v)%nat) (Ho : (o < v)%nat) (HB : 0 < B) (HF : 0 < F).
    Hypothesis HV : forall i a t, (i <= n)%nat -> (a < v)%nat -> (t < v)%nat ->
      IZR (entry (nth i V []) a t) <= B * attended M i t a <= IZR (entry (nth i V []) a t) + 1.
    Hypothesis HD : forall a, (a < v)%nat -> IZR (entry D a q) <= B * direct M q a <= IZR (entry D a q) + 1.
    Hypothesis HW : length (spread pooled n W) = n /\ forall i, (i < n)%nat ->
      length (nth i (spread pooled n W) []) = v /\ forall t, (t < v)%nat ->
      let x := nth t (nth i (spread pooled n W) []) (zero, zero) in
      val (fst x) <= F * exp (score M q i t) <= val (snd x).
    Hypothesis Hw : val (fst w) <= F * exp (score M q n q) <= val (snd w).
    Hypothesis Hp : fits A v pooled n V D q y p o.

    Lemma gap_real i t : (i <= n)%nat -> (t < v)%nat -> IZR (gap A V D q y o i t)
      <= B * (direct M q y - direct M q o + (attended M i t y - attended M i t o)).
    Proof.
      intros Hi Ht. unfold gap. rewrite !minus_IZR, plus_IZR, minus_IZR.
      pose proof (HV i y t Hi Hy Ht). pose proof (HV i o t Hi Ho Ht). pose proof (HD y Hy). pose proof (HD o Ho). lra.
    Qed.

    Lemma weight_positive i t : 0 < F * exp (score M q i t).
    Proof. apply Rmult_lt_0_compat; [exact HF|apply exp_pos]. Qed.

    Lemma term_scaled i t : F * B * term M q y o i t
      = F * exp (score M q i t) * (B * (direct M q y - direct M q o + (attended M i t y - attended M i t o))).
    Proof. unfold term. ring. Qed.

    Let tm := terms_of nearest W w q y p.
    Let d := nth q (m_direct p) zero.

    Lemma n_far_le : (n_far tm <= y)%nat.
    Proof. unfold tm, terms_of. cbn [n_far]. lia. Qed.

    Lemma term_bound i t : (i < n)%nat -> (t <= y)%nat ->
      val (term_at (far tm) (n_far tm) (nth i (spread pooled n (near tm)) []) t) <= F * B * term M q y o i t.
    Proof.
      intros Hi Ht. destruct Hp as (L & Hm & _). destruct HW as [LW HW']. destruct (Hm i Hi) as [Lm Hg].
      destruct (HW' i Hi) as [Lw Hx]. pose proof n_far_le as Hn. specialize (Hg t ltac:(unfold v in *; lia)).
      specialize (Hx t ltac:(unfold v in *; lia)). cbv zeta in Hx.
      pose proof (gap_real i t ltac:(lia) ltac:(lia)) as G. apply IZR_le in Hg. rewrite plus_IZR in Hg. fold d in Hg.
      pose proof (weight_positive i t) as HX. rewrite term_scaled. unfold term_at.
      set (ws := nth i (spread pooled n W) []) in *. set (ms := nth i (spread pooled n (m_rows p)) []) in *.
      destruct (Nat.ltb_spec t (n_far tm)) as [Hf|Hf].
      - unfold tm, terms_of. cbn [far]. fold d. unfold far_term. cbn [n_far] in Hf. unfold tm, terms_of in Hf.
        cbn [n_far] in Hf. set (nf := (S y - _)%nat) in *.
        destruct (fold_rows (m_rows p) nf (sub A zero d)) as [F1 F2]. cbv zeta in F1, F2.
        destruct (fold_weights W nf zero) as [F3 F4]. cbv zeta in F3, F4. set (least := fold_left _ (m_rows p) _) in *.
        set (most := fold_left _ W zero) in *.
        assert (I1 : In ms (m_rows p)) by (apply (in_spread _ pooled n), nth_In; lia).
        assert (I2 : In ws W) by (apply (in_spread _ pooled n), nth_In; lia).
        specialize (F2 ms (nth t ms zero) I1 (nth_firstn_in ms nf t zero Hf ltac:(unfold v in *; lia))).
        specialize (F4 ws (nth t ws (zero, zero)) I2 (nth_firstn_in ws nf t _ Hf ltac:(unfold v in *; lia))).
        rewrite (sub_law A law), (to_Z_zero A law) in F1. rewrite (to_Z_zero A law) in F3.
        rewrite (mul_law A law), (add_law A law), mult_IZR, plus_IZR.
        apply IZR_le in F1, F2, F3, F4. rewrite minus_IZR in F1.
        apply Rle_trans with (F * exp (score M q i t) * (IZR (to_Z A least) + IZR (to_Z A d))).
        + rewrite !(Rmult_comm _ (IZR (to_Z A least) + _)). apply Rmult_le_compat_neg_l; lra.
        + apply Rmult_le_compat_l; lra.
      - assert (E : nth i (spread pooled n (near tm)) [] = row_terms (n_far tm) y d ws ms).
        { unfold tm, terms_of. cbn [near n_far]. fold d.
          destruct (spread_zip (row_terms (S y - Nat.max 1 nearest) y d) [] [] [] pooled n W (m_rows p) LW L) as [_ E].
          now apply E. }
        rewrite E, (row_terms_nth _ _ _ _ _ v) by (unfold v in *; assumption || lia).
        apply lower_correct with (F * exp (score M q i t)) (F * exp (score M q i t)); try lra.
        rewrite (add_law A law), plus_IZR. lra.
    Qed.

    Lemma own_bound : val (own tm) <= F * B * term M q y o n q.
    Proof.
      destruct Hp as (_ & _ & Hl). pose proof (gap_real n q ltac:(lia) ltac:(unfold v in *; lia)) as G.
      apply IZR_le in Hl. rewrite plus_IZR in Hl. rewrite term_scaled. unfold tm, terms_of. cbn [own].
      apply lower_correct with (F * exp (score M q n q)) (F * exp (score M q n q)); try lra; [apply weight_positive|].
      rewrite (add_law A law), plus_IZR. lra.
    Qed.

    (** Rows as functions of tokens. *)
    Definition functions (tm : terms) : list (nat -> Z) :=
      map (fun r t => to_Z A (term_at (far tm) (n_far tm) r t)) (spread pooled n (near tm)).

    Lemma near_spread : length (spread pooled n (near tm)) = n /\ forall i, (i < n)%nat ->
      length (nth i (spread pooled n (near tm)) []) = S (y - n_far tm).
    Proof.
      destruct Hp as (L & Hm & _). destruct HW as [LW HW'].
      destruct (spread_zip (row_terms (S y - Nat.max 1 nearest) y d) [] [] [] pooled n W (m_rows p) LW L) as [Z1 Z2].
      split; [exact Z1|]. intros i Hi. unfold tm, terms_of. cbn [near n_far]. fold d. rewrite Z2 by exact Hi.
      apply row_terms_length with v; [now apply HW'|now apply Hm|unfold v in *; lia].
    Qed.

    Theorem terms_correct s : In s (sequences n v) -> in_stratum q y s = true ->
      logit M (token (s ++ [q])) y <= logit M (token (s ++ [q])) o ->
      (total (functions tm) s + to_Z A (own tm) <= 0)%Z.
    Proof.
      intros Hs Hin Hwrong. destruct near_spread as [L _]. apply in_sequences in Hs as [Ls _]. apply le_IZR.
      rewrite plus_IZR, total_sum by (unfold functions; rewrite map_length, L; exact Ls).
      unfold functions at 2. rewrite map_length, L. set (x := token (s ++ [q])).
      assert (Hlast : x n = q) by (unfold x, token; rewrite app_nth2, Ls, Nat.sub_diag by lia; reflexivity).
      assert (Hx : forall i, (i < n)%nat -> x i = token s i) by (intros; unfold x, token; apply app_nth1; lia).
      pose proof (separable M x y o ltac:(lia)) as E. pose proof (denominator_positive M x ltac:(lia)) as HZ.
      unfold last in E. rewrite HK in E. replace (S n - 1)%nat with n in E by lia. rewrite Hlast in E.
      cbn [sum] in E. rewrite Hlast in E. pose proof own_bound as HO.
      assert (HT : sum (fun i => IZR (nth i (functions tm) (fun _ => 0%Z) (token s i))) n
        <= F * B * sum (fun i => term M q y o i (x i)) n).
      { rewrite <- sum_scale. apply sum_le. intros i Hi. rewrite Hx by exact Hi. unfold functions.
        rewrite (nth_map_lt _ _ _ []) by (rewrite L; exact Hi). apply term_bound; [exact Hi|].
        apply (stratum_upto q y s Hin). apply nth_In. lia. }
      assert (0 < F * B) by now apply Rmult_lt_0_compat.
      assert (sum (fun i => term M q y o i (x i)) n + term M q y o n q <= 0) by (fold x in Hwrong; rewrite <- E; nra).
      change R0 with 0. nra.
    Qed.
  End Sound.
End Terms.
Arguments n_far {T}. Arguments far {T}. Arguments near {T}. Arguments own {T}.
