(** * Table form and the separable margin

    The logits depend on a sequence through three tables only: scores, the logits that a token adds if attended to
    (EVOU and PVOU together), and the direct path. Hence the margin of output y over rival o, times the softmax
    denominator, is a sum with one term for each position:

        (logit y - logit o) * sum_i exp(score q i x_i)
          = sum_i exp(score q i x_i) * (D q y - D q o + V i x_i y - V i x_i o),      q the last token.

    Source: `pessimal.kernel.model.tables` (table form), `pessimal.kernel.terms.builder` (separable margin). *)

From Coq Require Import Reals Lra Lia.
From Pessimal Require Import Statement Sums.
Open Scope R_scope.

Section TableForm.
  Variable M : model.

  (** Logits of token t in position i through the head, and of last token q through the direct path. *)
  Definition attended (i t o : nat) : R :=
    sum (fun d => sum (fun a => value M i t a * W_O M a d) (d_head M) * W_U M d o) (d_model M).
  Definition direct (q o : nat) : R := sum (fun d => embedding M (last M) q d * W_U M d o) (d_model M).
  Definition denominator (x : nat -> nat) : R := sum (fun i => exp (score M (x (last M)) i (x i))) (k M).

  (** Term of the separable margin of y over o. *)
  Definition term (q y o i t : nat) : R :=
    exp (score M q i t) * (direct q y - direct q o + (attended i t y - attended i t o)).

  Theorem table_form x o :
    logit M x o = direct (x (last M)) o + sum (fun i => attention M x i * attended i (x i) o) (k M).
  Proof.
    unfold logit, residual, mixed, direct.
    rewrite (sum_ext _ (fun d => embedding M (last M) (x (last M)) d * W_U M d o
       + sum (fun a => sum (fun i => attention M x i * value M i (x i) a) (k M) * W_O M a d) (d_head M) * W_U M d o))
      by (intros; ring).
    rewrite sum_plus. f_equal.
    transitivity (sum (fun d => sum (fun i => attention M x i *
      (sum (fun a => value M i (x i) a * W_O M a d) (d_head M) * W_U M d o)) (k M)) (d_model M)).
    - apply sum_ext; intros d _. rewrite <- sum_scale_r.
      rewrite (sum_ext (fun a => sum _ _ * W_O M a d * W_U M d o)
        (fun a => sum (fun i => attention M x i * (value M i (x i) a * W_O M a d * W_U M d o)) (k M))).
      2:{ intros a _. rewrite Rmult_assoc, <- sum_scale_r. apply sum_ext; intros; ring. }
      rewrite sum_swap. apply sum_ext; intros i _. rewrite sum_scale. f_equal. now rewrite <- sum_scale_r.
    - rewrite sum_swap. apply sum_ext; intros i _. now rewrite sum_scale.
  Qed.

  Lemma denominator_positive x : (0 < k M)%nat -> 0 < denominator x.
  Proof. intros Hk. apply sum_positive; [exact Hk|]. intros; apply exp_pos. Qed.

  Theorem separable x y o : (0 < k M)%nat ->
    (logit M x y - logit M x o) * denominator x = sum (fun i => term (x (last M)) y o i (x i)) (k M).
  Proof.
    intros Hk. pose proof (denominator_positive x Hk) as HZ.
    assert (E : forall l, sum (fun i => attention M x i * attended i (x i) l) (k M) * denominator x
      = sum (fun i => exp (score M (x (last M)) i (x i)) * attended i (x i) l) (k M)).
    { intros l. rewrite <- sum_scale_r. apply sum_ext; intros i _. unfold attention. fold (denominator x). field. lra. }
    rewrite !table_form.
    transitivity (sum (fun i => exp (score M (x (last M)) i (x i)) * attended i (x i) y) (k M)
      + (-1 * sum (fun i => exp (score M (x (last M)) i (x i)) * attended i (x i) o) (k M)
         + denominator x * (direct (x (last M)) y - direct (x (last M)) o))).
    { rewrite <- (E y), <- (E o). ring. }
    unfold denominator. rewrite <- sum_scale_r, <- sum_scale, <- !sum_plus. apply sum_ext; intros; unfold term; ring.
  Qed.
End TableForm.
