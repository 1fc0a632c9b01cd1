(** * The real exponential

    1 + x <= e^x for all x, and that the exponential rises. The standard library proves these by the mean value theorem,
    which takes excluded middle for propositions; the series does without, and so do all theorems here.

    Contents:
      exp_line — the tangent at zero lies below; exp_lt, exp_le — rising. *)

From Coq Require Import Reals Lra Lia.
Open Scope R_scope.

Lemma exp_series x : Un_cv (fun n => sum_f_R0 (fun i => / INR (fact i) * x ^ i) n) (exp x).
Proof. unfold exp, projT1. now destruct (exist_exp x). Qed.

Lemma exp_positive_line x : 0 <= x -> 1 + x <= exp x.
Proof.
  intros [H| <-]; [|rewrite exp_0; lra]. apply Rle_trans with (sum_f_R0 (fun i => / INR (fact i) * x ^ i) 1).
  - simpl. lra.
  - apply sum_incr; [apply exp_series|]. intros n. apply Rmult_le_pos; [|apply pow_le; lra].
    apply Rlt_le, Rinv_0_lt_compat, INR_fact_lt_0.
Qed.

(** By the geometric series. *)
Lemma exp_below_inverse x : 0 <= x < 1 -> exp x * (1 - x) <= 1.
Proof.
  intros H. apply Rmult_le_reg_r with (/ (1 - x)); [apply Rinv_0_lt_compat; lra|].
  rewrite Rmult_assoc, Rinv_r, Rmult_1_r, Rmult_1_l by lra.
  apply Rle_cv_lim with (2 := exp_series x) (Vn := fun _ => / (1 - x)).
  - intros n. apply Rle_trans with (sum_f_R0 (fun i => x ^ i) n).
    + apply sum_Rle. intros i _. pose proof (pow_le x i ltac:(lra)) as P.
      assert (1 <= INR (fact i)) by (apply (le_INR 1), Nat.le_succ_l, lt_O_fact).
      assert (/ INR (fact i) <= 1) by (rewrite <- Rinv_1; apply Rinv_le_contravar; lra). nra.
    + rewrite tech3 by lra. pose proof (pow_le x (S n) ltac:(lra)).
      assert (0 < / (1 - x)) by (apply Rinv_0_lt_compat; lra). unfold Rdiv. nra.
  - intros e He. exists O. intros n _. unfold R_dist. rewrite Rminus_diag_eq, Rabs_R0 by reflexivity. exact He.
Qed.

Lemma exp_line x : 1 + x <= exp x.
Proof.
  destruct (Rle_lt_dec 0 x) as [H|H]; [now apply exp_positive_line|]. pose proof (exp_pos x) as P.
  destruct (Rle_lt_dec x (-1)); [lra|]. pose proof (exp_below_inverse (- x) ltac:(lra)) as G.
  assert (E : exp x * exp (- x) = 1) by (rewrite <- exp_plus, Rplus_opp_r; apply exp_0).
  apply Rmult_le_reg_r with (exp (- x)); [apply exp_pos|]. rewrite E. lra.
Qed.

Lemma exp_lt x y : x < y -> exp x < exp y.
Proof.
  intros H. replace y with (x + (y - x)) by ring. rewrite exp_plus. pose proof (exp_pos x).
  pose proof (exp_line (y - x)). nra.
Qed.

Lemma exp_le x y : x <= y -> exp x <= exp y.
Proof. intros [H| ->]; [now apply Rlt_le, exp_lt|lra]. Qed.
