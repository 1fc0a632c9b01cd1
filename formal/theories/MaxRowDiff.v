(** * Row differences of a product, without multiplying it out

    The row difference of a row f of n entries is rng f = max_ij (f_i - f_j). For a row a and a matrix B,

        rng (a B) <= sum_k |a_k| rng(B_k)                        (max row difference)
        rng (a B) <= rng (z B) + sum_k |a_k - z_k| rng(B_k)      (around any row z, such as the mean row)
        rng (a B) <= max_k rng(B_k)                              (a is a convex combination)

    and each holds with any upper bounds in the place of the rng(B_k), so cuts may be nested and the least of several
    bounds taken.

    Source: `pessimal.kernel.rules.published.sub_cubic.differences`, `qk_path`, `direct_path` (around a row), `rule` (what the
    other tokens add: a convex combination of rows of EVOU); Gross et al. 2024, sub-cubic proofs.

    Contents:
      greatest, least, rng — of the first n entries; rng_spec: the least bound of all differences.
      row — entry i of the row a B.
      max_row_diff, max_row_diff_around, max_row_diff_twice, max_row_diff_convex — the above.
      direct_path — the second with logits: D_x - D_y <= mu_x - mu_y + slack. *)

From Coq Require Import Reals Arith Lra Lia.
From Pessimal Require Import Statement Sums.
Open Scope R_scope.

(** Extremes of f 0 .. f (n-1), for n > 0. *)
Fixpoint greatest (f : nat -> R) (n : nat) : R :=
  match n with O | S O => f O | S m => Rmax (greatest f m) (f m) end.
Definition least (f : nat -> R) (n : nat) : R := - greatest (fun i => - f i) n.
Definition rng (f : nat -> R) (n : nat) : R := greatest f n - least f n.

Lemma greatest_step f n : greatest f (S (S n)) = Rmax (greatest f (S n)) (f (S n)).
Proof. reflexivity. Qed.

Lemma greatest_ge f n i : (i < n)%nat -> f i <= greatest f n.
Proof.
  destruct n as [|n]; [lia|]. revert i. induction n as [|n IH]; intros i Hi; [assert (i = O) as -> by lia; simpl; lra|].
  rewrite greatest_step. destruct (Nat.eq_dec i (S n)) as [->|]; [apply Rmax_r|].
  apply Rle_trans with (2 := Rmax_l _ _). apply IH. lia.
Qed.

Lemma greatest_met f n : (0 < n)%nat -> exists i, (i < n)%nat /\ greatest f n = f i.
Proof.
  destruct n as [|n]; [lia|]. intros _. induction n as [|n (i & Hi & E)]; [exists O; split; [lia|reflexivity]|].
  rewrite greatest_step. unfold Rmax. destruct (Rle_dec _ _).
  - exists (S n). split; [lia|reflexivity].
  - exists i. split; [lia|exact E].
Qed.

Lemma greatest_le f n c : (0 < n)%nat -> (forall i, (i < n)%nat -> f i <= c) -> greatest f n <= c.
Proof. intros Hn H. destruct (greatest_met f n Hn) as (i & Hi & ->). auto. Qed.

Lemma least_le f n i : (i < n)%nat -> least f n <= f i.
Proof. intros Hi. unfold least. pose proof (greatest_ge (fun i => - f i) n i Hi). simpl in *. lra. Qed.

Lemma least_met f n : (0 < n)%nat -> exists i, (i < n)%nat /\ least f n = f i.
Proof.
  intros Hn. destruct (greatest_met (fun i => - f i) n Hn) as (i & Hi & E). exists i. unfold least.
  split; [exact Hi|]. rewrite E. ring.
Qed.

Theorem rng_spec f n w : (0 < n)%nat -> rng f n <= w <-> forall i j, (i < n)%nat -> (j < n)%nat -> f i - f j <= w.
Proof.
  intros Hn. unfold rng. split.
  - intros H i j Hi Hj. pose proof (greatest_ge f n i Hi). pose proof (least_le f n j Hj). lra.
  - intros H. destruct (greatest_met f n Hn) as (i & Hi & ->), (least_met f n Hn) as (j & Hj & ->). auto.
Qed.

(** Entry i of the row a times the matrix B with m rows. *)
Definition row (a : nat -> R) (B : nat -> nat -> R) (m i : nat) : R := sum (fun k => a k * B k i) m.

Lemma row_difference a B m i j : row a B m i - row a B m j = sum (fun k => a k * (B k i - B k j)) m.
Proof.
  unfold row. rewrite (sum_ext (fun k => a k * (B k i - B k j)) (fun k => a k * B k i + -1 * (a k * B k j)))
    by (intros; ring). rewrite sum_plus, sum_scale. ring.
Qed.

Section Product.
  Variables (m n : nat) (a : nat -> R) (B : nat -> nat -> R) (w : nat -> R).
  Hypothesis Hn : (0 < n)%nat.
  Hypothesis Hw : forall k, (k < m)%nat -> rng (B k) n <= w k.

  Lemma weighted_difference d i j : (i < n)%nat -> (j < n)%nat ->
    sum (fun k => d k * (B k i - B k j)) m <= sum (fun k => Rabs (d k) * w k) m.
  Proof.
    intros Hi Hj. apply sum_le. intros k Hk. pose proof (proj1 (rng_spec _ _ _ Hn) (Hw k Hk)) as H.
    pose proof (H i j Hi Hj). pose proof (H j i Hj Hi). unfold Rabs. destruct (Rcase_abs (d k)); nra.
  Qed.

  Theorem max_row_diff : rng (row a B m) n <= sum (fun k => Rabs (a k) * w k) m.
  Proof. apply rng_spec; [exact Hn|]. intros i j Hi Hj. rewrite row_difference. now apply weighted_difference. Qed.

  Theorem max_row_diff_around (z : nat -> R) :
    rng (row a B m) n <= rng (row z B m) n + sum (fun k => Rabs (a k - z k) * w k) m.
  Proof.
    apply rng_spec; [exact Hn|]. intros i j Hi Hj.
    pose proof (proj1 (rng_spec (row z B m) n _ Hn) (Rle_refl _) i j Hi Hj) as Hz.
    pose proof (weighted_difference (fun k => a k - z k) i j Hi Hj) as H.
    assert (row a B m i - row a B m j = (row z B m i - row z B m j) + sum (fun k => (a k - z k) * (B k i - B k j)) m)
      as -> by (rewrite !row_difference, <- sum_plus; apply sum_ext; intros; ring). lra.
  Qed.

  (** Logits of the direct path, around any anchor. *)
  Theorem direct_path (z : nat -> R) x y : (x < n)%nat -> (y < n)%nat ->
    row a B m x - row a B m y <= row z B m x - row z B m y + sum (fun k => Rabs (a k - z k) * w k) m.
  Proof.
    intros Hx Hy. pose proof (weighted_difference (fun k => a k - z k) x y Hx Hy) as H. rewrite !row_difference.
    rewrite (sum_ext _ (fun k => z k * (B k x - B k y) + (a k - z k) * (B k x - B k y))) by (intros; ring).
    rewrite sum_plus. lra.
  Qed.

  Theorem max_row_diff_convex c : (forall k, (k < m)%nat -> 0 <= a k /\ w k <= c) -> sum a m = 1 ->
    rng (row a B m) n <= c.
  Proof.
    intros H One. apply Rle_trans with (1 := max_row_diff). rewrite <- (Rmult_1_r c), <- One, <- sum_scale.
    apply sum_le. intros k Hk. destruct (H k Hk). rewrite Rabs_right by lra. nra.
  Qed.
End Product.

(** Nested: the rows of the right factor B = A' B' bounded by the same theorem. *)
Theorem max_row_diff_twice m p n a (A' B' : nat -> nat -> R) : (0 < n)%nat ->
  rng (row a (fun k => row (A' k) B' p) m) n
    <= sum (fun k => Rabs (a k) * sum (fun l => Rabs (A' k l) * rng (B' l) n) p) m.
Proof.
  intros Hn. apply max_row_diff; [exact Hn|]. intros k _. apply max_row_diff; [exact Hn|]. intros; apply Rle_refl.
Qed.
