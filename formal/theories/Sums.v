(** * Finite sums

    Facts about [sum] (Statement.v), about sums of integers, and about members of mapped lists, nothing else. *)

From Coq Require Import Reals ZArith List Lra Lia.
From Pessimal Require Import Statement.
Open Scope R_scope.

Lemma sum_ext f g n : (forall i, (i < n)%nat -> f i = g i) -> sum f n = sum g n.
Proof. induction n; simpl; intros H; [reflexivity|]. rewrite IHn, H by auto with arith. reflexivity. Qed.

Lemma sum_plus f g n : sum (fun i => f i + g i) n = sum f n + sum g n.
Proof. induction n; simpl; [lra|]. rewrite IHn; lra. Qed.

Lemma sum_scale c f n : sum (fun i => c * f i) n = c * sum f n.
Proof. induction n; simpl; [lra|]. rewrite IHn; lra. Qed.

Lemma sum_scale_r c f n : sum (fun i => f i * c) n = sum f n * c.
Proof. induction n; simpl; [lra|]. rewrite IHn; lra. Qed.

Lemma sum_zero n : sum (fun _ => 0) n = 0.
Proof. induction n; simpl; lra. Qed.

Lemma sum_swap f n m : sum (fun i => sum (fun j => f i j) m) n = sum (fun j => sum (fun i => f i j) n) m.
Proof. induction n; simpl; [now rewrite sum_zero|]. now rewrite IHn, <- sum_plus. Qed.

Lemma sum_le f g n : (forall i, (i < n)%nat -> f i <= g i) -> sum f n <= sum g n.
Proof.
  induction n; simpl; intros H; [lra|].
  assert (f n <= g n) by auto with arith. assert (sum f n <= sum g n) by auto with arith. lra.
Qed.

Lemma sum_positive f n : (0 < n)%nat -> (forall i, (i < n)%nat -> 0 < f i) -> 0 < sum f n.
Proof.
  intros Hn H. destruct n as [|n]; [lia|]. clear Hn. simpl. assert (0 < f n) by auto with arith.
  assert (0 <= sum f n); [|lra]. rewrite <- (sum_zero n). apply sum_le. intros i Hi. apply Rlt_le, H. lia.
Qed.

Lemma sum_first f n : sum f (S n) = f O + sum (fun i => f (S i)) n.
Proof. induction n as [|n IH]; [simpl; lra|]. change (sum f (S (S n))) with (sum f (S n) + f (S n)). rewrite IH. simpl.
  lra. Qed.

Lemma largest_ge x n i : (i < n)%nat -> (x i <= largest x n)%nat.
Proof. induction n; intros H; [lia|]; simpl. destruct (Nat.eq_dec i n); [subst; lia|]. specialize (IHn ltac:(lia)).
  lia. Qed.

Lemma largest_le x n y : (forall i, (i < n)%nat -> (x i <= y)%nat) -> (largest x n <= y)%nat.
Proof. induction n; simpl; intros H; [lia|]. specialize (IHn ltac:(auto with arith)). specialize (H n ltac:(lia)). lia.
  Qed.

(** Members of mapped lists. *)
Lemma nth_map_lt {A B} (f : A -> B) l i a b : (i < length l)%nat -> nth i (map f l) b = f (nth i l a).
Proof. intros H. rewrite (nth_indep _ b (f a)) by now rewrite map_length. apply map_nth. Qed.

Lemma nth_map_seq {A} (f : nat -> A) n i a : (i < n)%nat -> nth i (map f (seq 0 n)) a = f i.
Proof. intros H. rewrite (nth_map_lt f _ i O a) by now rewrite seq_length. now rewrite seq_nth. Qed.

(** Sums of integers. *)
Fixpoint sumZ (f : nat -> Z) (n : nat) : Z :=
  match n with O => 0 | S m => sumZ f m + f m end%Z.

Open Scope Z_scope.

Lemma sumZ_ext f g n : (forall i, (i < n)%nat -> f i = g i) -> sumZ f n = sumZ g n.
Proof. induction n; simpl; intros H; [reflexivity|]. rewrite IHn, H by auto with arith. reflexivity. Qed.

Lemma sumZ_plus f g n : sumZ (fun i => f i + g i) n = sumZ f n + sumZ g n.
Proof. induction n; simpl; [lia|]. rewrite IHn; lia. Qed.

Lemma sumZ_scale_r c f n : sumZ (fun i => f i * c) n = sumZ f n * c.
Proof. induction n; simpl; [lia|]. rewrite IHn; lia. Qed.

Lemma sumZ_zero n : sumZ (fun _ => 0) n = 0.
Proof. induction n; simpl; lia. Qed.

Lemma sumZ_swap f n m : sumZ (fun i => sumZ (fun j => f i j) m) n = sumZ (fun j => sumZ (fun i => f i j) n) m.
Proof. induction n; simpl; [now rewrite sumZ_zero|]. now rewrite IHn, <- sumZ_plus. Qed.

Lemma sumZ_nonneg f n : (forall i, (i < n)%nat -> 0 <= f i) -> 0 <= sumZ f n.
Proof.
  induction n; simpl; intros H; [lia|].
  assert (0 <= f n) by auto with arith. assert (0 <= sumZ f n) by auto with arith. lia.
Qed.

Lemma sumZ_found f n : 0 < sumZ f n -> exists i, (i < n)%nat /\ 0 < f i.
Proof.
  induction n; simpl; intros H; [lia|].
  destruct (Z_lt_le_dec 0 (f n)) as [Hp|Hp]; [exists n; auto with arith|].
  destruct IHn as (i & Hi & Hf); [lia|]. exists i; auto with arith.
Qed.

(** A sum with at most one positive summand is at most that summand's bound. *)
Lemma sumZ_only f n c : 0 <= c -> (forall i, (i < n)%nat -> 0 <= f i <= c) ->
  (forall i j, (i < n)%nat -> (j < n)%nat -> 0 < f i -> 0 < f j -> i = j) -> sumZ f n <= c.
Proof.
  intros Hc. induction n; simpl; intros H Hu; [lia|].
  destruct (Z_lt_le_dec 0 (f n)) as [Hp|Hp].
  - assert (Hz : sumZ f n <= 0).
    { destruct (Z_lt_le_dec 0 (sumZ f n)) as [Hs|Hs]; [|lia].
      apply sumZ_found in Hs as (i & Hi & Hf). specialize (Hu i n ltac:(lia) ltac:(lia) Hf Hp). lia. }
    specialize (H n ltac:(lia)). lia.
  - assert (sumZ f n <= c); [|lia]. apply IHn; intros; [apply H; lia|apply Hu; auto with arith].
Qed.
