(** * Enumeration of what position minima leave open

    Tokens are chosen position by position. A prefix is settled against a rival if its sum plus the least sum over its
    completions is positive; a prefix settled against every rival counts with all its completions, one that is hopeless
    against some rival counts nothing, every other one is tried with each next token. What [search] adds up is at most
    the number of completions with a positive sum against every rival, whatever the bounds of hopelessness are.

    Source: `pessimal.kernel.rules.exact`.

    Contents:
      size — the number of completions of a stratum.
      column, prepare — values of a rival by position, with least and greatest sums over completions.
      search, search_counts — the count, and that it is a lower bound. *)

From Coq Require Import Reals ZArith List Bool Arith Lia Lra.
From Pessimal Require Import Integers Statement Sums TableForm PositionMinima ClassSizes StratumSums.
Import ListNotations.
Open Scope Z_scope.

Lemma count_first p n v :
  count p (sequences (S n) v) = sumZ (fun t => count (fun s => p (t :: s)) (sequences n v)) v.
Proof.
  cbn [sequences]. generalize (sequences n v) as l. intros l. induction v as [|v IH]; [reflexivity|].
  rewrite seq_S, flat_map_app, count_app, IH. cbn [sumZ flat_map Nat.add]. now rewrite app_nil_r, count_map.
Qed.

(** ** Extremes *)

Section Extremes.
  Context {T : Type} (A : integers T) (HA : lawful A).
  Notation "# x" := (to_Z A x) (at level 1).

  Definition zero : T := of_Z A 0.
  Definition smaller (a b : T) : T := if leb A a b then a else b.
  Definition larger (a b : T) : T := if leb A a b then b else a.
  Definition extreme (pick : T -> T -> T) (l : list T) : option T :=
    match l with [] => None | a :: l' => Some (fold_left pick l' a) end.

  Lemma zero_law : #zero = 0.
  Proof. apply (of_Z_law A HA). Qed.

  Lemma smaller_law a b : #(smaller a b) = Z.min #a #b.
  Proof. unfold smaller. rewrite (leb_law A HA). destruct (Z.leb_spec #a #b); lia. Qed.

  Lemma extreme_le l t : (t < length l)%nat -> exists b, extreme smaller l = Some b /\ #b <= #(nth t l zero).
  Proof.
    destruct l as [|a l]; cbn [length]; intros Ht; [lia|]. eexists. split; [reflexivity|].
    assert (H : forall l a, #(fold_left smaller l a) <= #a /\
      forall i, (i < length l)%nat -> #(fold_left smaller l a) <= #(nth i l zero)).
    { clear - HA. induction l as [|b l IH]; intros a; cbn [fold_left length]; [split; [lia|intros; lia]|].
      destruct (IH (smaller a b)) as [H1 H2]. rewrite smaller_law in H1. split; [lia|]. intros [|i] Hi; cbn [nth]; [lia|].
      apply H2. lia. }
    destruct t as [|t]; cbn [nth]; apply H. lia.
  Qed.
End Extremes.

(** ** Completions *)

Section Stratum.
  Variables (y v : nat).
  Hypothesis Hy : (y < v)%nat.

  Definition size (n : nat) (seen : bool) : Z :=
    if seen then (Z.of_nat y + 1) ^ Z.of_nat n else (Z.of_nat y + 1) ^ Z.of_nat n - Z.of_nat y ^ Z.of_nat n.

  Notation completes := (belongs y).

  Lemma completes_cons seen t s : completes seen (t :: s) = (t <=? y)%nat && completes (seen || (t =? y)%nat) s.
  Proof. reflexivity. Qed.

  (** Sum over the next token: those above y complete nothing. *)
  Lemma count_next seen p n : count (fun s => completes seen s && p s) (sequences (S n) v) =
    sumZ (fun t => count (fun s => completes (seen || (t =? y)%nat) s && p (t :: s)) (sequences n v)) (S y).
  Proof.
    rewrite count_first.
    assert (H : forall m, (S y <= m)%nat -> sumZ (fun t => count (fun s => completes seen (t :: s) && p (t :: s))
      (sequences n v)) m = sumZ (fun t => count (fun s => completes seen (t :: s) && p (t :: s)) (sequences n v)) (S y)).
    { induction m as [|m IH]; intros Hm; [lia|]. destruct (Nat.eq_dec m y) as [->|]; [reflexivity|].
      assert (E : count (fun s => completes seen (m :: s) && p (m :: s)) (sequences n v) = 0).
      { apply count_none. intros s _. rewrite completes_cons. destruct (Nat.leb_spec m y); [lia|reflexivity]. }
      change (sumZ ?f (S m)) with (sumZ f m + f m). cbv beta. rewrite E, IH by lia. apply Z.add_0_r. }
    rewrite H by lia. apply sumZ_ext. intros t Ht. unfold count. do 2 f_equal. apply filter_ext. intros s.
    rewrite completes_cons. destruct (Nat.leb_spec t y); [reflexivity|lia].
  Qed.

  Lemma size_next n seen : size (S n) seen = sumZ (fun t => size n (seen || (t =? y)%nat)) (S y).
  Proof.
    cbn [sumZ]. rewrite Nat.eqb_refl, orb_true_r.
    assert (E : forall m, (m <= y)%nat -> sumZ (fun t => size n (seen || (t =? y)%nat)) m = Z.of_nat m * size n seen).
    { induction m as [|m IH]; intros Hm; [reflexivity|]. cbn [sumZ]. rewrite IH by lia.
      destruct (Nat.eqb_spec m y); [lia|]. rewrite orb_false_r, Nat2Z.inj_succ. ring. }
    rewrite E by lia. unfold size. rewrite Nat2Z.inj_succ, !Z.pow_succ_r by lia. destruct seen; ring.
  Qed.

  Lemma size_counts n : forall seen, count (completes seen) (sequences n v) = size n seen.
  Proof.
    induction n as [|n IH]; intros seen; [now destruct seen|]. rewrite size_next.
    transitivity (count (fun s => completes seen s && true) (sequences (S n) v)).
    { unfold count. do 2 f_equal. apply filter_ext. intros s. now rewrite andb_true_r. }
    rewrite (count_next seen (fun _ => true)). apply sumZ_ext. intros t _. rewrite <- IH. unfold count. do 2 f_equal.
    apply filter_ext. intros s. now rewrite andb_true_r.
  Qed.

  (** ** Sums of one rival *)

  Context {T : Type} (A : integers T) (HA : lawful A).
  Notation "# x" := (to_Z A x) (at level 1).
  Notation zero := (zero A).
  Notation smaller := (smaller A).
  Notation larger := (larger A).

  (** Values of tokens 0 .. y in one position; least and greatest sums from that position on. *)
  Record column := { values : list T; low_seen : T; low_unseen : T; high_seen : T; high_unseen : T }.

  Definition low (seen : bool) (cs : list column) : T :=
    match cs with [] => zero | c :: _ => if seen then low_seen c else low_unseen c end.
  Definition high (seen : bool) (cs : list column) : T :=
    match cs with [] => zero | c :: _ => if seen then high_seen c else high_unseen c end.

  (** Extreme sums by extreme values of the tokens below y ([None] if there are none) and of y. *)
  Definition extremes (pick : T -> T -> T) (below : option T) (own : T) (rest_seen : T) (rest_unseen : option T) :
    T * T :=
    let here := add A own rest_seen in
    match below with
    | None => (here, here)
    | Some b => (pick here (add A b rest_seen),
        match rest_unseen with None => here | Some u => pick here (add A b u) end)
    end.

  Fixpoint prepare (rows : list (list T)) : list column :=
    match rows with
    | [] => []
    | r :: rows' =>
        let cs := prepare rows' in
        let own := nth y r zero in
        let open u := match cs with [] => None | _ => Some u end in
        let l := extremes smaller (extreme smaller (firstn y r)) own (low true cs) (open (low false cs)) in
        let h := extremes larger (extreme larger (firstn y r)) own (high true cs) (open (high false cs)) in
        {| values := r; low_seen := fst l; low_unseen := snd l; high_seen := fst h; high_unseen := snd h |} :: cs
    end.

  Fixpoint path (cs : list column) (s : list nat) : Z :=
    match cs, s with c :: cs', t :: s' => #(nth t (values c) zero) + path cs' s' | _, _ => 0 end.

  (** [low] is a lower bound, here and further on. *)
  Fixpoint sound (cs : list column) : Prop :=
    (forall seen s, length s = length cs -> completes seen s = true -> #(low seen cs) <= path cs s) /\
    match cs with [] => True | _ :: cs' => sound cs' end.

  Lemma low_nil seen : #(low seen []) = 0.
  Proof. apply (zero_law A HA). Qed.

  Lemma prepare_sound rows : Forall (fun r => length r = S y) rows -> sound (prepare rows).
  Proof.
    induction rows as [|r rows IH]; intros H.
    - split; [|exact I]. intros seen [|t s] Hl _; [|discriminate]. cbn. rewrite (zero_law A HA). lia.
    - inversion H as [|? ? Hr Hrows]; subst. specialize (IH Hrows). cbn [prepare]. set (cs := prepare rows) in *.
      set (c := {| values := r |}). split; [|exact IH]. intros seen [|t s] Hl Hc; [discriminate|]. cbn [length] in Hl.
      injection Hl as Hl. rewrite completes_cons, andb_true_iff, Nat.leb_le in Hc. destruct Hc as [Ht Hc].
      cbn [path]. change (values c) with r. destruct cs as [|c' cs'] eqn:Ecs.
      + destruct s; [|discriminate]. cbn [path]. rewrite Z.add_0_r. destruct (Nat.eq_dec t y) as [->|Hne].
        * unfold low, c, extremes; cbn [low_seen low_unseen].
          destruct (extreme smaller (firstn y r)), seen; cbn [fst snd];
            rewrite ?(smaller_law A HA), ?(add_law A HA), ?low_nil; lia.
        * assert (seen = true) as ->.
          { destruct seen; [reflexivity|]. cbn in Hc. destruct (Nat.eqb_spec t y); [contradiction|discriminate]. }
          destruct (extreme_le A HA (firstn y r) t) as (b & Eb & Hb); [rewrite firstn_length; lia|].
          assert (nth t (firstn y r) zero = nth t r zero) as Et.
          { rewrite <- (firstn_skipn y r) at 2. rewrite app_nth1; [reflexivity|]. rewrite firstn_length; lia. }
          rewrite Et in Hb. unfold low, c, extremes; cbn [low_seen low_unseen]. rewrite Eb. cbn [fst].
          rewrite (smaller_law A HA), !(add_law A HA). rewrite low_nil. lia.
      + pose proof (proj1 IH) as B. rewrite <- Ecs in *. destruct (Nat.eq_dec t y) as [->|Hne].
        * rewrite Nat.eqb_refl, orb_true_r in Hc. specialize (B true s Hl Hc).
          assert (#(low seen (c :: cs)) <= #(nth y r zero) + #(low true cs)); [|lia].
          unfold low at 1, c, extremes; cbn [low_seen low_unseen]. rewrite Ecs.
          destruct (extreme smaller (firstn y r)), seen; cbn [fst snd];
            rewrite ?(smaller_law A HA), ?(add_law A HA); lia.
        * destruct (Nat.eqb_spec t y) as [|_]; [contradiction|]. rewrite orb_false_r in Hc. specialize (B seen s Hl Hc).
          destruct (extreme_le A HA (firstn y r) t) as (b & Eb & Hb); [rewrite firstn_length; lia|].
          assert (nth t (firstn y r) zero = nth t r zero) as Et.
          { rewrite <- (firstn_skipn y r) at 2. rewrite app_nth1; [reflexivity|]. rewrite firstn_length; lia. }
          rewrite Et in Hb. assert (#(low seen (c :: cs)) <= #b + #(low seen cs)); [|lia].
          unfold low at 1, c, extremes; cbn [low_seen low_unseen]. rewrite Eb, Ecs. destruct seen; cbn [fst snd];
            rewrite ?(smaller_law A HA), ?(add_law A HA); lia.
  Qed.

  (** ** The search *)

  (** A rival: the sum of the prefix and the last token, and the columns of the positions to come. *)
  Notation rival := (T * list column)%type.
  Definition good (s : list nat) (r : rival) : bool := 0 <? #(fst r) + path (snd r) s.
  Definition unsettled (seen : bool) (r : rival) : bool := leb A (add A (fst r) (low seen (snd r))) zero.
  Definition hopeless (seen : bool) (r : rival) : bool := leb A (add A (fst r) (high seen (snd r))) zero.
  Definition advance (t : nat) (r : rival) : rival :=
    match snd r with [] => r | c :: cs => (add A (fst r) (nth t (values c) zero), cs) end.

  Fixpoint search (n : nat) (seen : bool) (open : list rival) : Z :=
    match filter (unsettled seen) open with
    | [] => size n seen
    | rest =>
        if existsb (hopeless seen) rest then 0
        else match n with
        | O => 0
        | S m => sumZ (fun t => search m (seen || (t =? y)%nat) (map (advance t) rest)) (S y)
        end
    end.

  Lemma settled seen r s : sound (snd r) -> length s = length (snd r) -> completes seen s = true ->
    unsettled seen r = false -> good s r = true.
  Proof.
    intros Hs Hl Hc Hu. assert (B : #(low seen (snd r)) <= path (snd r) s) by (destruct (snd r); apply Hs; assumption).
    unfold unsettled in Hu. rewrite (leb_law A HA), (add_law A HA), (zero_law A HA) in Hu. apply Z.leb_gt in Hu.
    unfold good. apply Z.ltb_lt. lia.
  Qed.

  Lemma filtered n seen open s : Forall (fun r => length (snd r) = n /\ sound (snd r)) open -> length s = n ->
    completes seen s = true -> forallb (good s) (filter (unsettled seen) open) = true ->
    forallb (good s) open = true.
  Proof.
    intros Ho Hl Hc Hg. rewrite forallb_forall in *. intros r Hr. destruct (unsettled seen r) eqn:E.
    - apply Hg, filter_In; auto.
    - rewrite Forall_forall in Ho. destruct (Ho r Hr) as [Hn Hs]. apply settled with seen; auto; congruence.
  Qed.

  Theorem search_counts n : forall seen open,
    Forall (fun r => length (snd r) = n /\ sound (snd r)) open ->
    search n seen open <= count (fun s => completes seen s && forallb (good s) open) (sequences n v).
  Proof.
    assert (None : forall m seen open, Forall (fun r => length (snd r) = m /\ sound (snd r)) open ->
      filter (unsettled seen) open = [] ->
      size m seen <= count (fun s => completes seen s && forallb (good s) open) (sequences m v)).
    { intros m seen open Ho E. rewrite <- size_counts. apply count_le. intros s [Hl _]%in_sequences Hc. rewrite Hc.
      apply (filtered m seen); auto. rewrite E. reflexivity. }
    induction n as [|n IH]; intros seen open Ho; cbn [search]; destruct (filter (unsettled seen) open) as [|r rs] eqn:E.
    1,3: now apply None.
    - destruct (existsb _ _); apply count_nonneg.
    - destruct (existsb _ _); [apply count_nonneg|].
      rewrite count_next. apply sumZ_le. intros t Ht. rewrite <- E. eapply Z.le_trans; [apply IH|].
      + rewrite Forall_forall in *. intros r' (r0 & <- & [Hin _]%filter_In)%in_map_iff.
      destruct (Ho r0 Hin) as [Hn Hs]. unfold advance. destruct (snd r0) as [|c cs]; [discriminate|]. cbn [snd].
      split; [now injection Hn|apply Hs].
      + apply count_le. intros s [Hl _]%in_sequences. rewrite !andb_true_iff. intros [Hc Hg]. split; [exact Hc|].
      apply (filtered (S n) seen); [exact Ho|simpl; lia| |].
        * rewrite completes_cons. destruct (Nat.leb_spec t y); [exact Hc|lia].
        * rewrite forallb_forall in *. intros r' Hr'. specialize (Hg (advance t r') (in_map _ _ _ Hr')).
        unfold good, advance in *. destruct (snd r') as [|c cs] eqn:Ec; cbn [fst snd path] in *.
          -- rewrite Ec in Hg. exact Hg.
          -- rewrite (add_law A HA) in Hg. apply Z.ltb_lt in Hg. apply Z.ltb_lt. lia.
  Qed.
End Stratum.

(** ** Right sequences of a stratum *)

Section Right.
  Context (M : model) {T : Type} (A : integers T) (HA : lawful A).
  Notation "# x" := (to_Z A x) (at level 1).
  Variables (n q y : nat) (own : nat -> T) (columns : nat -> list (column (T := T))) (c : R).
  Let v := d_vocab M.
  Hypothesis HK : k M = S n.
  Hypothesis Hq : (q <= y)%nat.
  Hypothesis Hy : (y < v)%nat.
  Hypothesis Hc : (0 < c)%R.
  (** Every rival's columns come from lower bounds of c times its terms. *)
  Definition bounded (o : nat) (rows : list (list T)) : Prop :=
    length rows = n /\ Forall (fun r => length r = S y) rows /\ forall i t, (i < n)%nat -> (t <= y)%nat ->
      (IZR #(nth t (nth i rows []) (zero A)) <= c * term M q y o i t)%R.
  Hypothesis prepared : forall o, (o < v)%nat -> o <> y ->
    exists rows, columns o = prepare y A rows /\ bounded o rows.
  Hypothesis last_bound : forall o, (o < v)%nat -> o <> y -> (IZR #(own o) <= c * term M q y o n q)%R.

  Definition rivals : list nat := filter (fun o => negb (o =? y)%nat) (seq 0 v).
  Definition start : list (T * list (column (T := T))) := map (fun o => (own o, columns o)) rivals.
  Definition right_of_stratum : Z := search y A n (q =? y)%nat start.

  Lemma path_sum : forall (l : list (list T)) (s : list nat), length s = length l ->
    IZR (path A (prepare y A l) s) =
      sum (fun i => IZR #(nth (nth i s O) (nth i l []) (zero A))) (length l).
  Proof.
    induction l as [|r l IH]; intros [|t s] H; try discriminate; [reflexivity|]. cbn [prepare path values].
    rewrite plus_IZR, IH by now injection H. cbn [length]. rewrite sum_first. reflexivity.
  Qed.

  Lemma good_is_right s : length s = n -> in_stratum q y s = true ->
    forallb (good A s) start = true -> is_correct M (token (s ++ [q])) = true.
  Proof.
    intros Hl Hs Hg. apply is_correct_spec. intros o Ho Hne.
    assert (Ey : largest (token (s ++ [q])) (k M) = y).
    { rewrite HK. replace (S n) with (length (s ++ [q])) by (rewrite app_length; simpl; lia).
      now apply largest_of_stratum. }
    assert (Eq : token (s ++ [q]) (last M) = q).
    { unfold token, last. rewrite HK, app_nth2 by lia. now replace (S n - 1 - length s)%nat with O by lia. }
    rewrite Ey in Hne. destruct (prepared o Ho Hne) as (rows & Ec & HL & HR & bound).
    rewrite forallb_forall in Hg. specialize (Hg (own o, columns o)). rewrite Ec in Hg at 2.
    unfold good in Hg. cbn [fst snd] in Hg. rewrite Z.ltb_lt in Hg.
    assert (P : (0 < IZR #(own o) + IZR (path A (prepare y A rows) s))%R).
    { rewrite <- plus_IZR. apply IZR_lt, Hg. unfold start. apply (in_map (fun o' => (own o', columns o'))). unfold rivals.
      apply filter_In. split; [apply in_seq; lia|]. destruct (Nat.eqb_spec o y); [contradiction|reflexivity]. }
    rewrite path_sum, HL in P by congruence. pose proof (positive_terms M (token (s ++ [q])) c
      (fun i => if (i =? n)%nat then IZR #(own o) else IZR #(nth (nth i s O) (nth i rows []) (zero A)))) as H.
    cbv zeta in H. rewrite Ey, Eq, HK in H. rewrite Ey. apply H; [lia|exact Hc| |].
    - intros i Hi. destruct (Nat.eqb_spec i n) as [->|Hn].
      + replace n with (last M) at 2 by (unfold last; lia). rewrite Eq. now apply last_bound.
      + assert (Hi' : (i < length s)%nat) by lia. unfold token. rewrite app_nth1 by exact Hi'.
        apply bound; auto; [lia|]. unfold in_stratum in Hs. rewrite andb_true_iff, belongs_spec in Hs.
        apply Hs, nth_In. exact Hi'.
    - cbn [sum]. rewrite Nat.eqb_refl.
      rewrite (sum_ext _ (fun i => IZR #(nth (nth i s O) (nth i rows []) (zero A)))); [lra|].
      intros i Hi. destruct (Nat.eqb_spec i n); [lia|reflexivity].
  Qed.

  Theorem right_of_stratum_counts : count (fun s => in_stratum q y s && wrong M q s) (sequences n v)
    <= size y n (q =? y)%nat - right_of_stratum.
  Proof.
    assert (S : right_of_stratum
      <= count (fun s => belongs y (q =? y)%nat s && forallb (good A s) start) (sequences n v)).
    { apply search_counts; [exact Hy|exact HA|]. apply Forall_forall.
      intros r (o & <- & [Ho Hn]%filter_In)%in_map_iff. apply in_seq in Ho.
      destruct (prepared o) as (rows & -> & HL & HR & _); [lia|intros ->; now rewrite Nat.eqb_refl in Hn|].
      cbn [snd]. split.
      - rewrite <- HL. clear. induction rows; [reflexivity|]. cbn [prepare length]. now f_equal.
      - now apply (prepare_sound y v). }
    enough (count (fun s => in_stratum q y s && wrong M q s) (sequences n v)
      + count (fun s => belongs y (q =? y)%nat s && forallb (good A s) start) (sequences n v)
      <= count (belongs y (q =? y)%nat) (sequences n v)) by (rewrite size_counts in H by exact Hy; lia).
    assert (E : forall s, In s (sequences n v) -> length s = n) by now intros s [H _]%in_sequences.
    revert E. generalize (sequences n v) as l. induction l as [|s l IH]; intros E; [unfold count; simpl; lia|].
    rewrite !count_cons. specialize (IH (fun r Hr => E r (or_intror Hr))).
    assert (In_s : in_stratum q y s = belongs y (q =? y)%nat s).
    { unfold in_stratum. apply Nat.leb_le in Hq. now rewrite Hq. }
    pose proof (good_is_right s (E s (or_introl eq_refl))) as G. rewrite In_s in G |- *.
    unfold wrong in *. destruct (belongs y (q =? y)%nat s); cbn [andb one]; [|lia].
    destruct (forallb (good A s) start).
    - rewrite G by reflexivity. cbn [negb one]. lia.
    - destruct (is_correct M (token (s ++ [q]))); cbn [negb one]; lia.
  Qed.
End Right.
