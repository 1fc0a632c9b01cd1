(** * Sums over as many positions as a test holds in

    Of numbers in ascending order the first n add up to no more than any n of them.

    Source: `pessimal.kernel.rules.published.cubic`, placements of the largest token.

    Contents:
      held, over — how many positions a test holds in, and the sum over them.
      smallest_sum — the first entries of the ascending list bound every such sum from below. *)

From Coq Require Import Reals ZArith List Bool Arith Lra Lia Permutation Sorted.
From Pessimal Require Import Statement Sums ClassSizes.
Import ListNotations.
Open Scope R_scope.

Definition held (b : nat -> bool) (n : nat) : Z := sumZ (fun i => one (b i)) n.
Definition over (b : nat -> bool) (f : nat -> R) (n : nat) : R := sum (fun i => if b i then f i else 0) n.

Lemma over_split b f n : over b f n + over (fun i => negb (b i)) f n = sum f n.
Proof. unfold over. rewrite <- sum_plus. apply sum_ext; intros i _. destruct (b i); simpl; ring. Qed.

Lemma held_split b n : (held b n + held (fun i => negb (b i)) n = Z.of_nat n)%Z.
Proof. unfold held. induction n; [reflexivity|]. cbn [sumZ]. destruct (b n); simpl one; lia. Qed.

Definition total (l : list R) : R := fold_right Rplus 0 l.

Lemma total_app l m : total (l ++ m) = total l + total m.
Proof. induction l; simpl; lra. Qed.

Lemma total_permuted l m : Permutation l m -> total l = total m.
Proof. induction 1; simpl; lra. Qed.

Lemma sum_total f n : sum f n = total (map f (seq 0 n)).
Proof. induction n; [reflexivity|]. rewrite seq_S, map_app, total_app. simpl. rewrite IHn. lra. Qed.

Lemma over_threshold b f c n :
  IZR (held b n) * c + sum (fun i => Rmin (f i - c) 0) n <= over b f n.
Proof.
  unfold held, over. induction n; simpl; [lra|]. rewrite plus_IZR.
  destruct (b n); simpl; pose proof (Rmin_l (f n - c) 0); pose proof (Rmin_r (f n - c) 0); lra.
Qed.

Lemma below_threshold l c : Forall (fun x => x <= c) l ->
  total (map (fun x => Rmin (x - c) 0) l) = total l - INR (length l) * c.
Proof.
  induction 1 as [|x l Hx _ IH]; [simpl; lra|]. cbn [map length total fold_right]. rewrite S_INR.
  fold (total l). fold (total (map (fun x => Rmin (x - c) 0) l)). rewrite IH, Rmin_left by lra. lra.
Qed.

Lemma above_threshold l c : Forall (fun x => c <= x) l -> total (map (fun x => Rmin (x - c) 0) l) = 0.
Proof. induction 1; simpl; [reflexivity|]. rewrite IHForall, Rmin_right by lra. lra. Qed.

(** The first j of the ascending weights add up to at most the weights of any j positions. *)
Lemma smallest_sum b f n l : StronglySorted Rle l -> Permutation l (map f (seq 0 n)) ->
  total (firstn (Z.to_nat (held b n)) l) <= over b f n.
Proof.
  intros Hs Hp. assert (Hh : (0 <= held b n <= Z.of_nat n)%Z).
  { unfold held. split; [apply sumZ_nonneg; intros; destruct (b i); simpl; lia|].
    pose proof (held_split b n). assert (0 <= held (fun i => negb (b i)) n)%Z; [|unfold held in *; lia].
    apply sumZ_nonneg; intros; destruct (b i); simpl; lia. }
  assert (Hl : length l = n) by (rewrite (Permutation_length Hp), map_length, seq_length; reflexivity).
  (* The threshold is the largest of the first j. *)
  set (j := Z.to_nat (held b n)). assert (Hj : (j <= n)%nat) by (unfold j; lia).
  set (c := nth (j - 1) l 0).
  assert (Hsplit : l = firstn j l ++ skipn j l) by (symmetry; apply firstn_skipn).
  assert (Hnth : forall a d, (a <= d < length l)%nat -> nth a l 0 <= nth d l 0).
  { clear - Hs. induction Hs as [|x l Hs IH Hx]; intros a d H; [simpl in H; lia|].
    destruct d as [|d]; [assert (a = O) as -> by lia; lra|]. simpl in H. destruct a as [|a].
    - simpl. rewrite Forall_forall in Hx. apply Hx, nth_In. lia.
    - simpl. apply IH. lia. }
  assert (Hlow : Forall (fun x => x <= c) (firstn j l)).
  { rewrite Forall_forall. intros x (a & Ha & <-)%(In_nth _ _ 0). rewrite firstn_length in Ha.
    replace (nth a (firstn j l) 0) with (nth a l 0).
    - apply Hnth. lia.
    - rewrite Hsplit at 1. rewrite app_nth1; [reflexivity|]. rewrite firstn_length. lia. }
  assert (Hhigh : Forall (fun x => c <= x) (skipn j l)).
  { rewrite Forall_forall. intros x (a & Ha & <-)%(In_nth _ _ 0). rewrite skipn_length in Ha.
    replace (nth a (skipn j l) 0) with (nth (j + a) l 0).
    - apply Hnth. lia.
    - rewrite Hsplit at 1. rewrite app_nth2; rewrite firstn_length; [f_equal; lia|lia]. }
  pose proof (over_threshold b f c n) as H.
  rewrite (sum_total (fun i => Rmin (f i - c) 0)), <- (map_map f (fun x => Rmin (x - c) 0)) in H.
  rewrite <- (total_permuted _ _ (Permutation_map (fun x => Rmin (x - c) 0) Hp)), Hsplit in H.
  rewrite map_app, total_app, (below_threshold _ _ Hlow), (above_threshold _ _ Hhigh) in H.
  rewrite firstn_length, Nat.min_l in H by lia.
  replace (IZR (held b n)) with (INR j) in H by (rewrite INR_IZR_INZ; f_equal; unfold j; lia). lra.
Qed.
