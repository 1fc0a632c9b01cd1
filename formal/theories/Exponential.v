(** * Enclosed exponentials

    For an integer N, the integers lo and hi of [weight_bounds] satisfy

        lo <= 2^p exp(N / (C sqrt d)) <= hi        or hi < 0, which means that no bound was found.

    The interval is computed by the Interval library with big integers as mantissas, no machine floats, and its ends
    are then rounded outwards to integers.

    Source: `pessimal.kernel.tables.exp_scaled`; Interval's theorem [I.exp_correct]. *)

From Coq Require Import ZArith Reals Lra Lia.
From Flocq Require Import Core.
From Bignums Require Import BigZ.
From Interval Require Import Real.Xreal Interval.Interval Interval.Float_full.
From Interval Require Import Float.Basic Float.Sig Float.Specific_ops Float.Specific_bigint.
Module F := SpecificFloat BigIntRadix2.
Module I := FloatIntervalFull F.
Open Scope R_scope.

(** 64 bits of mantissa. *)
Definition precision := F.PtoP 64.

(** Interval around C sqrt d. *)
Definition divisor (C d : Z) : I.type :=
  I.mul precision (I.fromZ precision C) (I.sqrt precision (I.fromZ precision d)).

Definition exponential (div : I.type) (N : bigZ) : I.type :=
  I.exp precision (I.div precision (I.fromZ precision (BigZ.to_Z N)) div).

(** The ends of an interval times 2^p, rounded outwards. *)
Definition outward (p : bigZ) (i : I.type) : bigZ * bigZ :=
  match i with
  | Interval.Interval.Float.Ibnd (Specific_ops.Float m e) (Specific_ops.Float n f) =>
      (BigZ.shiftl m (e + p), BigZ.shiftl n (f + p) + 1)%bigZ
  | _ => (0, -1)%bigZ
  end.

Definition weight_bounds (div : I.type) (p N : bigZ) : bigZ * bigZ := outward p (exponential div N).

Lemma shiftl_floor z s : IZR (Z.shiftl z s) <= IZR z * bpow radix2 s <= IZR (Z.shiftl z s) + 1.
Proof.
  destruct (Z_le_gt_dec 0 s) as [Hs|Hs].
  - rewrite Z.shiftl_mul_pow2, mult_IZR by exact Hs. rewrite <- (IZR_Zpower radix2 s Hs).
    change (radix_val radix2) with 2%Z. lra.
  - replace s with (- (- s))%Z by lia. rewrite Z.shiftl_opp_r, Z.shiftr_div_pow2 by lia. set (r := (- s)%Z).
    rewrite bpow_opp. assert (Hr : (0 <= r)%Z) by (unfold r; lia). pose proof (IZR_Zpower radix2 r Hr) as E.
    change (radix_val radix2) with 2%Z in E. pose proof (bpow_gt_0 radix2 r) as Hp. rewrite <- E in *.
    assert (H2 : (0 < 2 ^ r)%Z) by (apply Z.pow_pos_nonneg; lia).
    pose proof (Z.mul_div_le z (2 ^ r) H2) as A. pose proof (Z.mul_succ_div_gt z (2 ^ r) H2) as B.
    apply IZR_le in A. apply IZR_lt in B. rewrite mult_IZR in A, B. rewrite succ_IZR in B.
    split; apply Rmult_le_reg_r with (IZR (2 ^ r)); try exact Hp; rewrite Rmult_assoc, Rinv_l by lra; lra.
Qed.

Lemma toX_scaled m e : F.toX (Specific_ops.Float m e) = Xreal (IZR (BigZ.to_Z m) * bpow radix2 (BigZ.to_Z e)).
Proof.
  unfold F.toX, F.toF. pose proof (BigIntRadix2.mantissa_sign_correct m) as H. unfold BigIntRadix2.MtoZ in H.
  destruct (BigIntRadix2.mantissa_sign m) as [|s p].
  - rewrite H. simpl. f_equal. ring.
  - destruct H as [H _]. cbn [FtoX]. rewrite FtoR_split, H. unfold F2R, BigIntRadix2.EtoZ. cbn. f_equal. f_equal.
    now destruct s.
Qed.

Lemma exponential_correct C d N : (0 < C)%Z -> (0 < d)%Z ->
  contains (I.convert (exponential (divisor C d) N))
    (Xreal (exp (IZR (BigZ.to_Z N) / (IZR C * sqrt (IZR d))))).
Proof.
  intros HC Hd. apply IZR_lt in HC, Hd. pose proof (sqrt_lt_R0 _ Hd) as Hs.
  assert (Hnz : IZR C * sqrt (IZR d) <> 0) by (apply Rmult_integral_contrapositive; lra).
  assert (Xreal (exp (IZR (BigZ.to_Z N) / (IZR C * sqrt (IZR d))))
    = Xexp (Xdiv (Xreal (IZR (BigZ.to_Z N))) (Xmul (Xreal (IZR C)) (Xsqrt (Xreal (IZR d)))))) as ->.
  { unfold Xdiv, Xmul, Xsqrt, Xexp, Xbind2, Xbind, Xlift, Xdiv', Xsqrt'. now rewrite is_zero_false. }
  unfold exponential, divisor. apply I.exp_correct, I.div_correct; [apply I.fromZ_correct|].
  apply I.mul_correct; [apply I.fromZ_correct|]. apply I.sqrt_correct, I.fromZ_correct.
Qed.

Lemma outward_correct p i x : contains (I.convert i) (Xreal x) -> (0 <= BigZ.to_Z (snd (outward p i)))%Z ->
  IZR (BigZ.to_Z (fst (outward p i))) <= bpow radix2 (BigZ.to_Z p) * x <= IZR (BigZ.to_Z (snd (outward p i))).
Proof.
  destruct i as [|[|m e] [|n f]]; cbn [outward fst snd]; try (intros _ H; exfalso; revert H; easy).
  intros G _. unfold I.convert in G. destruct (_ && _)%bool in G; [|cbn [contains] in G; lra].
  change I.F.toX with F.toX in G. rewrite !toX_scaled in G. cbn [contains] in G. destruct G as [G1 G2].
  rewrite BigZ.spec_add, !BigZ.spec_shiftl, !BigZ.spec_add, plus_IZR.
  change (BigZ.to_Z 1) with 1%Z.
  pose proof (shiftl_floor (BigZ.to_Z m) (BigZ.to_Z e + BigZ.to_Z p)) as [A1 _].
  pose proof (shiftl_floor (BigZ.to_Z n) (BigZ.to_Z f + BigZ.to_Z p)) as [_ A2].
  rewrite bpow_plus in A1, A2. pose proof (bpow_gt_0 radix2 (BigZ.to_Z p)) as Hp.
  split; nra.
Qed.

Theorem weight_bounds_correct C d p N : (0 < C)%Z -> (0 < d)%Z ->
  let (lo, hi) := weight_bounds (divisor C d) p N in (0 <= BigZ.to_Z hi)%Z ->
  IZR (BigZ.to_Z lo) <= bpow radix2 (BigZ.to_Z p) * exp (IZR (BigZ.to_Z N) / (IZR C * sqrt (IZR d)))
    <= IZR (BigZ.to_Z hi).
Proof.
  intros HC Hd. unfold weight_bounds. rewrite (surjective_pairing (outward p _)).
  apply outward_correct, exponential_correct; assumption.
Qed.
