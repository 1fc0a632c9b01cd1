(** * Mean+diff: the right token's path around an average attention

    For one target let L_x ([fixed]) be what does not depend on the attention alpha to it and R_x ([slope]) what alpha
    multiplies, for each rival x; the sub-cubic proof bounds a class by

        exact alpha = max_x (L_x + alpha R_x) + (1 - alpha) w,

    w what the other tokens can add. To evaluate the maximum once for all queries, the published proof moves from their
    mean attention p to the attention alpha of a query by the largest slope:

        published = max_x (L_x + p R_x) + (1 - p) w + (alpha - p) (max_x R_x - w).

    This is a bound if p <= alpha. It is none without that condition, and about half of the queries attend less than the
    mean: the slope must then be min_x R_x. Below, the bound with the condition, the repaired bound for both signs, the
    chords that replace it, and numbers on which the published formula says -1/2, "right", where the truth is +1.
    The numbers show that the formula is no bound; they are not those of a trained model.

    Source: `pessimal.kernel.rules.published.sub_cubic.averaging`; Gross et al. 2024, sub-cubic proofs (`mean_query+diff`).

    Contents:
      best, exact, published — max_x (L_x + alpha R_x), and the formulas above.
      published_above_the_mean, published_is_no_bound — with the condition; without it.
      drop, sign_aware, chord — the rule's three ways, each for every value of the hints.
      ends_suffice — a line bounded at both ends of attention is bounded between them. *)

From Coq Require Import Reals Arith Lra Lia.
From Pessimal Require Import Statement Sums MaxRowDiff.
Open Scope R_scope.

Section Bounds.
  Variables (n : nat) (fixed slope : nat -> R) (w : R).
  Hypothesis Hn : (0 < n)%nat.

  Definition best (alpha : R) : R := greatest (fun x => fixed x + alpha * slope x) n.
  Definition exact (alpha : R) : R := best alpha + (1 - alpha) * w.
  Definition published (p alpha : R) : R := best p + (1 - p) * w + (alpha - p) * (greatest slope n - w).

  Lemma best_ge alpha x : (x < n)%nat -> fixed x + alpha * slope x <= best alpha.
  Proof. exact (greatest_ge (fun x => fixed x + alpha * slope x) n x). Qed.

  Lemma best_le alpha c : (forall x, (x < n)%nat -> fixed x + alpha * slope x <= c) -> best alpha <= c.
  Proof. exact (greatest_le (fun x => fixed x + alpha * slope x) n c Hn). Qed.

  Theorem published_above_the_mean p alpha : p <= alpha -> exact alpha <= published p alpha.
  Proof.
    intros Hp. unfold exact, published. assert (best alpha <= best p + (alpha - p) * greatest slope n); [|lra].
    apply best_le. intros x Hx. pose proof (best_ge p x Hx). pose proof (greatest_ge slope n x Hx). nra.
  Qed.

  Theorem drop alpha : 0 <= alpha -> best alpha <= greatest fixed n + alpha * greatest slope n.
  Proof.
    intros Ha. apply best_le. intros x Hx.
    pose proof (greatest_ge fixed n x Hx). pose proof (greatest_ge slope n x Hx). nra.
  Qed.

  Theorem sign_aware p alpha :
    best alpha <= Rmax (best p + (alpha - p) * greatest slope n) (best p + (alpha - p) * least slope n).
  Proof.
    apply best_le. intros x Hx. pose proof (best_ge p x Hx). pose proof (greatest_ge slope n x Hx).
    pose proof (least_le slope n x Hx). destruct (Rle_dec p alpha).
    - apply Rle_trans with (2 := Rmax_l _ _). nra.
    - apply Rle_trans with (2 := Rmax_r _ _). nra.
  Qed.

  (** A convex function lies below its chords. *)
  Theorem chord p p' alpha : p <= alpha <= p' -> p < p' ->
    best alpha <= best p + (best p' - best p) / (p' - p) * (alpha - p).
  Proof.
    intros Ha Hp. apply best_le. intros x Hx. pose proof (best_ge p x Hx) as A. pose proof (best_ge p' x Hx) as B.
    set (u := (alpha - p) / (p' - p)). assert (Hu : alpha - p = u * (p' - p)) by (unfold u; field; lra).
    assert (0 <= u <= 1) by nra.
    replace ((best p' - best p) / (p' - p) * (alpha - p)) with (u * (best p' - best p)) by (unfold u; field; lra).
    replace (fixed x + alpha * slope x) with ((1 - u) * (fixed x + p * slope x) + u * (fixed x + p' * slope x)); [nra|].
    replace alpha with (p + u * (p' - p)) by lra. ring.
  Qed.

  Theorem ends_suffice c s lo hi alpha b : lo <= alpha <= hi ->
    c + s * lo + (1 - lo) * w <= b -> c + s * hi + (1 - hi) * w <= b -> c + s * alpha + (1 - alpha) * w <= b.
  Proof. intros Ha Hlo Hhi. destruct (Rle_dec 0 (s - w)); nra. Qed.
End Bounds.

(** Two rivals, two queries with attentions 1/2 and 1, so that the mean is 3/4. *)
Definition fixed_of (x : nat) : R := match x with O => 0 | _ => 6 end.
Definition slope_of (x : nat) : R := match x with O => -1 | _ => -10 end.
Definition attention_of (q : nat) : R := match q with O => 1 / 2 | _ => 1 end.

Theorem published_is_no_bound : exists (fixed slope attention : nat -> R) (w : R),
  (forall q, (q < 2)%nat -> 0 <= attention q <= 1) /\
  published 2 fixed slope w (sum attention 2 / 2) (attention O) < 0 < exact 2 fixed slope w (attention O).
Proof.
  exists fixed_of, slope_of, attention_of, 0. split.
  - intros q _. destruct q; simpl; lra.
  - unfold published, exact, best. simpl.
    rewrite (Rmax_right (0 + 1 / 2 * -1)) by lra. rewrite (Rmax_left (-1)), Rmax_left by lra. lra.
Qed.
