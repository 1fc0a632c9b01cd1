(** * The exponential moment of a stratum

    Let a wrong sequence s of stratum (q, y) have n_0(s_0) + .. + n_{K-2}(s_{K-2}) <= T, integers. If

        E_i(t) >= c_i exp(-n_i(t) / u)  for all t <= y,     E >= c exp(T / u),     u > 0,

    then c_0 .. c_{K-2} c times the number of wrong sequences is at most E times the sum over the stratum of the
    products of the E_i: every term is at least zero, and at a wrong sequence at least the product of the c's.

    The n_i are integers below terms of the margin: if the g_i(s_i) and g sum to at most zero, then the numbers
    floor(lambda g_i(s_i)) sum to at most floor(-lambda g), for every lambda >= 0; here lambda = m 2^e.

    Source: docstring of `pessimal.kernel.rules.exponential_moment`.

    Contents:
      total — sum over positions; scaled, scaled_total — the integers below.
      dominated, moment_bound — the theorem. *)

From Coq Require Import Reals ZArith List Bool Arith Lra Lia.
From Pessimal Require Import Statement Sums RealExponential ClassSizes StratumSums.
Import ListNotations.
Open Scope Z_scope.

(** Sum of the numbers of a sequence's tokens, [rows] position by position. *)
Fixpoint total (rows : list (nat -> Z)) (s : list nat) : Z :=
  match rows, s with f :: rows', t :: s' => f t + total rows' s' | _, _ => 0 end.

(** floor(m 2^e g). *)
Definition scaled (m e g : Z) : Z := Z.shiftl (m * g) e.

Lemma shiftl_le e a b : a <= b -> Z.shiftl a e <= Z.shiftl b e.
Proof.
  intros H. destruct (Z.le_gt_cases 0 e) as [He|He].
  - rewrite !Z.shiftl_mul_pow2 by exact He. apply Z.mul_le_mono_nonneg_r; [apply Z.pow_nonneg; lia|exact H].
  - replace e with (- - e) by lia. rewrite !Z.shiftl_opp_r, !Z.shiftr_div_pow2 by lia.
    apply Z.div_le_mono; [apply Z.pow_pos_nonneg; lia|exact H].
Qed.

Lemma shiftl_add e a b : Z.shiftl a e + Z.shiftl b e <= Z.shiftl (a + b) e.
Proof.
  destruct (Z.le_gt_cases 0 e) as [He|He].
  - rewrite !Z.shiftl_mul_pow2 by exact He. lia.
  - replace e with (- - e) by lia. rewrite !Z.shiftl_opp_r, !Z.shiftr_div_pow2 by lia.
    set (d := 2 ^ - e). assert (0 < d) by (apply Z.pow_pos_nonneg; lia). apply Z.div_le_lower_bound; [assumption|].
    pose proof (Z.mul_div_le a d). pose proof (Z.mul_div_le b d). lia.
Qed.

Lemma scaled_total m e rows : 0 <= m -> forall s g, total rows s + g <= 0 ->
  total (map (fun f t => scaled m e (f t)) rows) s <= scaled m e (- g).
Proof.
  intros Hm s g H. apply Z.le_trans with (scaled m e (total rows s)).
  - clear H. revert s. induction rows as [|f rows IH]; intros [|t s]; cbn [map total];
      try (unfold scaled; rewrite Z.mul_0_r, Z.shiftl_0_l; reflexivity).
    specialize (IH s). pose proof (shiftl_add e (m * f t) (m * total rows s)) as A.
    rewrite <- Z.mul_add_distr_l in A. unfold scaled in *. lia.
  - apply shiftl_le, Z.mul_le_mono_nonneg_l; lia.
Qed.

Open Scope R_scope.

Lemma over_bounds c l F G : (forall s, In s l -> c * IZR (F s) <= IZR (G s)) -> c * IZR (over l F) <= IZR (over l G).
Proof.
  induction l as [|s l IH]; intros H; [cbn; lra|]. rewrite !over_cons, !plus_IZR.
  pose proof (H s (or_introl eq_refl)). specialize (IH (fun r Hr => H r (or_intror Hr))). lra.
Qed.

Definition prodR (l : list R) : R := fold_right Rmult 1 l.

Section Moment.
  Variables (q y v : nat) (u : R).
  Hypothesis (Hu : 0 < u).

  (** Factors at least c exp(- n / u), position by position. *)
  Fixpoint dominated (cs : list R) (ns es : list (nat -> Z)) : Prop :=
    match cs, ns, es with
    | c :: cs', n :: ns', e :: es' =>
        0 < c /\ (forall t, (t <= y)%nat -> c * exp (- IZR (n t) / u) <= IZR (e t)) /\ dominated cs' ns' es'
    | [], [], [] => True
    | _, _, _ => False
    end.

  Lemma dominated_product cs : forall ns es, dominated cs ns es -> 0 < prodR cs /\
    forall s, length s = length es -> (forall t, In t s -> (t <= y)%nat) ->
    prodR cs * exp (- IZR (total ns s) / u) <= IZR (product es s).
  Proof.
    induction cs as [|c cs IH]; intros [|n ns] [|e es]; cbn [dominated]; try contradiction.
    - intros _. split; [cbn; lra|]. intros [|t s]; [|discriminate]. intros _ _. cbn.
      replace (- 0 / u) with 0 by (field; lra). rewrite exp_0. lra.
    - intros (Hc & He & H). destruct (IH _ _ H) as [Hp HP]. split; [now apply Rmult_lt_0_compat|].
      intros [|t s]; [discriminate|]. intros L Hs. cbn [total product prodR fold_right]. fold (prodR cs).
      rewrite plus_IZR, mult_IZR. specialize (He t (Hs t (or_introl eq_refl))).
      specialize (HP s ltac:(now injection L) (fun r Hr => Hs r (or_intror Hr))).
      replace (- (IZR (n t) + IZR (total ns s)) / u) with (- IZR (n t) / u + - IZR (total ns s) / u) by (field; lra).
      rewrite exp_plus. pose proof (exp_pos (- IZR (n t) / u)). pose proof (exp_pos (- IZR (total ns s) / u)).
      replace (c * prodR cs * (exp (- IZR (n t) / u) * exp (- IZR (total ns s) / u)))
        with (c * exp (- IZR (n t) / u) * (prodR cs * exp (- IZR (total ns s) / u))) by ring.
      apply Rmult_le_compat; try assumption; apply Rmult_le_pos; lra.
  Qed.

  Variables (cs : list R) (ns es : list (nat -> Z)) (c : R) (T e : Z) (bad : list nat -> bool).
  Hypothesis factors : dominated cs ns es.
  Hypothesis own : 0 < c /\ c * exp (IZR T / u) <= IZR e.
  Hypothesis small : forall s, In s (sequences (length es) v) -> in_stratum q y s = true -> bad s = true ->
    (total ns s <= T)%Z.

  Theorem moment_bound : (q <= y)%nat -> (y < v)%nat ->
    prodR cs * c * IZR (count (fun s => in_stratum q y s && bad s) (sequences (length es) v))
    <= IZR (stratum_sum q y (map (halves y) es) * e).
  Proof.
    intros Hq Hy. rewrite <- (pass_sum q y v es Hq Hy), <- over_scale_r, count_over. apply over_bounds.
    intros s Hs. destruct (dominated_product _ _ _ factors) as [Hp HP]. destruct own as [Hc He].
    destruct (in_stratum q y s) eqn:Hin; [|cbn; lra]. cbn [andb one]. rewrite Z.mul_1_l, mult_IZR.
    specialize (HP s). pose proof (proj1 (in_sequences _ _ _) Hs) as [L _]. specialize (HP L).
    unfold in_stratum in Hin. pose proof Hin as Hin'. apply andb_true_iff in Hin as [_ Hb].
    apply belongs_spec in Hb as [Hb _]. specialize (HP Hb).
    assert (0 < IZR e) by (pose proof (exp_pos (IZR T / u)); nra).
    assert (0 < IZR (product es s)) by (pose proof (exp_pos (- IZR (total ns s) / u)); nra).
    destruct (bad s) eqn:Hbad; [|cbn [one]; nra]. specialize (small s Hs Hin' Hbad). apply IZR_le in small.
    cbn [one]. rewrite Rmult_1_r.
    apply Rle_trans with (prodR cs * exp (- IZR (total ns s) / u) * (c * exp (IZR T / u))).
    - replace (prodR cs * exp (- IZR (total ns s) / u) * (c * exp (IZR T / u)))
        with (prodR cs * c * (exp (- IZR (total ns s) / u) * exp (IZR T / u))) by ring.
      rewrite <- exp_plus, <- (Rmult_1_r (prodR cs * c)) at 1. apply Rmult_le_compat_l; [nra|]. rewrite <- exp_0.
      apply exp_le. replace (- IZR (total ns s) / u + IZR T / u) with ((IZR T - IZR (total ns s)) / u) by (field; lra).
      apply Rmult_le_pos; [lra|apply Rlt_le, Rinv_0_lt_compat, Hu].
    - apply Rmult_le_compat; try assumption; apply Rmult_le_pos; try lra; apply Rlt_le, exp_pos.
  Qed.
End Moment.
