(** * Scores as arguments of the exponential

    A score is n / (2^b sqrt d) for an integer n and the width d of a head; Exponential.v takes integers in units of
    2^-FINE. The root is enclosed once, with ROOT digits.

    Source: `pessimal.kernel.model.tables`, attention scale.

    Contents:
      roots, arguments — a score between two arguments; arguments_correct. *)

From Coq Require Import ZArith Reals Lra Lia.
From Pessimal Require Import Integers Exponential.
Open Scope Z_scope.

(* Digits of 1 / sqrt d. *)
Definition ROOT : Z := 128.

Section Arguments.
  Context {T : Type} (A : integers T).

  (** 2^ROOT / sqrt d, rounded down and up, and n / (2^b sqrt d) between two arguments. *)
  Definition roots (d : Z) : T * T := let r := Z.sqrt (2 ^ (2 * ROOT) / d) in (of_Z A r, of_Z A (r + 1)).
  Definition arguments (r : T * T) (b : Z) (n : T) : T * T :=
    let nonnegative := leb A (of_Z A 0) n in
    let s := FINE - ROOT - b in
    (shift A (mul A n (if nonnegative then fst r else snd r)) s,
     add A (shift A (mul A n (if nonnegative then snd r else fst r)) s) (of_Z A 1)).

  Open Scope R_scope.
  Hypothesis law : lawful A.
  Notation val := (val A).
  Notation argument n := (IZR n / IZR (2 ^ FINE)).

  Lemma roots_correct d : (0 < d)%Z ->
    val (fst (roots d)) * sqrt (IZR d) <= pow2 ROOT <= val (snd (roots d)) * sqrt (IZR d).
  Proof.
    intros Hd. unfold roots. cbn [fst snd]. rewrite !val_of by exact law. set (q := (2 ^ (2 * ROOT) / d)%Z).
    assert (Hq : (0 <= q)%Z) by (apply Z.div_pos; [now apply Z.pow_nonneg|exact Hd]).
    pose proof (Z.sqrt_spec q Hq) as [S1 S2]. set (r := Z.sqrt q) in *. assert (Hr : (0 <= r)%Z) by apply Z.sqrt_nonneg.
    pose proof (Z.mul_div_le (2 ^ (2 * ROOT)) d Hd) as D1. pose proof (Z.mul_succ_div_gt (2 ^ (2 * ROOT)) d Hd) as D2.
    fold q in D1, D2. replace (2 ^ (2 * ROOT))%Z with (2 ^ ROOT * 2 ^ ROOT)%Z in D1, D2 by reflexivity.
    rewrite pow2_IZR by easy. set (P := (2 ^ ROOT)%Z) in *. assert (HP : (0 <= P)%Z) by (apply Z.pow_nonneg; lia).
    assert (Hs : 0 <= sqrt (IZR d)) by apply sqrt_pos. assert (E : sqrt (IZR d) * sqrt (IZR d) = IZR d)
      by (apply sqrt_sqrt, IZR_le; lia).
    assert (L : (r * r * d <= P * P)%Z) by nia. assert (U : (P * P <= (r + 1) * (r + 1) * d)%Z) by nia.
    apply IZR_le in L, U, HP, Hr. rewrite !mult_IZR in L, U. rewrite plus_IZR in *. rewrite <- E in L, U.
    split; apply Rsqr_incr_0_var; unfold Rsqr; nra.
  Qed.

  Lemma arguments_correct d b n : (0 < d)%Z ->
    argument (to_Z A (fst (arguments (roots d) b n))) <= IZR (to_Z A n) / (pow2 b * sqrt (IZR d))
      <= argument (to_Z A (snd (arguments (roots d) b n))).
  Proof.
    intros Hd. destruct (roots_correct d Hd) as [R1 R2]. set (r := roots d) in *.
    assert (Hs : 0 < sqrt (IZR d)) by (apply sqrt_lt_R0, IZR_lt; exact Hd).
    assert (HF : 0 < IZR (2 ^ FINE)) by (apply IZR_lt; reflexivity).
    assert (Hb : 0 < pow2 b) by apply pow2_positive.
    assert (HS : 0 < pow2 (FINE - ROOT - b)) by apply pow2_positive.
    set (y := IZR (to_Z A n) / (pow2 b * sqrt (IZR d))).
    assert (E : y * IZR (2 ^ FINE) * sqrt (IZR d) = val n * pow2 ROOT * pow2 (FINE - ROOT - b)).
    { unfold y, Integers.val. rewrite Rmult_assoc, (Rmult_assoc (IZR _) (pow2 ROOT)), <- pow2_add.
      replace (ROOT + (FINE - ROOT - b))%Z with (FINE + - b)%Z by lia. rewrite pow2_add, <- (pow2_IZR FINE) by easy.
      pose proof (pow2_inverse b). replace (pow2 (- b)) with (/ pow2 b) by (field_simplify_eq; lra). field. lra. }
    assert (B : val (fst (arguments r b n)) <= y * IZR (2 ^ FINE) <= val (snd (arguments r b n))).
    { unfold arguments. cbv zeta. cbn [fst snd]. rewrite val_add, val_of by exact law.
      set (low := mul A n _). set (high := mul A n _).
      assert (H : val low * sqrt (IZR d) <= val n * pow2 ROOT <= val high * sqrt (IZR d)).
      { unfold low, high. destruct (leb A _ n) eqn:L.
        - apply val_leb in L; [|exact law]. rewrite val_of in L by exact law. rewrite !val_mul by exact law. split; nra.
        - apply val_leb_false in L; [|exact law]. rewrite val_of in L by exact law. rewrite !val_mul by exact law.
          split; nra. }
      pose proof (val_shift A law low (FINE - ROOT - b)) as [F1 _].
      pose proof (val_shift A law high (FINE - ROOT - b)) as [_ F2].
      split; apply Rmult_le_reg_r with (sqrt (IZR d)); try exact Hs; rewrite E.
      - apply Rle_trans with (val low * sqrt (IZR d) * pow2 (FINE - ROOT - b)); [|apply Rmult_le_compat_r; lra].
        rewrite Rmult_assoc, (Rmult_comm (sqrt _)), <- Rmult_assoc. apply Rmult_le_compat_r; lra.
      - apply Rle_trans with (val high * sqrt (IZR d) * pow2 (FINE - ROOT - b)); [apply Rmult_le_compat_r; lra|].
        rewrite Rmult_assoc, (Rmult_comm (sqrt _)), <- Rmult_assoc. apply Rmult_le_compat_r; lra. }
    destruct B as [B1 B2]. split; apply Rmult_le_reg_r with (IZR (2 ^ FINE)); try exact HF;
      unfold Rdiv at 1; rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra; assumption.
  Qed.
End Arguments.
