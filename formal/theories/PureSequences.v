(** * The published cubic proof: pure sequences

    Query q (the last token), largest token y, and n of the K-1 positions before the last hold tokens below y, the
    others y. Scores and values are a token part plus a position part, so with one pessimal rival per path

        c <= D q y - D q o,    r t <= (EVOU t y - EVOU t o) + (PVOU p y - PVOU p o)    for every rival o and position p,
        h t = a(q, t) (c + r t),

    every margin times the softmax denominator is at least sum_i pi_i h(t_i). A pure sequence holds one token k < y in
    all n positions. Let sigma be the sum of pi_i over the positions that hold y, tau over those that hold k. If

        sigma h(y) + tau h(k) + pi_(K-1) h(q) > 0    for the smallest and the largest possible sigma, for every k of a
        set S,

    then every sequence of the class whose n tokens come from S, mixed or not, is right: C(K-1, n) |S|^n sequences.

    Proof: sigma + tau is fixed, so the sum is affine in sigma and positive at every placement of a pure sequence; a
    mixed sequence is no worse than the pure one, in the same places, of its token with the smallest h.

    The published lemma is the step from pure to mixed sequences over S. The published proof evaluates the bound after
    the softmax; here it is multiplied by the denominator, which changes no sign and makes it affine in sigma. Strict
    inequality is asked for, and the sequence n = 0 is compared with each rival on its own, as the rule does.
    What is proved is about real tables: that an evaluator's rounding goes outward is no part of it.

    Source: `pessimal.kernel.rules.published.cubic`; Gross et al. 2024, cubic proof.

    Contents:
      token_weight, position_weight, token_value, position_value — a, pi, EVOU, PVOU.
      pure_sequences, pure_maximum — sequences with n > 0 and n = 0 tokens below the largest.
      class_count — C(K-1, n) |S|^n.
      cubic_count — the sum over classes is a lower bound of [count_correct]. *)

From Coq Require Import Reals ZArith List Bool Arith Lra Lia Permutation Sorted.
From Pessimal Require Import Statement Sums TableForm PositionMinima ClassSizes SmallestSums.
Import ListNotations.
Open Scope R_scope.

Section Parts.
  Variable M : model.

  (** Keys and logits of what is read at a position: a token's embedding, or a position's. *)
  Definition key_of (e : nat -> R) (a : nat) : R := sum (fun d => e d * W_K M d a) (d_model M).
  Definition scores_of (q : nat) (e : nat -> R) : R :=
    sum (fun a => query M q a * key_of e a) (d_head M) / sqrt (INR (d_head M)).
  Definition value_of (e : nat -> R) (a : nat) : R := sum (fun d => e d * W_V M d a) (d_model M).
  Definition logits_of (e : nat -> R) (o : nat) : R :=
    sum (fun d => sum (fun a => value_of e a * W_O M a d) (d_head M) * W_U M d o) (d_model M).

  Definition token_weight (q t : nat) : R := exp (scores_of q (W_E M t)).
  Definition position_weight (q i : nat) : R := exp (scores_of q (W_pos M i)).
  Definition token_value (t o : nat) : R := logits_of (W_E M t) o.
  Definition position_value (i o : nat) : R := logits_of (W_pos M i) o.

  Lemma weight_parts q i t : exp (score M q i t) = position_weight q i * token_weight q t.
  Proof.
    unfold position_weight, token_weight. rewrite <- exp_plus. f_equal. unfold score, scores_of, Rdiv.
    rewrite <- Rmult_plus_distr_r, <- sum_plus. f_equal. apply sum_ext; intros a _.
    rewrite <- Rmult_plus_distr_l. f_equal. unfold key, key_of. rewrite <- sum_plus.
    apply sum_ext; intros d _. unfold embedding. ring.
  Qed.

  Lemma value_parts i t o : attended M i t o = token_value t o + position_value i o.
  Proof.
    unfold attended, token_value, position_value, logits_of. rewrite <- sum_plus. apply sum_ext; intros d _.
    rewrite <- Rmult_plus_distr_r. f_equal. rewrite <- sum_plus. apply sum_ext; intros a _.
    rewrite <- Rmult_plus_distr_r. f_equal. unfold value, value_of. rewrite <- sum_plus.
    apply sum_ext; intros e _. unfold embedding. ring.
  Qed.

  Lemma term_parts q y o i t : term M q y o i t = position_weight q i * (token_weight q t *
    (direct M q y - direct M q o + (token_value t y - token_value t o) + (position_value i y - position_value i o))).
  Proof. unfold term. rewrite weight_parts, !value_parts. ring. Qed.
End Parts.

(** ** Sequences of a class are right *)
Section Class.
  Variable M : model.
  Variables (m q y : nat).
  Hypothesis Hk : k M = S m.

  Let pi := position_weight M q.
  Let a := token_weight M q.
  Variables (c : R) (r : nat -> R) (own : nat -> R).
  Let h (t : nat) : R := a t * (c + r t).

  Definition rival (o : nat) : Prop := (o < d_vocab M)%nat /\ o <> y.
  Hypothesis Hown : forall o p, rival o -> (p < k M)%nat -> own o <= position_value M p y - position_value M p o.
  Hypothesis Hc : forall o, rival o -> c <= direct M q y - direct M q o.
  Hypothesis Hr : forall o t, rival o -> (t <= y)%nat -> r t <= token_value M t y - token_value M t o + own o.

  (** Sequences of the class: its places of y, and what the other places hold. *)
  Variable x : nat -> nat.
  Hypothesis Hq : x m = q.
  Hypothesis Hx : largest x (k M) = y.
  Definition at_y (i : nat) : bool := (x i =? y)%nat.

  Let below i : (i < k M)%nat -> (x i <= y)%nat.
  Proof. intros Hi. rewrite <- Hx. now apply largest_ge. Qed.

  Lemma term_least o i : rival o -> (i < k M)%nat -> pi i * h (x i) <= 1 * term M q y o i (x i).
  Proof.
    intros Ho Hi. rewrite Rmult_1_l, term_parts. fold (pi i) (a (x i)).
    apply Rmult_le_compat_l; [apply Rlt_le, exp_pos|]. apply Rmult_le_compat_l; [apply Rlt_le, exp_pos|].
    pose proof (Hc o Ho). pose proof (Hr o (x i) Ho (below i Hi)). pose proof (Hown o i Ho Hi). lra.
  Qed.

  (** Some token below y is the worst of those that occur. *)
  Lemma worst_other (f : nat -> R) n : (forall i, (i < n)%nat -> at_y i = true) \/
    exists j, (j < n)%nat /\ at_y j = false /\ forall i, (i < n)%nat -> at_y i = false -> f (x j) <= f (x i).
  Proof.
    induction n as [|n [All|(j & Hj & Hn & Least)]]; [left; lia| |].
    - destruct (at_y n) eqn:E; [left|right; exists n].
      + intros i Hi. destruct (Nat.eq_dec i n) as [->|]; [exact E|]. apply All. lia.
      + repeat split; [lia|exact E|]. intros i Hi Hne. destruct (Nat.eq_dec i n) as [->|]; [lra|].
        rewrite All in Hne by lia. discriminate.
    - right. destruct (at_y n) eqn:E.
      + exists j. repeat split; [lia|exact Hn|]. intros i Hi Hne.
        destruct (Nat.eq_dec i n) as [->|]; [congruence|]. apply Least; [lia|exact Hne].
      + destruct (Rle_dec (f (x j)) (f (x n))) as [L|L].
        * exists j. repeat split; [lia|exact Hn|]. intros i Hi Hne. destruct (Nat.eq_dec i n) as [->|]; [exact L|].
          apply Least; [lia|exact Hne].
        * exists n. repeat split; [lia|exact E|]. intros i Hi Hne. destruct (Nat.eq_dec i n) as [->|]; [lra|].
          specialize (Least i ltac:(lia) Hne). lra.
  Qed.

  (** sigma is between any [low] and [high] that bound it; the sum is affine in it. *)
  Theorem pure_sequences (certified : nat -> bool) (low high : R) :
    low <= over at_y pi m <= high ->
    (forall t, (t < y)%nat -> certified t = true -> forall sigma, sigma = low \/ sigma = high ->
      0 < sigma * h y + (sum pi m - sigma) * h t + pi m * h q) ->
    (exists i, (i < m)%nat /\ x i <> y) ->
    (forall i, (i < m)%nat -> x i = y \/ certified (x i) = true) ->
    correct M x.
  Proof.
    intros Hs Ends (i0 & Hi0 & Hne0) In o Ho Hne. rewrite Hx in Hne |- *. assert (Hrival : rival o) by (split; auto).
    destruct (worst_other h m) as [All|(j & Hj & Hn & Least)].
    { specialize (All i0 Hi0). unfold at_y in All. now apply Nat.eqb_eq in All. }
    unfold at_y in Hn. apply Nat.eqb_neq in Hn.
    assert (Hjy : (x j < y)%nat) by (pose proof (below j ltac:(lia)); lia).
    destruct (In j Hj) as [|Cj]; [contradiction|].
    pose proof (Ends _ Hjy Cj low (or_introl eq_refl)) as E1.
    pose proof (Ends _ Hjy Cj high (or_intror eq_refl)) as E2.
    assert (Affine : 0 < over at_y pi m * h y + (sum pi m - over at_y pi m) * h (x j) + pi m * h q).
    { set (s := over at_y pi m) in *. destruct (Rle_lt_dec 0 (h y - h (x j))); nra. }
    pose proof (positive_terms M x 1 (fun i => pi i * h (x i))) as P. cbv zeta in P.
    unfold last in P. rewrite Hk, Nat.sub_succ, Nat.sub_0_r, Hq, <- Hk, Hx in P.
    apply (P ltac:(lia) Rlt_0_1); clear P; [intros i Hi; now apply term_least|]. rewrite Hk. cbn [sum]. rewrite Hq.
    assert (over at_y pi m * h y + (sum pi m - over at_y pi m) * h (x j) <= sum (fun i => pi i * h (x i)) m); [|lra].
    rewrite <- (over_split at_y pi m). unfold over. rewrite <- sum_scale_r.
    match goal with |- _ + (?u + ?w - ?u) * _ <= _ => replace (u + w - u) with w by ring end.
    rewrite <- sum_scale_r, <- sum_plus. apply sum_le; intros i Hi.
    destruct (at_y i) eqn:E; simpl.
    - apply Nat.eqb_eq in E. rewrite E. lra.
    - pose proof (Least i Hi E). assert (0 < pi i) by apply exp_pos. nra.
  Qed.

  (** n = 0: the one sequence, checked against each rival on its own. *)
  Theorem pure_maximum : (forall i, (i < m)%nat -> x i = y) ->
    (forall o, rival o ->
      0 < sum pi m * (a y * (direct M q y - direct M q o + own o + (token_value M y y - token_value M y o)))
        + pi m * (a q * (direct M q y - direct M q o + own o + (token_value M q y - token_value M q o)))) ->
    correct M x.
  Proof.
    intros All Pos o Ho Hne. rewrite Hx in Hne |- *. assert (Hrival : rival o) by (split; auto).
    set (g := fun t => a t * (direct M q y - direct M q o + own o + (token_value M t y - token_value M t o))).
    pose proof (positive_terms M x 1 (fun i => pi i * g (x i))) as P. cbv zeta in P.
    unfold last in P. rewrite Hk, Nat.sub_succ, Nat.sub_0_r, Hq, <- Hk, Hx in P.
    apply (P ltac:(lia) Rlt_0_1); clear P.
    - intros i Hi. rewrite Rmult_1_l, term_parts. fold (pi i) (a (x i)). unfold g.
      apply Rmult_le_compat_l; [apply Rlt_le, exp_pos|]. apply Rmult_le_compat_l; [apply Rlt_le, exp_pos|].
      pose proof (Hown o i Hrival Hi). lra.
    - rewrite Hk. cbn [sum]. rewrite Hq. rewrite (sum_ext _ (fun i => pi i * g y)) by (intros; now rewrite All).
      rewrite sum_scale_r. exact (Pos o Hrival).
  Qed.
End Class.

(** ** Sizes of classes *)
Fixpoint choose (n j : nat) : Z :=
  match n, j with
  | _, O => 1
  | O, S _ => 0
  | S n', S j' => choose n' (S j') + choose n' j'
  end%Z.

(** Last token q; n of the others pass the test p, the rest are y. *)
Fixpoint mixed_of (p : nat -> bool) (q y n : nat) (s : list nat) : bool :=
  match s with
  | [] => false
  | [t] => (t =? q)%nat && (n =? 0)%nat
  | t :: r => if (t =? y)%nat then mixed_of p q y n r
              else match n with O => false | S n' => p t && mixed_of p q y n' r end
  end.

Lemma mixed_first p q y n t l : (forall r, In r l -> r <> []) ->
  count (mixed_of p q y n) (map (cons t) l) =
    (if (t =? y)%nat then count (mixed_of p q y n) l
     else match n with O => 0 | S n' => one (p t) * count (mixed_of p q y n') l end)%Z.
Proof.
  induction l as [|s l IH]; intros Hne.
  - unfold count. simpl. destruct (t =? y)%nat, n; cbn; lia.
  - cbn [map]. rewrite !count_cons, IH by auto with datatypes.
    destruct s as [|t' s]; [destruct (Hne [] (or_introl eq_refl) eq_refl)|]. cbn [mixed_of].
    destruct (t =? y)%nat; [reflexivity|]. destruct n as [|n]; [reflexivity|]. rewrite count_cons. cbn [mixed_of].
    destruct (p t); cbn [andb one]; lia.
Qed.

Lemma count_others (p : nat -> bool) y ts : p y = false ->
  count p (filter (fun t => negb (t =? y)%nat) ts) = count p ts.
Proof.
  intros Hp. induction ts as [|t ts IH]; [reflexivity|]. cbn [filter]. rewrite (count_cons _ t ts), <- IH.
  destruct (Nat.eqb_spec t y) as [->|]; cbn [negb]; [rewrite Hp; reflexivity|]. now rewrite count_cons.
Qed.

Lemma class_count p q y m v : forall n, (q < v)%nat -> (y < v)%nat -> p y = false ->
  count (mixed_of p q y n) (sequences (S m) v) = (choose m n * count p (seq 0 v) ^ Z.of_nat n)%Z.
Proof.
  induction m as [|m IH]; intros n Hq Hy Hp.
  - change (sequences 1 v) with (flat_map (fun t => [[t]]) (seq 0 v)).
    assert (E : count (mixed_of p q y n) (flat_map (fun t => [[t]]) (seq 0 v))
      = count (fun t => (t =? q)%nat && (n =? 0)%nat) (seq 0 v)).
    { induction (seq 0 v) as [|t l IHl]; [reflexivity|]. cbn [flat_map app]. rewrite !count_cons, IHl. reflexivity. }
    rewrite E. destruct n as [|n]; cbn [choose].
    + rewrite (count_ext _ (fun t => (t =? q)%nat)) by (intros; now rewrite andb_true_r). rewrite count_equal.
      destruct (Nat.ltb_spec q v); [reflexivity|lia].
    + rewrite count_none by (intros; now rewrite andb_false_r). reflexivity.
  - set (l := sequences (S m) v) in *. assert (Hne : forall r, In r l -> r <> []).
    { intros r Hr. apply in_sequences in Hr as [Hl _]. now destruct r. }
    assert (E : forall ts, count (mixed_of p q y n) (flat_map (fun t => map (cons t) l) ts)
      = (count (fun t => (t =? y)%nat) ts * count (mixed_of p q y n) l
         + match n with O => 0 | S n' => count p (filter (fun t => negb (t =? y)%nat) ts)
                                         * count (mixed_of p q y n') l end)%Z).
    { induction ts as [|t ts IHt]; [destruct n; reflexivity|]. cbn [flat_map]. rewrite count_app, IHt, count_cons.
      rewrite mixed_first by exact Hne. cbn [filter]. destruct (t =? y)%nat; simpl negb; cbv iota.
      - destruct n; simpl one; lia.
      - destruct n; rewrite ?count_cons; simpl one; lia. }
    cbn [sequences]. rewrite E, count_equal. destruct (Nat.ltb_spec y v); [|lia]. simpl one.
    rewrite (count_others p y) by exact Hp. destruct n as [|n]; rewrite !IH by assumption; [destruct m; simpl; lia|].
    cbn [choose]. rewrite Nat2Z.inj_succ, Z.pow_succ_r by lia. destruct m; lia.
Qed.

Lemma held_first b n : held b (S n) = (one (b O) + held (fun i => b (S i)) n)%Z.
Proof. unfold held. induction n as [|n IH]; [simpl; lia|]. change (sumZ ?f (S (S n))) with (sumZ f (S n) + f (S n))%Z.
  rewrite IH. cbn [sumZ]. lia. Qed.

Lemma mixed_spec p q y m : forall n s, length s = S m -> mixed_of p q y n s = true -> p y = false ->
  token s m = q /\ (held (fun i => (token s i =? y)%nat) m = Z.of_nat m - Z.of_nat n)%Z /\
  forall i, (i < m)%nat -> token s i = y \/ p (token s i) = true.
Proof.
  induction m as [|m IH]; intros n s Hl H Hp.
  - destruct s as [|t [|]]; try discriminate. cbn [mixed_of] in H.
    apply andb_true_iff in H as [Ht%Nat.eqb_eq ->%Nat.eqb_eq]. repeat split; [exact Ht|]. intros i Hi. lia.
  - destruct s as [|t [|t' s]]; try discriminate. injection Hl as Hl. set (r := t' :: s) in *.
    assert (Hr : length r = S m) by (simpl; lia).
    change (mixed_of p q y n (t :: r)) with (if (t =? y)%nat then mixed_of p q y n r
      else match n with O => false | S n' => p t && mixed_of p q y n' r end) in H.
    rewrite held_first. change (token (t :: r) 0) with t. change (token (t :: r) (S m)) with (token r m).
    change (fun i => (token (t :: r) (S i) =? y)%nat) with (fun i => (token r i =? y)%nat).
    destruct (Nat.eqb_spec t y) as [E|E].
    + destruct (IH n r Hr H Hp) as (Hq & Hh & Hi). repeat split; [exact Hq|cbn [one]; lia|].
      intros [|i] Li; [now left|]. apply (Hi i). lia.
    + destruct n as [|n]; [discriminate|]. apply andb_true_iff in H as [Ht H].
      destruct (IH n r Hr H Hp) as (Hq & Hh & Hi). repeat split; [exact Hq|cbn [one]; lia|].
      intros [|i] Li; [now right|]. apply (Hi i). lia.
Qed.

Lemma held_all b n : (forall i, (i < n)%nat -> b i = true) -> held b n = Z.of_nat n.
Proof. unfold held. induction n as [|n IH]; intros H; [reflexivity|]. cbn [sumZ]. rewrite IH, H by auto with arith.
  simpl one. lia. Qed.

Lemma held_some b n : (0 < held b n)%Z -> exists i, (i < n)%nat /\ b i = true.
Proof. intros (i & Hi & Hb)%sumZ_found. exists i. split; [exact Hi|]. now destruct (b i). Qed.

(** A class holds sequences with its largest token and its query. *)
Lemma mixed_largest p q y m n s : length s = S m -> mixed_of p q y n s = true ->
  (forall t, p t = true -> (t < y)%nat) -> (q <= y)%nat -> q = y \/ (n < m)%nat -> largest (token s) (S m) = y.
Proof.
  intros Hl H Hp Hqy Some. assert (Hpy : p y = false) by (destruct (p y) eqn:E; [specialize (Hp y E); lia|reflexivity]).
  destruct (mixed_spec p q y m n s Hl H Hpy) as (Hq & Hh & Hi). apply Nat.le_antisymm.
  - apply largest_le. intros i Li. destruct (Nat.eq_dec i m) as [->|]; [lia|].
    destruct (Hi i) as [->|Lt%Hp]; lia.
  - destruct Some as [E|Hn]; [rewrite <- E, <- Hq; apply largest_ge; lia|].
    destruct (held_some (fun i => (token s i =? y)%nat) m) as (i & Li & E%Nat.eqb_eq); [lia|].
    rewrite <- E. apply largest_ge. lia.
Qed.

Section Rule.
  Variables (M : model) (m : nat).
  Hypothesis Hk : k M = S m.
  Let v := d_vocab M.

  (** Pessimal rivals, and the position weights before the last in ascending order, by query. *)
  Variables (c : nat -> nat -> R) (r own : nat -> nat -> R) (ascending : nat -> list R).
  Hypothesis Hown : forall y o p, rival M y o -> (p < k M)%nat ->
    own y o <= position_value M p y - position_value M p o.
  Hypothesis Hc : forall q y o, rival M y o -> c q y <= direct M q y - direct M q o.
  Hypothesis Hr : forall y o t, rival M y o -> (t <= y)%nat ->
    r y t <= token_value M t y - token_value M t o + own y o.
  Hypothesis Hsorted : forall q, StronglySorted Rle (ascending q).
  Hypothesis Hweights : forall q, Permutation (ascending q) (map (position_weight M q) (seq 0 m)).
  Let h (q y t : nat) : R := token_weight M q t * (c q y + r y t).
  Let all (q : nat) : R := total (ascending q).
  Definition smallest (q j : nat) : R := total (firstn j (ascending q)).

  (** What the rule has checked: the sequence with n = 0, and tokens k at both placements. *)
  Variables (pure : nat -> nat -> bool) (certified : nat -> nat -> nat -> nat -> bool).
  Hypothesis Hpure : forall q y, (q <= y)%nat -> (y < v)%nat -> pure q y = true -> forall o, rival M y o ->
    0 < all q * (token_weight M q y * (direct M q y - direct M q o + own y o + (token_value M y y - token_value M y o)))
      + position_weight M q m *
        (token_weight M q q * (direct M q y - direct M q o + own y o + (token_value M q y - token_value M q o))).
  Hypothesis Hcertified : forall q y n t, (q <= y)%nat -> (y < v)%nat -> (0 < n <= m)%nat -> (t < y)%nat ->
    certified q y n t = true -> forall sigma, sigma = smallest q (m - n) \/ sigma = all q - smallest q n ->
    0 < sigma * h q y y + (all q - sigma) * h q y t + position_weight M q m * h q y q.

  (** Sequences counted for class (q, y, n). A query below y needs a y among the others. *)
  Definition counts (q y n : nat) : bool := ((q =? y) || (n <? m))%nat && (if (n =? 0)%nat then pure q y else true).
  Definition class_right (q y n : nat) : Z :=
    if counts q y n then choose m n * count (certified q y n) (seq 0 y) ^ Z.of_nat n else 0.

  Let p (q y n t : nat) : bool := (t <? y)%nat && certified q y n t.
  Let member (y q n : nat) (s : list nat) : bool := counts q y n && mixed_of (p q y n) q y n s.

  Lemma class_right_counts q y n : (q < v)%nat -> (y < v)%nat ->
    class_right q y n = count (member y q n) (sequences (k M) v).
  Proof.
    intros Hq Hy. unfold class_right, member. destruct (counts q y n); [|symmetry; now apply count_none].
    rewrite Hk. symmetry. rewrite (count_ext _ (mixed_of (p q y n) q y n)) by reflexivity.
    rewrite class_count; [|assumption|assumption|unfold p; now rewrite Nat.ltb_irrefl]. do 2 f_equal.
    replace v with (y + (v - y))%nat by lia. rewrite seq_app, count_app, (count_none _ (seq (0 + y) _)), Z.add_0_r.
    - apply count_ext. intros t Ht%in_seq. unfold p. destruct (Nat.ltb_spec t y); [reflexivity|lia].
    - intros t Ht%in_seq. unfold p. destruct (Nat.ltb_spec t y); [lia|reflexivity].
  Qed.

  Lemma total_weights q : all q = sum (position_weight M q) m.
  Proof. unfold all. now rewrite (total_permuted _ _ (Hweights q)), sum_total. Qed.

  Lemma member_right y q n s : (q <= y)%nat -> (y < v)%nat -> (n <= m)%nat -> In s (sequences (k M) v) ->
    member y q n s = true -> token s m = q /\ largest (token s) (k M) = y /\
      (held (fun i => (token s i =? y)%nat) m = Z.of_nat m - Z.of_nat n)%Z /\ correct M (token s).
  Proof.
    intros Hqy Hy Hn Hin [Hc' Hm]%andb_true_iff. apply in_sequences in Hin as [Hl _]. rewrite Hk in Hl.
    apply andb_true_iff in Hc' as [Occurs Hp0].
    assert (Hp : forall t, p q y n t = true -> (t < y)%nat).
    { intros t [Ht _]%andb_true_iff. now apply Nat.ltb_lt. }
    assert (Hlarge : largest (token s) (k M) = y).
    { rewrite Hk. apply (mixed_largest _ _ _ _ _ _ Hl Hm Hp Hqy).
      apply orb_true_iff in Occurs as [E|E]; [left; now apply Nat.eqb_eq|right; now apply Nat.ltb_lt]. }
    destruct (mixed_spec _ _ _ _ _ _ Hl Hm) as (Hq & Hh & Hi); [unfold p; now rewrite Nat.ltb_irrefl|].
    repeat split; [exact Hq|exact Hlarge|exact Hh|].
    assert (Hcq := fun o => Hc q y o). assert (Hry := fun o t => Hr y o t). assert (Hoy := fun o t => Hown y o t).
    destruct (Nat.eqb_spec n 0) as [->|Hn0].
    - assert (All : forall i, (i < m)%nat -> token s i = y).
      { intros i Li. destruct (Nat.eq_dec (token s i) y) as [E|E]; [exact E|exfalso].
        pose proof (held_split (fun i => (token s i =? y)%nat) m) as Split.
        assert (0 < held (fun i => negb (token s i =? y)%nat) m)%Z; [|lia].
        unfold held. clear - Li E. induction m as [|j IH]; [lia|]. cbn [sumZ].
        assert (0 <= sumZ (fun i => one (negb (token s i =? y)%nat)) j)%Z
          by (apply sumZ_nonneg; intros; destruct (negb _); simpl; lia).
        destruct (Nat.eq_dec i j) as [->|]; [apply Nat.eqb_neq in E; rewrite E; simpl; lia|].
        specialize (IH ltac:(lia)). destruct (negb _); simpl; lia. }
      apply (pure_maximum M m q y Hk (own y) Hoy (token s) Hq Hlarge All). intros o Ho.
      rewrite <- total_weights. now apply Hpure.
    - assert (Held := smallest_sum (fun i => (token s i =? y)%nat) (position_weight M q) m _ (Hsorted q) (Hweights q)).
      assert (Others := smallest_sum (fun i => negb (token s i =? y)%nat) (position_weight M q) m _ (Hsorted q)
        (Hweights q)).
      pose proof (held_split (fun i => (token s i =? y)%nat) m) as Split.
      pose proof (over_split (fun i => (token s i =? y)%nat) (position_weight M q) m) as Sum.
      replace (Z.to_nat (held (fun i => (token s i =? y)%nat) m)) with (m - n)%nat in Held by lia.
      replace (Z.to_nat (held (fun i => negb (token s i =? y)%nat) m)) with n in Others by lia.
      rewrite <- total_weights in Sum.
      apply (pure_sequences M m q y Hk (c q y) (r y) (own y) Hoy Hcq Hry (token s) Hq Hlarge
        (certified q y n) (smallest q (m - n)) (all q - smallest q n)).
      + unfold at_y, smallest. lra.
      + intros t Ht Hct sigma Hsigma. rewrite <- total_weights. apply (Hcertified q y n t); auto; lia.
      + destruct (held_some (fun i => negb (token s i =? y)%nat) m) as (i & Li & E); [lia|].
        exists i. split; [exact Li|]. now apply negb_true_iff, Nat.eqb_neq in E.
      + intros i Li. destruct (Hi i Li) as [E|[_ E]%andb_true_iff]; auto.
  Qed.

  Definition over_classes (f : nat -> nat -> nat -> Z) : Z :=
    sumZ (fun y => sumZ (fun q => sumZ (f y q) (S m)) (S y)) v.

  Lemma one_right s : In s (sequences (k M) v) ->
    (over_classes (fun y q n => one (member y q n s)) <= one (is_correct M (token s)))%Z.
  Proof.
    intros Hin. set (f := fun y q n => one (member y q n s)).
    assert (Hone : (0 <= one (is_correct M (token s)))%Z) by (destruct (is_correct _ _); simpl; lia).
    assert (Hpos : forall y q n, (0 < f y q n)%Z -> member y q n s = true).
    { intros y q n. unfold f. destruct (member y q n s); simpl; [auto|lia]. }
    assert (Hnonneg : forall y q n, (0 <= f y q n)%Z) by (intros; unfold f; destruct (member _ _ _ _); simpl; lia).
    change (sumZ (fun y => sumZ (fun q => sumZ (f y q) (S m)) (S y)) v <= one (is_correct M (token s)))%Z.
    apply sumZ_only; [exact Hone| |].
    - intros y Hy. split; [apply sumZ_nonneg; intros; apply sumZ_nonneg; intros; apply Hnonneg|].
      apply sumZ_only; [exact Hone| |].
      + intros q Hq. split; [apply sumZ_nonneg; intros; apply Hnonneg|]. apply sumZ_only; [exact Hone| |].
        * intros n Hn. split; [apply Hnonneg|]. destruct (Z_lt_le_dec 0 (f y q n)) as [H%Hpos|H]; [|lia].
          assert (is_correct M (token s) = true) as ->
            by (apply is_correct_spec, (member_right y q n s ltac:(lia) Hy ltac:(lia) Hin H)).
          unfold f. rewrite H. lia.
        * intros n n' Hn Hn' H%Hpos H'%Hpos. pose proof (member_right y q n s ltac:(lia) Hy ltac:(lia) Hin H).
          pose proof (member_right y q n' s ltac:(lia) Hy ltac:(lia) Hin H'). lia.
      + intros q q' Hq Hq' (n & Hn & H%Hpos)%sumZ_found (n' & Hn' & H'%Hpos)%sumZ_found.
        pose proof (member_right y q n s ltac:(lia) Hy ltac:(lia) Hin H).
        pose proof (member_right y q' n' s ltac:(lia) Hy ltac:(lia) Hin H'). intuition congruence.
    - intros y y' Hy Hy' (q & Hq & (n & Hn & H%Hpos)%sumZ_found)%sumZ_found
        (q' & Hq' & (n' & Hn' & H'%Hpos)%sumZ_found)%sumZ_found.
      pose proof (member_right y q n s ltac:(lia) Hy ltac:(lia) Hin H).
      pose proof (member_right y' q' n' s ltac:(lia) Hy' ltac:(lia) Hin H'). intuition congruence.
  Qed.

  (** The count of the rule. *)
  Theorem cubic_count : (over_classes (fun y q n => class_right q y n) <= count_correct M)%Z.
  Proof.
    unfold over_classes. erewrite sumZ_ext.
    2:{ intros y Hy. erewrite sumZ_ext; [reflexivity|]. intros q Hq. apply sumZ_ext. intros n _.
        apply class_right_counts; lia. }
    unfold count_correct. fold v. fold (count (fun s => is_correct M (token s)) (sequences (k M) v)).
    pose proof one_right as One. revert One. generalize (sequences (k M) v) as l. induction l as [|s l IH]; intros One.
    - unfold over_classes, count. cbn [filter length Z.of_nat].
      rewrite (sumZ_ext _ (fun _ => 0%Z)); [rewrite sumZ_zero; lia|]. intros y _.
      rewrite (sumZ_ext _ (fun _ => 0%Z)); [apply sumZ_zero|]. intros q _. apply sumZ_zero.
    - rewrite count_cons. pose proof (One s (or_introl eq_refl)) as O1.
      specialize (IH (fun s' H => One s' (or_intror H))).
      eapply Z.le_trans; [|apply Z.add_le_mono; [exact O1|exact IH]].
      unfold over_classes. rewrite <- sumZ_plus. apply Z.eq_le_incl, sumZ_ext. intros y _. rewrite <- sumZ_plus.
      apply sumZ_ext. intros q _. rewrite <- sumZ_plus. apply sumZ_ext. intros n _. apply count_cons.
  Qed.
End Rule.
