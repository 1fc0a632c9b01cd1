(** * Grid counting: the sequences of a stratum whose integers have a small sum

    With X = 2^slot above the number of sequences, each factor X^{n_i(t)}, n_i >= 0, turns the sum over the stratum
    (StratumSums.v) into one integer, of which the residue modulo X^(b+1) is the sum of X^n(s) over the sequences with
    n(s) = n_0(s_0) + .. + n_{K-2}(s_{K-2}) <= b, and the residue of that modulo X - 1 is their number. Factors with
    n_i(t) > b may be left out, and everything may be reduced modulo X^(b+1) on the way.

    Source: docstring of `pessimal.kernel.rules.grid_count`; no polynomials here, only residues.

    Contents:
      congruent — the same residue.
      monomial — X^n, or 0 if n > b; reduced_pass — the pass with residues.
      grid_count — the theorem. *)

From Coq Require Import ZArith List Bool Arith Lia.
From Pessimal Require Import Statement Sums ClassSizes StratumSums ExponentialMoment.
Import ListNotations.
Open Scope Z_scope.

Definition congruent (m a b : Z) : Prop := (m | a - b).

Lemma congruent_refl m a : congruent m a a.
Proof. exists 0. lia. Qed.

Lemma congruent_trans m a b c : congruent m a b -> congruent m b c -> congruent m a c.
Proof. intros [x Hx] [y Hy]. exists (x + y). lia. Qed.

Lemma congruent_add m a b c d : congruent m a b -> congruent m c d -> congruent m (a + c) (b + d).
Proof. intros [x Hx] [y Hy]. exists (x + y). lia. Qed.

Lemma congruent_mul m a b c d : congruent m a b -> congruent m c d -> congruent m (a * c) (b * d).
Proof.
  intros [x Hx] [y Hy]. exists (x * c + b * y). replace a with (b + x * m) by lia.
  replace c with (d + y * m) by lia. ring.
Qed.

Lemma congruent_residue m a b : 0 <= b < m -> congruent m a b -> a mod m = b.
Proof. intros Hb [x Hx]. symmetry. apply Z.mod_unique_pos with x; lia. Qed.

Lemma over_congruent m l F G : (forall s, In s l -> congruent m (F s) (G s)) -> congruent m (over l F) (over l G).
Proof.
  induction l as [|s l IH]; intros H; [apply congruent_refl|]. rewrite !over_cons.
  apply congruent_add; [apply H; now left|apply IH; intros r Hr; apply H; now right].
Qed.

Lemma power_congruent X n : 0 <= n -> congruent (X - 1) (X ^ n) 1.
Proof.
  revert n. apply natlike_ind; [apply congruent_refl|]. intros n Hn H. rewrite Z.pow_succ_r by exact Hn.
  replace 1 with (1 * 1) at 2 by lia. apply congruent_mul; [exists 1; lia|exact H].
Qed.

(** The pass, with any numbers of the same residues. *)
Fixpoint reduced_pass (reduce : Z -> Z) (rows : list (Z * Z)) (unseen seen : Z) : Z :=
  match rows with
  | [] => seen
  | (below, at_y) :: r =>
      reduced_pass reduce r (reduce (unseen * below)) (reduce (unseen * at_y + seen * (below + at_y)))
  end.

Lemma reduced_pass_congruent m reduce rows : (forall a, congruent m (reduce a) a) -> forall u h u' h',
  congruent m u u' -> congruent m h h' -> congruent m (reduced_pass reduce rows u h) (pass rows u' h').
Proof.
  intros Hr. induction rows as [|[b a] rows IH]; intros u h u' h' Hu Hh; cbn [reduced_pass pass]; [assumption|].
  pose proof (congruent_refl m) as R. apply IH; (eapply congruent_trans; [apply Hr|]).
  - apply congruent_mul; auto.
  - apply congruent_add; apply congruent_mul; auto.
Qed.

Definition nonneg (y : nat) (ns : list (nat -> Z)) : Prop := Forall (fun f => forall t, (t <= y)%nat -> 0 <= f t) ns.

Lemma total_nonneg y ns : nonneg y ns -> forall s, (forall t, In t s -> (t <= y)%nat) -> 0 <= total ns s.
Proof.
  induction 1 as [|f ns Hf _ IH]; intros [|t s] Hs; cbn [total]; try lia.
  specialize (Hf t (Hs t (or_introl eq_refl))). specialize (IH s (fun r Hr => Hs r (or_intror Hr))). lia.
Qed.

Section Grid.
  Variables (q y v : nat) (slot b : Z).
  Hypotheses (Hslot : 0 <= slot) (Hb0 : 0 <= b).
  Let X := 2 ^ slot.
  Let modulus := X ^ (b + 1).

  Definition monomial (n : Z) : Z := if n <=? b then X ^ n else 0.

  Lemma X_positive : 0 < X.
  Proof. apply Z.pow_pos_nonneg; lia. Qed.

  Definition low (ns : list (nat -> Z)) (s : list nat) : Z :=
    if total ns s <=? b then X ^ total ns s else 0.

  Lemma product_low ns : nonneg y ns -> forall s, length s = length ns -> (forall t, In t s -> (t <= y)%nat) ->
    congruent modulus (product (map (fun f t => monomial (f t)) ns) s) (low ns s).
  Proof.
    induction 1 as [|f ns Hf Hns IH]; intros [|t s] L Hs; try discriminate.
    - unfold low. cbn. destruct (Z.leb_spec 0 (b)); [apply congruent_refl|lia].
    - specialize (Hf t (Hs t (or_introl eq_refl))). pose proof (fun r Hr => Hs r (or_intror Hr)) as Hs'.
      specialize (IH s ltac:(now injection L) Hs'). pose proof (total_nonneg y ns Hns s Hs') as H0.
      cbn [map product]. unfold low in *. cbn [total]. eapply congruent_trans.
      { apply congruent_mul; [apply congruent_refl|exact IH]. }
      unfold monomial. destruct (Z.leb_spec (f t) (b)) as [Hb|Hb];
        destruct (Z.leb_spec (total ns s) (b)), (Z.leb_spec (f t + total ns s) (b)); try lia;
        rewrite ?Z.mul_0_r, ?Z.mul_0_l; try apply congruent_refl.
      + rewrite <- Z.pow_add_r by lia. apply congruent_refl.
      + rewrite <- Z.pow_add_r by lia. exists (X ^ (f t + total ns s - (b + 1))). unfold modulus.
        rewrite <- Z.pow_add_r by lia. rewrite Z.sub_0_r. f_equal. lia.
  Qed.

  Lemma low_one ns : nonneg y ns -> forall s, (forall t, In t s -> (t <= y)%nat) ->
    congruent (X - 1) (low ns s) (one (total ns s <=? b)).
  Proof.
    intros Hns s Hs. pose proof (total_nonneg y ns Hns s Hs) as H0. unfold low.
    destruct (total ns s <=? b); [now apply power_congruent|apply congruent_refl].
  Qed.

  (** At least the number of sequences of n tokens. *)
  Definition holds (n : nat) : Prop := Z.of_nat v ^ Z.of_nat n < X - 1.

  Variables (ns : list (nat -> Z)).
  Hypothesis Hns : nonneg y ns.
  Hypothesis room : holds (length ns).

  Definition few (s : list nat) : bool := in_stratum q y s && (total ns s <=? b).
  Definition found : Z :=
    let rows := map (halves y) (map (fun f t => monomial (f t)) ns) in
    reduced_pass (fun a => a mod modulus) rows (one (negb (q =? y)%nat)) (one (q =? y)%nat) mod modulus.

  Theorem grid_count z : (q <= y)%nat -> (y < v)%nat -> congruent (X - 1) z found ->
    count few (sequences (length ns) v) = z mod (X - 1).
  Proof.
    intros Hq Hy Hz. set (all := sequences (length ns) v). pose proof X_positive as HX.
    assert (Hsize : over all (fun s => one (few s)) <= Z.of_nat v ^ Z.of_nat (length ns)).
    { unfold all. rewrite <- size_of_all. apply over_le. intros s _. destruct (few s); cbn; lia. }
    assert (Hnn : forall F, (forall s, In s all -> 0 <= F s) -> 0 <= over all F).
    { intros F H. replace 0 with (over all (fun _ => 0 * 0)) by (rewrite over_scale; lia). now apply over_le. }
    set (sum_low := over all (fun s => one (in_stratum q y s) * low ns s)).
    assert (Hlow : forall s, In s all -> 0 <= one (in_stratum q y s) * low ns s <= one (few s) * X ^ b).
    { intros s Hs. unfold few. destruct (in_stratum q y s) eqn:E; [|cbn; lia]. unfold low. cbn [andb one].
      pose proof (total_nonneg y ns Hns s (stratum_upto q y s E)). pose proof (Z.pow_pos_nonneg X (total ns s) HX).
      destruct (Z.leb_spec (total ns s) (b)); cbn [one]; [|lia].
      pose proof (Z.pow_le_mono_r X (total ns s) (b)). lia. }
    assert (Hrange : 0 <= sum_low < modulus).
    { split; [apply Hnn; intros s Hs; now apply Hlow|]. unfold modulus.
      apply Z.le_lt_trans with (over all (fun s => one (few s) * X ^ b)).
      - apply over_le. intros s Hs. now apply Hlow.
      - rewrite over_scale_r, Z.pow_add_r, Z.mul_comm by lia. pose proof (Z.pow_pos_nonneg X (b) HX).
        unfold holds in room. change (X ^ 1) with (X * 1). nia. }
    assert (Hpass : congruent modulus
      (reduced_pass (fun a => a mod modulus) (map (halves y) (map (fun f t => monomial (f t)) ns))
        (one (negb (q =? y)%nat)) (one (q =? y)%nat)) sum_low).
    { eapply congruent_trans.
      - apply reduced_pass_congruent; [|apply congruent_refl|apply congruent_refl]. intros a.
        exists (- (a / modulus)). assert (modulus <> 0) by lia. pose proof (Z.div_mod a modulus). lia.
      - fold (stratum_sum q y (map (halves y) (map (fun f t => monomial (f t)) ns))).
        rewrite <- (pass_sum q y v _ Hq Hy), map_length. apply over_congruent. intros s Hs.
        destruct (in_stratum q y s) eqn:E; [|apply congruent_refl]. cbn [one]. rewrite !Z.mul_1_l.
        apply product_low; [exact Hns|now apply in_sequences in Hs|now apply (stratum_upto q y)]. }
    rewrite count_over. symmetry. apply congruent_residue.
    - split; [apply Hnn; intros s _; destruct (few s); cbn; lia|]. unfold holds in room. lia.
    - eapply congruent_trans; [exact Hz|]. unfold found. rewrite (congruent_residue _ _ _ Hrange Hpass).
      apply over_congruent. intros s _. unfold few.
      destruct (in_stratum q y s) eqn:E; [|apply congruent_refl]. cbn [one andb]. rewrite Z.mul_1_l.
      apply low_one; [exact Hns|now apply (stratum_upto q y)].
  Qed.
End Grid.
