(** * Sums of products over the sequences of a stratum

    The stratum (q, y) of Max-of-K holds the sequences with last token q and largest token y, q <= y. A function with
    one factor for each position before the last is summed over them in one pass over positions: with A the sum of the
    position's factors over the tokens below y and a its factor at y,

        (unseen, seen)  becomes  (unseen A, unseen a + seen (A + a)),

    from (0, 1) if q = y, else from (1, 0); the sum is the last `seen`. With all factors 1 it is the stratum's size.

    Source: `pessimal.kernel.strata.strata`, `pessimal.kernel.moments`; docstring of `rules/exponential_moment.py`.

    Contents:
      over — sums over a list of sequences.
      in_stratum — whether a sequence without its last token belongs; every sequence belongs once.
      pass, pass_sum — the pass, and what it computes.
      wrong_by_stratum — wrong sequences are those of all strata.
      wrong_by_floors — their number is at most the sum of the strata's bounds, each rounded down; floors_below — which
        is at most their sum rounded down. *)

From Coq Require Import ZArith List Bool Arith Lia.
From Pessimal Require Import Statement Sums ClassSizes.
Import ListNotations.
Open Scope Z_scope.

Definition over (l : list (list nat)) (F : list nat -> Z) : Z := fold_right (fun s a => F s + a) 0 l.

Lemma over_cons s l F : over (s :: l) F = F s + over l F.
Proof. reflexivity. Qed.

Lemma over_app l m F : over (l ++ m) F = over l F + over m F.
Proof. induction l as [|s l IH]; [reflexivity|]. cbn [app]. rewrite !over_cons. lia. Qed.

Lemma over_map g l F : over (map g l) F = over l (fun s => F (g s)).
Proof. induction l as [|s l IH]; [reflexivity|]. cbn [map]. now rewrite !over_cons, IH. Qed.

Lemma over_ext l F G : (forall s, In s l -> F s = G s) -> over l F = over l G.
Proof. induction l as [|s l IH]; intros H; [reflexivity|]. rewrite !over_cons, H by now left.
  f_equal. apply IH. intros r Hr. apply H. now right. Qed.

Lemma over_plus l F G : over l (fun s => F s + G s) = over l F + over l G.
Proof. induction l as [|s l IH]; [reflexivity|]. rewrite !over_cons. lia. Qed.

Lemma over_scale c l F : over l (fun s => c * F s) = c * over l F.
Proof. induction l as [|s l IH]; [cbn; lia|]. rewrite !over_cons. lia. Qed.

Lemma over_scale_r c l F : over l (fun s => F s * c) = over l F * c.
Proof. rewrite Z.mul_comm, <- over_scale. apply over_ext. intros; apply Z.mul_comm. Qed.

Lemma over_le l F G : (forall s, In s l -> F s <= G s) -> over l F <= over l G.
Proof. induction l as [|s l IH]; intros H; [reflexivity|]. rewrite !over_cons.
  apply Z.add_le_mono; [apply H; now left|]. apply IH. intros r Hr. apply H. now right. Qed.

Lemma over_sum l F n : over l (fun s => sumZ (F s) n) = sumZ (fun i => over l (fun s => F s i)) n.
Proof. induction l as [|s l IH]; [symmetry; apply sumZ_zero|]. rewrite over_cons, IH, <- sumZ_plus. reflexivity. Qed.

Lemma count_over {p : list nat -> bool} l : count p l = over l (fun s => one (p s)).
Proof. induction l as [|s l IH]; [reflexivity|]. now rewrite count_cons, over_cons, IH. Qed.

Lemma sumZ_le f g n : (forall i, (i < n)%nat -> f i <= g i) -> sumZ f n <= sumZ g n.
Proof. induction n; cbn [sumZ]; intros H; [lia|]. apply Z.add_le_mono; auto with arith. Qed.

Lemma sumZ_member f n i : (i < n)%nat -> (forall j, (j < n)%nat -> 0 <= f j) -> f i <= sumZ f n.
Proof.
  intros Hi H. rewrite <- (Z.add_0_l (f i)). induction n as [|n IH]; [lia|]. cbn [sumZ].
  destruct (Nat.eq_dec i n) as [->|]; [pose proof (sumZ_nonneg f n ltac:(auto with arith)); lia|].
  pose proof (H n ltac:(lia)). specialize (IH ltac:(lia) ltac:(auto with arith)). lia.
Qed.

Lemma over_flat_map g v F : over (flat_map g (seq 0 v)) F = sumZ (fun t => over (g t) F) v.
Proof. induction v as [|v IH]; [reflexivity|]. rewrite seq_S, flat_map_app, over_app, IH. cbn. now rewrite app_nil_r.
  Qed.

Lemma over_sequences n v F :
  over (sequences (S n) v) F = sumZ (fun t => over (sequences n v) (fun s => F (t :: s))) v.
Proof. cbn [sequences]. rewrite over_flat_map. apply sumZ_ext. intros t _. apply over_map. Qed.

(** The same with the last token split off. *)
Lemma over_last n v : forall F,
  over (sequences (S n) v) F = sumZ (fun q => over (sequences n v) (fun s => F (s ++ [q]))) v.
Proof.
  induction n as [|n IH]; intros F; rewrite over_sequences; [reflexivity|].
  rewrite (sumZ_ext _ (fun t => sumZ (fun q => over (sequences n v) (fun s => F (t :: s ++ [q]))) v)).
  2:{ intros t _. apply IH. }
  rewrite sumZ_swap. apply sumZ_ext. intros q _. now rewrite over_sequences.
Qed.

Lemma size_of_all n v : over (sequences n v) (fun _ => 1) = Z.of_nat v ^ Z.of_nat n.
Proof.
  induction n as [|n IH]; [reflexivity|]. rewrite over_sequences, Nat2Z.inj_succ, Z.pow_succ_r, <- IH by lia. cbv beta.
  generalize (over (sequences n v) (fun _ => 1)). clear IH. intros c.
  induction v; cbn [sumZ]; rewrite ?Nat2Z.inj_succ; lia.
Qed.

(** Tokens up to y; y is among them, or was seen. *)
Fixpoint belongs (y : nat) (seen : bool) (s : list nat) : bool :=
  match s with [] => seen | t :: r => (t <=? y)%nat && belongs y (seen || (t =? y)%nat) r end.

Definition in_stratum (q y : nat) (s : list nat) : bool := (q <=? y)%nat && belongs y (q =? y)%nat s.

Lemma belongs_spec y s : forall seen, belongs y seen s = true <->
  (forall t, In t s -> (t <= y)%nat) /\ (seen = true \/ In y s).
Proof.
  induction s as [|t s IH]; intros seen; cbn [belongs In]; [intuition|].
  rewrite andb_true_iff, IH, Nat.leb_le, orb_true_iff, Nat.eqb_eq. split.
  - intros (Ht & H & [[->| ->]|Hy]); repeat split; auto; intros r [<-|Hr]; auto.
  - intros (H & Hy). split; [auto|]. split; [intros; auto|]. destruct Hy as [Hs|[Ht|Hy]]; auto.
Qed.

Lemma stratum_upto q y s : in_stratum q y s = true -> forall t, In t s -> (t <= y)%nat.
Proof. unfold in_stratum. intros [_ H]%andb_true_iff. now apply belongs_spec in H as [H _]. Qed.

(** Largest token of a list. *)
Lemma largest_in s n : (0 < n <= length s)%nat -> In (largest (token s) n) s.
Proof.
  induction n as [|n IH]; intros H; [lia|]. cbn [largest]. assert (In (token s n) s) by (apply nth_In; lia).
  destruct (Nat.max_spec (largest (token s) n) (token s n)) as [[_ ->]|[L ->]]; [assumption|].
  destruct n; [|apply IH; lia]. cbn in L |- *. assert (token s 0 = O) as <- by lia. assumption.
Qed.

Lemma largest_of_stratum q y s : in_stratum q y s = true -> largest (token (s ++ [q])) (length (s ++ [q])) = y.
Proof.
  unfold in_stratum. rewrite andb_true_iff, Nat.leb_le, belongs_spec, Nat.eqb_eq. intros (Hq & H & Hy).
  apply Nat.le_antisymm.
  - apply largest_le. intros i Hi. assert (Hin : In (token (s ++ [q]) i) (s ++ [q])) by now apply nth_In.
    apply in_app_or in Hin as [Hin|[<-|[]]]; auto.
  - assert (Hin : In y (s ++ [q])) by (apply in_or_app; destruct Hy as [<-|Hy]; [right; now left|now left]).
    apply (In_nth _ _ O) in Hin as (i & Hi & <-). now apply (largest_ge (token _)).
Qed.

Lemma some_stratum q v s : (q < v)%nat -> Forall (fun t => (t < v)%nat) s ->
  exists y, (y < v)%nat /\ in_stratum q y s = true.
Proof.
  intros Hq Hs. set (r := s ++ [q]). exists (largest (token r) (length r)).
  assert (L : (0 < length r)%nat) by (unfold r; rewrite app_length; cbn; lia).
  assert (Hr : forall t, In t r -> (t < v)%nat).
  { intros t [H|[<-|[]]]%in_app_or; [|exact Hq]. rewrite Forall_forall in Hs. auto. }
  pose proof (largest_in r (length r) ltac:(lia)) as Hin. split; [now apply Hr|].
  assert (Hle : forall t, In t r -> (t <= largest (token r) (length r))%nat).
  { intros t (i & Hi & <-)%(In_nth _ _ O). now apply (largest_ge (token _)). }
  unfold in_stratum. rewrite andb_true_iff, Nat.leb_le, belongs_spec, Nat.eqb_eq. split; [|split].
  - apply Hle, in_or_app. right. now left.
  - intros t Ht. apply Hle, in_or_app. now left.
  - apply in_app_or in Hin as [Hin|[<-|[]]]; auto.
Qed.

(** The product of the factors of a sequence's tokens, [rows] position by position. *)
Fixpoint product (rows : list (nat -> Z)) (s : list nat) : Z :=
  match rows, s with f :: rows', t :: s' => f t * product rows' s' | _, _ => 1 end.

Fixpoint pass (rows : list (Z * Z)) (unseen seen : Z) : Z :=
  match rows with
  | [] => seen
  | (below, at_y) :: r => pass r (unseen * below) (unseen * at_y + seen * (below + at_y))
  end.

(** Sums over tokens below y, and at y. *)
Definition halves (y : nat) (f : nat -> Z) : Z * Z := (sumZ f y, f y).

Definition stratum_sum (q y : nat) (rows : list (Z * Z)) : Z :=
  pass rows (one (negb (q =? y)%nat)) (one (q =? y)%nat).

Lemma sumZ_upto (f : nat -> Z) y v : (y < v)%nat -> sumZ (fun t => if (t <=? y)%nat then f t else 0) v = sumZ f y + f y.
Proof.
  induction v as [|v IH]; intros H; [lia|]. cbn [sumZ]. destruct (Nat.eq_dec y v) as [->|].
  - rewrite Nat.leb_refl. f_equal. apply sumZ_ext. intros t Ht. destruct (Nat.leb_spec t v); [reflexivity|lia].
  - rewrite IH by lia. destruct (Nat.leb_spec v y); lia.
Qed.

Definition tails (y v : nat) (rows : list (nat -> Z)) (seen : bool) : Z :=
  over (sequences (length rows) v) (fun s => one (belongs y seen s) * product rows s).

Lemma tails_cons y v f rows b : (y < v)%nat ->
  tails y v (f :: rows) b = sumZ f y * tails y v rows b + f y * tails y v rows true.
Proof.
  intros Hy. unfold tails at 1. cbn [length]. rewrite over_sequences.
  rewrite (sumZ_ext _ (fun t => if (t <=? y)%nat then f t * tails y v rows (b || (t =? y)%nat) else 0)).
  - rewrite sumZ_upto by exact Hy. rewrite Nat.eqb_refl, orb_true_r. f_equal. rewrite <- sumZ_scale_r.
    apply sumZ_ext. intros t Ht. destruct (Nat.eqb_spec t y); [lia|]. now rewrite orb_false_r.
  - intros t _. unfold tails. destruct (Nat.leb_spec t y) as [L|L].
    + rewrite <- over_scale. apply over_ext. intros s _. cbn [belongs product]. apply Nat.leb_le in L.
      rewrite L. cbn [andb]. ring.
    + rewrite (over_ext _ _ (fun _ => 0 * 0)), over_scale; [lia|]. intros s _. cbn [belongs].
      apply Nat.leb_gt in L. now rewrite L.
Qed.

Lemma pass_tails y v : (y < v)%nat -> forall rows u h,
  pass (map (halves y) rows) u h = u * tails y v rows false + h * tails y v rows true.
Proof.
  intros Hy. induction rows as [|f rows IH]; intros u h; [cbn; lia|].
  cbn [map pass halves]. rewrite IH, !tails_cons by exact Hy. ring.
Qed.

Theorem pass_sum q y v rows : (q <= y)%nat -> (y < v)%nat ->
  over (sequences (length rows) v) (fun s => one (in_stratum q y s) * product rows s)
  = stratum_sum q y (map (halves y) rows).
Proof.
  intros Hq Hy. unfold stratum_sum, in_stratum. rewrite (pass_tails y v Hy). unfold tails. apply Nat.leb_le in Hq.
  rewrite Hq. destruct (q =? y)%nat; cbn [negb one andb]; lia.
Qed.

(** The size of a stratum of sequences of n + 1 tokens. *)
Definition stratum_size (n q y : nat) : Z := stratum_sum q y (repeat (Z.of_nat y, 1) n).

Lemma product_ones n : forall s, product (repeat (fun _ => 1) n) s = 1.
Proof. induction n as [|n IH]; intros [|t s]; cbn [repeat product]; try reflexivity. now rewrite IH. Qed.

Lemma stratum_size_counts n q y v : (q <= y)%nat -> (y < v)%nat ->
  count (in_stratum q y) (sequences n v) = stratum_size n q y.
Proof.
  intros Hq Hy. pose proof (pass_sum q y v (repeat (fun _ => 1) n) Hq Hy) as H. rewrite repeat_length in H.
  unfold stratum_size. replace (repeat (Z.of_nat y, 1) n) with (map (halves y) (repeat (fun _ : nat => 1) n)).
  - rewrite <- H, count_over. apply over_ext. intros s _. rewrite product_ones. lia.
  - assert (halves y (fun _ => 1) = (Z.of_nat y, 1)) as <-.
    { unfold halves. f_equal. clear. induction y; cbn [sumZ]; lia. }
    clear H. induction n as [|n IH]; [reflexivity|]. cbn [repeat map]. now rewrite IH.
Qed.

(** Wrong sequences, stratum by stratum. *)
Section Wrong.
  Variables (M : model) (n : nat) (U : Z) (bound : nat -> nat -> Z).
  Let v := d_vocab M.
  Hypotheses (HK : k M = S n) (HU : 0 <= U).

  Definition wrong (q : nat) (s : list nat) : bool := negb (is_correct M (token (s ++ [q]))).

  Hypothesis bounded : forall q y, (q <= y)%nat -> (y < v)%nat ->
    U * count (fun s => in_stratum q y s && wrong q s) (sequences n v) <= bound q y.

  Definition over_strata : Z := sumZ (fun q => sumZ (fun y => if (q <=? y)%nat then bound q y else 0) v) v.

  Lemma wrong_of_query q : (q < v)%nat -> over (sequences n v) (fun s => U * one (wrong q s))
    <= sumZ (fun y => if (q <=? y)%nat then bound q y else 0) v.
  Proof.
    intros Hq. set (F := fun s y => U * one (in_stratum q y s && wrong q s)).
    assert (HF : forall s y, 0 <= F s y) by (intros; unfold F; destruct (_ && _); cbn [one]; lia).
    apply Z.le_trans with (over (sequences n v) (fun s => sumZ (F s) v)).
    - apply over_le. intros s [_ Hs]%in_sequences. destruct (some_stratum q v s Hq Hs) as (y & Hy & H).
      assert (U * one (wrong q s) = F s y) as -> by (unfold F; now rewrite H). now apply sumZ_member.
    - rewrite over_sum. apply sumZ_le. intros y Hy. unfold F. rewrite over_scale, <- count_over.
      destruct (Nat.leb_spec q y) as [L|L]; [now apply bounded|]. unfold in_stratum. apply Nat.leb_gt in L.
      rewrite L, count_over, (over_ext _ _ (fun _ => 0 * 0)), over_scale by easy. lia.
  Qed.

  Theorem wrong_by_stratum : U * (Z.of_nat v ^ Z.of_nat (k M) - count_correct M) <= over_strata.
  Proof.
    unfold count_correct. rewrite HK. fold v. fold (count (fun s => is_correct M (token s)) (sequences (S n) v)).
    rewrite <- size_of_all, count_over. apply Z.le_trans with (sumZ (fun q =>
      over (sequences n v) (fun s => U * one (wrong q s))) v); [|apply sumZ_le, wrong_of_query].
    rewrite !over_last, Z.mul_sub_distr_l, !(Z.mul_comm U), <- !sumZ_scale_r.
    apply Z.le_sub_le_add_r. rewrite <- sumZ_plus. apply Z.eq_le_incl, sumZ_ext. intros q _.
    rewrite <- !over_scale_r. unfold wrong. clear. induction (sequences n v) as [|s l IH]; [reflexivity|].
    rewrite !over_cons, IH. destruct (is_correct _ _); unfold negb, one; lia.
  Qed.
End Wrong.

(** Wrong sequences of a stratum are a whole number, so each stratum's bound, in units of 1/U, is rounded down. *)
Theorem wrong_by_floors M n U bound : k M = S n -> 0 < U ->
  (forall q y, (q <= y)%nat -> (y < d_vocab M)%nat ->
    U * count (fun s => in_stratum q y s && wrong M q s) (sequences n (d_vocab M)) <= bound q y) ->
  Z.of_nat (d_vocab M) ^ Z.of_nat (k M) - count_correct M <= over_strata M (fun q y => bound q y / U).
Proof.
  intros HK HU H. rewrite <- (Z.mul_1_l (_ - _)). apply (wrong_by_stratum M n 1); [exact HK|easy|].
  intros q y Hq Hy. rewrite Z.mul_1_l. apply Z.div_le_lower_bound; [exact HU|now apply H].
Qed.

(** Rounding every bound down gives no more than rounding their sum down: claims made with the latter still hold. *)
Theorem floors_below U f n : 0 < U -> sumZ (fun i => f i / U) n <= sumZ f n / U.
Proof.
  intros HU. induction n as [|n IH]; cbn [sumZ]; [now rewrite Z.div_0_l by lia|].
  apply Z.div_le_lower_bound; [exact HU|]. apply (Z.mul_le_mono_nonneg_l _ _ U) in IH; [|lia].
  pose proof (Z.mul_div_le (sumZ f n) U HU). pose proof (Z.mul_div_le (f n) U HU). lia.
Qed.
