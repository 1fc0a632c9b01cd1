(** * Bounds of one stratum and one problem, computed from its terms

    [moment] is the exponential moment for a tilt lambda = m 2^e, in units of 2^-UNIT and rounded up; [None] where an
    exponent is out of range. [counted_sequences] is the grid count for a step given by its inverse m 2^e, [None] where
    `cells` are too few. Tilts and inverse steps multiply the integers of [terms], whatever their scale; any are sound.

    Exponentials of a row of terms share a power of two, so chosen that the term at y and the largest of the others have
    about 55 bits; products are exact. The choice is not proved to be good.

    Source: `pessimal.kernel.rules.exponential_moment`, `pessimal.kernel.rules.grid_count`.

    Contents:
      passed — the pass of StratumSums.v over any carrier; row_halves — a row's sums below y and at y.
      moment, moment_correct; counted_sequences, counted_correct — the bounds. *)

From Coq Require Import Reals ZArith List Bool Arith Lra Lia.
From Pessimal Require Import Integers Statement Sums Exponential ClassSizes StratumSums ExponentialMoment GridCounting.
From Pessimal Require Import Margins Terms.
Import ListNotations.
Open Scope Z_scope.

(** Digits of bounds after the point, and of the exponentials that matter most. *)
Definition UNIT : Z := 64.
Definition DIGITS : Z := 55.
Definition MOST : Z := 2000.

Fixpoint all_some {X} (l : list (option X)) : option (list X) :=
  match l with
  | [] => Some []
  | Some x :: l' => match all_some l' with Some m => Some (x :: m) | None => None end
  | None :: _ => None
  end.

Lemma all_some_map {X Y} (f : X -> option Y) l : forall m, all_some (map f l) = Some m ->
  Forall2 (fun x y => f x = Some y) l m.
Proof.
  induction l as [|x l IH]; cbn; intros m; [intros [= <-]; constructor|]. destruct (f x) eqn:E; [|discriminate].
  destruct (all_some (map f l)); [|discriminate]. intros [= <-]. constructor; auto.
Qed.

Lemma spread_forall2 {X Y} (P : X -> Y -> Prop) pooled n l m : Forall2 P l m ->
  Forall2 P (spread pooled n l) (spread pooled n m).
Proof. unfold spread. destruct pooled; [|trivial]. destruct 1; [constructor|]. induction n; cbn; constructor; auto. Qed.

Lemma forall2_length {X Y} (P : X -> Y -> Prop) l m : Forall2 P l m -> length m = length l.
Proof. induction 1; cbn; auto. Qed.

(* Unlike injection, this leaves numbers as they are. *)
Lemma some_is {X} (a b : X) : Some a = Some b -> a = b.
Proof. now intros [=]. Qed.

Lemma forall2_nth {X Y} (P : X -> Y -> Prop) a b l m : Forall2 P l m -> forall i, (i < length l)%nat ->
  P (nth i l a) (nth i m b).
Proof. induction 1; cbn; intros [|i] Hi; try lia; [assumption|]. apply IHForall2. lia. Qed.

Section Stratum.
  Context {T : Type} (A : integers T) (tab : tables T).
  Notation row := (list T).
  Notation zero := (Margins.zero A).
  Notation terms := (terms (T := T)).

  (** What [reduce] does to numbers on the way keeps them short. *)
  Fixpoint passed (reduce : T -> T) (rows : list (T * T)) (unseen seen : T) : T :=
    match rows with
    | [] => seen
    | (below, at_y) :: r => passed reduce r (reduce (mul A unseen below))
        (reduce (add A (mul A unseen at_y) (mul A seen (add A below at_y))))
    end.

  Definition start (b : bool) : T := of_Z A (one b).

  (** Sum of all but the last entry, and the last. *)
  Fixpoint halves_of (l : row) (sum : T) : T * T :=
    match l with [] => (sum, zero) | [a] => (sum, a) | a :: l' => halves_of l' (add A sum a) end.
  Definition row_halves (n_far : nat) (far : T) (l : row) : T * T :=
    halves_of l (if (n_far =? 0)%nat then zero else mul A (of_Z A (Z.of_nat n_far)) far).

  Definition times_2 (m : T) (e : Z) (g : T) : T := shift A (mul A m g) e.

  (** Which power of two multiplies exponentials of arguments like x. *)
  Definition power_for (x : Z) : Z := Z.max (- MOST) (Z.min MOST (DIGITS - Z.shiftr (x * 1477) (FINE + 10))).

  (** The argument that matters: the smaller of the last and the largest of the others. *)
  Fixpoint decisive (l : row) (largest : T) : T :=
    match l with [] => largest | [x] => smaller A largest x | x :: l' => decisive l' (larger A largest x) end.

  Section Moment.
    Variables (m : T) (e : Z) (nf : nat) (f : T).
    Definition argument (g : T) : T := sub A zero (times_2 m e g).

    (** Bounds of exponentials of a row, and the power of two in them. *)
    Definition row_moment (r : row) : option ((T * T) * Z) :=
      let xs := map argument r in
      let x := if (nf =? 0)%nat then hd zero xs else argument f in
      let p := power_for (to_Z A (decisive xs x)) in
      match (if (nf =? 0)%nat then Some zero else exp_above A tab p x), all_some (map (exp_above A tab p) xs) with
      | Some far, Some es => Some (row_halves nf far es, p)
      | _, _ => None
      end.
  End Moment.

  Definition moment_of (n : nat) (pooled : bool) (q y : nat) (m : T) (e : Z) (tm : terms) : option Z :=
    match all_some (map (row_moment m e (n_far tm) (far tm)) (near tm)) with
    | None => None
    | Some found =>
        let rows := spread pooled n found in
        let x := times_2 m e (sub A zero (own tm)) in
        let p := power_for (to_Z A x) in
        match exp_above A tab p x with
        | None => None
        | Some last =>
            let sum := passed (fun a => a) (map fst rows) (start (negb (q =? y)%nat)) (start (q =? y)%nat) in
            let powers := fold_right (fun a s => snd a + s) p rows in
            Some (to_Z A (shift A (mul A sum last) (UNIT - powers)) + 1)
        end
    end.

  (** With one position before the last and q < y only token y stands there: the other terms, which may be out of range,
      are not read. *)
  Definition terms_read (n q y : nat) (tm : terms) : terms :=
    if (n =? 1)%nat && negb (q =? y)%nat
    then {| n_far := 0; far := zero; near := map (fun r => repeat (nth (y - n_far tm) r zero) (S y)) (near tm);
            own := own tm |}
    else tm.
  Definition moment (n : nat) (pooled : bool) (q y : nat) (m : T) (e : Z) (tm : terms) : option Z :=
    moment_of n pooled q y m e (terms_read n q y tm).

  (** Residues modulo 2^w; and modulo 2^slot - 1, by adding up halves of [digits] digits of [slot] bits. *)
  Definition residue (w : Z) (x : T) : T := sub A x (shift A (shift A x (- w)) w).
  Fixpoint fold_digits (fuel : nat) (slot digits : Z) (x : T) : T :=
    match fuel with
    | O => x
    | S k => let half := (digits + 1) / 2 in
        fold_digits k slot half (add A (shift A x (- (slot * half))) (residue (slot * half) x))
    end.

  Section Count.
    Variables (m : T) (e : Z) (nf : nat) (f : T).
    Definition least_number (r : row) : T :=
      let x := times_2 m e (if (nf =? 0)%nat then hd zero r else f) in
      fold_left (fun a g => smaller A a (times_2 m e g)) r x.

    Definition power_of (slot : Z) (budget least g : T) : T :=
      let x := sub A (times_2 m e g) least in if leb A x budget then shift A (of_Z A 1) (slot * to_Z A x) else zero.

    Definition row_powers (slot : Z) (budget : T) (r : row) : T * T :=
      let least := least_number r in
      row_halves nf (if (nf =? 0)%nat then zero else power_of slot budget least f)
        (map (power_of slot budget least) r).
  End Count.

  Definition counted_sequences (n : nat) (pooled : bool) (slot cells : Z) (q y : nat) (m : T) (e : Z) (tm : terms)
    : option Z :=
    let least := fold_right (fun r s => add A (least_number m e (n_far tm) (far tm) r) s) zero
      (spread pooled n (near tm)) in
    let budget := sub A (times_2 m e (sub A zero (own tm))) least in
    let b := to_Z A budget in
    if b <? 0 then Some 0 else if cells <=? b then None else
    let rows := spread pooled n (map (row_powers m e (n_far tm) (far tm) slot budget) (near tm)) in
    let w := slot * (b + 1) in
    let found := passed (residue w) rows (start (negb (q =? y)%nat)) (start (q =? y)%nat) in
    let z := to_Z A (fold_digits (Z.to_nat (Z.log2 (b + 1)) + 1) slot (b + 1) (residue w found)) in
    let m := 2 ^ slot - 1 in
    Some (z - m * (z / m)).

  (** ** Proofs *)

  Hypothesis law : lawful A.
  Notation pair_Z := (fun a : T * T => (to_Z A (fst a), to_Z A (snd a))).

  Lemma passed_correct reduce reduceZ rows : (forall a, to_Z A (reduce a) = reduceZ (to_Z A a)) -> forall u h,
    to_Z A (passed reduce rows u h) = reduced_pass reduceZ (map pair_Z rows) (to_Z A u) (to_Z A h).
  Proof.
    intros H. induction rows as [|[b a] rows IH]; intros u h; cbn [passed map reduced_pass fst snd]; [reflexivity|].
    now rewrite IH, !H, !(add_law A law), !(mul_law A law), !(add_law A law).
  Qed.

  Lemma reduced_pass_id rows : forall u h, reduced_pass (fun a => a) rows u h = pass rows u h.
  Proof. induction rows as [|[b a] rows IH]; intros u h; cbn; [reflexivity|apply IH]. Qed.

  Lemma start_correct b : to_Z A (start b) = one b.
  Proof. apply (of_Z_law A law). Qed.

  Lemma halves_ext y f g : (forall t, (t <= y)%nat -> f t = g t) -> halves y f = halves y g.
  Proof. intros H. unfold halves. rewrite H by lia. f_equal. apply sumZ_ext. intros; apply H; lia. Qed.

  Lemma halves_of_correct l : forall y s, length l = S y ->
    pair_Z (halves_of l s) = (to_Z A s + sumZ (fun j => to_Z A (nth j l zero)) y, to_Z A (nth y l zero)).
  Proof.
    induction l as [|a l IH]; intros y s L; [discriminate|]. injection L as L. destruct l as [|b l].
    - cbn in L. subst y. cbn. f_equal. lia.
    - destruct y as [|y]; [discriminate|]. change (halves_of (a :: b :: l) s) with (halves_of (b :: l) (add A s a)).
      rewrite (IH y) by exact L. rewrite (add_law A law). f_equal.
      assert (E : forall (h : nat -> Z) k, sumZ h (S k) = h O + sumZ (fun j => h (S j)) k).
      { intros h k. induction k as [|k IHk]; [cbn; lia|].
        change (sumZ h (S (S k))) with (sumZ h (S k) + h (S k)). rewrite IHk. cbn [sumZ]. lia. }
      rewrite E. cbn [nth]. lia.
  Qed.

  Lemma sumZ_split (h : nat -> Z) a b : sumZ h (a + b) = sumZ h a + sumZ (fun j => h (a + j)%nat) b.
  Proof. induction b as [|b IH]; [rewrite Nat.add_0_r; cbn; lia|]. rewrite Nat.add_succ_r. cbn [sumZ]. lia. Qed.

  Lemma row_halves_correct nf far l y : (nf <= y)%nat -> length l = S (y - nf) ->
    pair_Z (row_halves nf far l) = halves y (fun t => to_Z A (term_at A far nf l t)).
  Proof.
    intros Hn L. unfold row_halves. rewrite (halves_of_correct l (y - nf) _ L). unfold halves. f_equal.
    - replace y with (nf + (y - nf))%nat at 2 by lia. rewrite sumZ_split. f_equal.
      + rewrite (sumZ_ext _ (fun _ => 1 * to_Z A far)), sumZ_scale_r.
        * assert (sumZ (fun _ => 1) nf = Z.of_nat nf) as -> by (clear; induction nf; cbn [sumZ]; lia).
          destruct (Nat.eqb_spec nf 0) as [->|]; [rewrite (to_Z_zero A law); reflexivity|].
          now rewrite (mul_law A law), (of_Z_law A law).
        * intros t Ht. unfold term_at. destruct (Nat.ltb_spec t nf); lia.
      + apply sumZ_ext. intros j _. unfold term_at. destruct (Nat.ltb_spec (nf + j) nf); [lia|].
        now replace (nf + j - nf)%nat with j by lia.
    - unfold term_at. destruct (Nat.ltb_spec y nf); [lia|reflexivity].
  Qed.

  Lemma times_2_correct m e g : to_Z A (times_2 m e g) = scaled (to_Z A m) e (to_Z A g).
  Proof. unfold times_2, scaled. now rewrite (shift_law A law), (mul_law A law). Qed.

  (** [term_at] of a row and of what becomes of its entries. *)
  Lemma term_at_map (g : T -> T) (far far' : T) nf r t :
    (t < nf \/ t - nf < length r)%nat -> (t < nf -> far' = g far)%nat ->
    term_at A far' nf (map g r) t = g (term_at A far nf r t).
  Proof.
    intros Ht Hf. unfold term_at. destruct (Nat.ltb_spec t nf) as [H|H]; [auto|].
    rewrite (nth_indep _ zero (g zero)) by (rewrite map_length; lia). apply map_nth.
  Qed.

  Variables (v n : nat) (pooled : bool) (q y : nat) (tm : terms) (bad : list nat -> bool).
  Hypotheses (Hqy : (q <= y)%nat) (Hy : (y < v)%nat) (Hfar : (n_far tm <= y)%nat).
  Hypothesis Hnear : length (spread pooled n (near tm)) = n /\ forall i, (i < n)%nat ->
    length (nth i (spread pooled n (near tm)) []) = S (y - n_far tm).
  Let G r t := to_Z A (term_at A (far tm) (n_far tm) r t).
  Hypothesis sums : forall s, In s (sequences n v) -> in_stratum q y s = true -> bad s = true ->
    total (functions A n pooled tm) s + to_Z A (own tm) <= 0.
  Definition failures : Z := count (fun s => in_stratum q y s && bad s) (sequences n v).

  Lemma spread_rows r : In r (spread pooled n (near tm)) -> length r = S (y - n_far tm).
  Proof. destruct Hnear as [L H]. intros (i & Hi & <-)%(In_nth _ _ []). apply H. lia. Qed.

  Lemma scaled_sums m e s : 0 <= to_Z A m -> In s (sequences n v) -> in_stratum q y s = true -> bad s = true ->
    total (map (fun r t => scaled (to_Z A m) e (G r t)) (spread pooled n (near tm))) s
    <= to_Z A (times_2 m e (sub A zero (own tm))).
  Proof.
    intros Hm Hs Hin Hbad.
    pose proof (scaled_total (to_Z A m) e (functions A n pooled tm) Hm s _ (sums s Hs Hin Hbad)) as H.
    unfold functions in H. rewrite map_map in H.
    rewrite times_2_correct, (sub_law A law), (to_Z_zero A law), Z.sub_0_l. exact H.
  Qed.

  Section Moments.
    Variables (m : T) (e : Z).
    Hypotheses (Hm : 0 <= to_Z A m) (Htab : tab = exp_tables A).
    Notation u := (IZR (2 ^ FINE)).
    Open Scope R_scope.

    Lemma row_moment_correct r h p : length r = S (y - n_far tm) ->
      row_moment m e (n_far tm) (far tm) r = Some (h, p) ->
      exists f, pair_Z h = halves y f /\ forall t, (t <= y)%nat ->
        pow2 p * exp (- IZR (scaled (to_Z A m) e (G r t)) / u) <= IZR (f t).
    Proof.
      intros L. unfold row_moment. set (xs := map (argument m e) r). set (x := if (n_far tm =? 0)%nat then _ else _).
      set (p' := power_for _). destruct (if (n_far tm =? 0)%nat then _ else _) as [f|] eqn:Ef; [|discriminate].
      destruct (all_some _) as [es|] eqn:Ees; [|discriminate]. intros [= <- <-]. apply all_some_map in Ees.
      assert (Les : length es = length r) by (now rewrite <- (map_length (argument m e) r), (forall2_length _ _ _ Ees)).
      exists (fun t => to_Z A (term_at A f (n_far tm) es t)). split; [apply row_halves_correct; congruence|].
      assert (HE : forall g a, exp_above A tab p' (argument m e g) = Some a ->
        pow2 p' * exp (- IZR (scaled (to_Z A m) e (to_Z A g)) / u) <= IZR (to_Z A a)).
      { intros g a H. rewrite Htab in H. apply (exp_above_correct A law) in H. unfold argument in H.
        rewrite (sub_law A law), (to_Z_zero A law), times_2_correct, Z.sub_0_l, opp_IZR in H. exact H. }
      intros t Ht. unfold G, term_at. destruct (Nat.ltb_spec t (n_far tm)) as [H|H].
      - destruct (Nat.eqb_spec (n_far tm) 0); [lia|]. apply HE. unfold x in Ef. exact Ef.
      - apply HE. pose proof (forall2_nth _ (argument m e zero) zero _ _ Ees (t - n_far tm)) as K. unfold xs in K.
        rewrite map_length, map_nth in K. apply K. lia.
    Qed.

    Lemma rows_dominated R found : (forall r, In r R -> length r = S (y - n_far tm)) ->
      Forall2 (fun r x => row_moment m e (n_far tm) (far tm) r = Some x) R found ->
      exists es, map pair_Z (map fst found) = map (halves y) es /\ length es = length R /\
        dominated y u (map (fun x => pow2 (snd x)) found) (map (fun r t => scaled (to_Z A m) e (G r t)) R) es.
    Proof.
      intros HR H. induction H as [|r [h p] R found H _ IH]; [exists []; repeat split|].
      destruct IH as (es & E & L & D); [intros; apply HR; now right|].
      destruct (row_moment_correct r h p (HR r (or_introl eq_refl)) H) as (f & Hf & Hb). exists (f :: es).
      cbn [map fst length dominated snd]. rewrite E, L. repeat split; auto; [now f_equal|apply pow2_positive].
    Qed.

    Lemma prodR_powers (found : list ((T * T) * Z)) p :
      prodR (map (fun x => pow2 (snd x)) found) * pow2 p = pow2 (fold_right (fun a s => snd a + s)%Z p found).
    Proof.
      unfold prodR in *. induction found as [|x found IH]; cbn [map fold_right]; [ring|]. rewrite pow2_add, <- IH. ring.
    Qed.

    Theorem moment_of_correct z : moment_of n pooled q y m e tm = Some z -> (2 ^ UNIT * failures <= z)%Z.
    Proof.
      unfold moment_of. destruct (all_some _) as [found|] eqn:Ef; [|discriminate].
      set (x := times_2 m e _). set (p := power_for _).
      destruct (exp_above A tab p x) as [last|] eqn:El; [|discriminate].
      intros <-%some_is. apply all_some_map, (spread_forall2 _ pooled n) in Ef.
      set (R := spread pooled n (near tm)) in *.
      set (rows := spread pooled n found) in *.
      destruct (rows_dominated R rows spread_rows Ef) as (es & E & L & D). destruct Hnear as [Hn _]. fold R in Hn.
      rewrite Htab in El. apply (exp_above_correct A law) in El.
      pose proof (moment_bound q y v u ltac:(now apply IZR_lt) _ _ es (pow2 p) (to_Z A x) (to_Z A last) bad D
        (conj (pow2_positive p) El)) as B. rewrite L, Hn in B.
      specialize (B (fun s Hs Hin Hbad => scaled_sums m e s Hm Hs Hin Hbad) Hqy Hy). rewrite prodR_powers, <- E in B.
      set (P := fold_right _ p rows) in *. fold failures in B. set (W := mul A _ last).
      assert (HW : to_Z A W = (stratum_sum q y (map pair_Z (map fst rows)) * to_Z A last)%Z).
      { unfold W, stratum_sum. rewrite (mul_law A law), (passed_correct _ (fun a => a)) by reflexivity.
        now rewrite reduced_pass_id, !start_correct. }
      rewrite <- HW in B. pose proof (val_shift A law W (UNIT - P)) as [_ S]. unfold val in S.
      assert (E2 : IZR (2 ^ UNIT) = pow2 P * pow2 (UNIT - P)).
      { rewrite <- pow2_add, Zplus_minus. symmetry. now apply pow2_IZR. }
      pose proof (pow2_positive (UNIT - P)). apply Rmult_le_compat_r with (r := pow2 (UNIT - P)) in B; [|lra].
      apply le_IZR. rewrite mult_IZR, plus_IZR, E2. lra.
    Qed.
  End Moments.

  Section Counts.
    Variables (m : T) (e slot cells : Z).
    Hypotheses (Hm : 0 <= to_Z A m) (Hslot : 0 < slot) (room : Z.of_nat v ^ Z.of_nat n < 2 ^ slot - 1).
    Notation least r := (to_Z A (least_number m e (n_far tm) (far tm) r)).
    Let R := spread pooled n (near tm).
    Let number r t := scaled (to_Z A m) e (G r t) - least r.

    Lemma least_le r t : length r = S (y - n_far tm) -> (t <= y)%nat -> 0 <= number r t.
    Proof.
      intros L Ht. unfold number, least_number. set (x := times_2 m e _).
      assert (H : forall l a, let z := to_Z A (fold_left (fun a g => smaller A a (times_2 m e g)) l a) in
        z <= to_Z A a /\ forall g, In g l -> z <= to_Z A (times_2 m e g)).
      { induction l as [|g l IH]; intros a; cbv zeta in *; cbn [fold_left]; [split; [lia|intros g []]|].
        destruct (IH (smaller A a (times_2 m e g))) as [H1 H2].
        pose proof (smaller_le A law a (times_2 m e g)). split; [lia|]. intros h [<-|Hh]; [lia|auto]. }
      destruct (H r x) as [H1 H2]. cbv zeta in H1, H2. unfold G, term_at.
      destruct (Nat.ltb_spec t (n_far tm)) as [Hf|Hf].
      - assert (Ex : x = times_2 m e (far tm)) by (unfold x; destruct (Nat.eqb_spec (n_far tm) 0); [lia|reflexivity]).
        rewrite Ex in H1 at 2. rewrite <- times_2_correct. lia.
      - specialize (H2 (nth (t - n_far tm) r zero) ltac:(apply nth_In; lia)). rewrite <- times_2_correct. lia.
    Qed.

    Lemma total_minus (a : row -> nat -> Z) l rows : forall s, length s = length rows ->
      total (map (fun r t => a r t - l r) rows) s = total (map a rows) s - fold_right (fun r z => l r + z) 0 rows.
    Proof.
      induction rows as [|r rows IH]; intros [|t s] L; try discriminate; [reflexivity|]. cbn [map total fold_right].
      rewrite IH by now injection L. lia.
    Qed.

    Let sum_least := fold_right (fun r s => add A (least_number m e (n_far tm) (far tm) r) s) zero R.
    Let budget := sub A (times_2 m e (sub A zero (own tm))) sum_least.
    Let b := to_Z A budget.

    Lemma few_if_bad s : In s (sequences n v) -> in_stratum q y s = true -> bad s = true ->
      0 <= total (map number R) s <= b.
    Proof.
      intros Hs Hin Hbad. destruct Hnear as [Hn _]. fold R in Hn. split.
      - apply (total_nonneg y); [|now apply (stratum_upto q y)]. apply Forall_map, Forall_forall. intros r Hr t Ht.
        apply least_le; [now apply spread_rows|exact Ht].
      - pose proof (scaled_sums m e s Hm Hs Hin Hbad) as H. fold R in H. unfold number.
        rewrite total_minus by (apply in_sequences in Hs; lia). unfold b, budget. rewrite (sub_law A law).
        assert (to_Z A sum_least = fold_right (fun r z => least r + z) 0 R) as ->; [|lia].
        unfold sum_least. generalize R. intros l.
        induction l as [|r l IH]; cbn [fold_right]; [apply (to_Z_zero A law)|].
        now rewrite (add_law A law), IH.
    Qed.

    Lemma residue_correct w x : 0 <= w -> to_Z A (residue w x) = to_Z A x mod 2 ^ w.
    Proof.
      intros Hw. unfold residue. rewrite (sub_law A law), !(shift_law A law), Z.shiftl_opp_r, Z.shiftr_div_pow2,
        Z.shiftl_mul_pow2 by exact Hw. assert (2 ^ w <> 0) by (apply Z.pow_nonzero; lia).
      pose proof (Z.div_mod (to_Z A x) (2 ^ w)). lia.
    Qed.

    Lemma fold_digits_correct k : forall d x, 0 <= d ->
      congruent (2 ^ slot - 1) (to_Z A (fold_digits k slot d x)) (to_Z A x).
    Proof.
      induction k as [|k IH]; intros d x Hd; cbn [fold_digits]; [apply congruent_refl|]. cbv zeta.
      assert (Hh : 0 <= (d + 1) / 2) by (apply Z.div_pos; lia). set (h := (d + 1) / 2) in *.
      eapply congruent_trans; [apply IH, Hh|]. rewrite (add_law A law), residue_correct, (shift_law A law),
        Z.shiftl_opp_r, Z.shiftr_div_pow2 by lia. rewrite Z.pow_mul_r by lia. set (X := 2 ^ slot).
      set (z := to_Z A x). assert (X ^ h <> 0) by (apply Z.pow_nonzero; [apply Z.pow_nonzero; lia|exact Hh]).
      pose proof (Z.div_mod z (X ^ h) H) as E. rewrite E at 3. apply congruent_add; [|apply congruent_refl].
      rewrite <- (Z.mul_1_l (z / X ^ h)) at 1. apply congruent_mul; [|apply congruent_refl].
      destruct (power_congruent X h Hh) as [c Hc]. exists (- c). lia.
    Qed.

    Lemma row_powers_correct r : length r = S (y - n_far tm) ->
      pair_Z (row_powers m e (n_far tm) (far tm) slot budget r) = halves y (fun t => monomial slot b (number r t)).
    Proof.
      intros L. unfold row_powers. set (l := least_number _ _ _ _ _). rewrite (row_halves_correct _ _ _ y Hfar)
        by now rewrite map_length. apply halves_ext. intros t Ht.
      rewrite (term_at_map (power_of m e slot budget l) (far tm)).
      - pose proof (least_le r t L Ht) as H0. unfold power_of, monomial. set (g := term_at A _ _ r t).
        assert (En : to_Z A (sub A (times_2 m e g) l) = number r t)
          by (rewrite (sub_law A law), times_2_correct; reflexivity).
        rewrite (leb_law A law), En. fold b. destruct (number r t <=? b); [|apply (to_Z_zero A law)].
        rewrite (shift_law A law), (of_Z_law A law), Z.shiftl_1_l. apply Z.pow_mul_r; lia.
      - rewrite L. lia.
      - intros H. destruct (Nat.eqb_spec (n_far tm) 0); [lia|reflexivity].
    Qed.

    Theorem counted_correct z : counted_sequences n pooled slot cells q y m e tm = Some z -> failures <= z.
    Proof.
      unfold counted_sequences. fold R. fold sum_least. fold budget. fold b. destruct (Z.ltb_spec b 0) as [Hb|Hb].
      - intros <-%some_is. unfold failures. rewrite count_over, (over_ext _ _ (fun _ => 0 * 0)), over_scale; [lia|].
        intros s Hs. destruct (in_stratum q y s) eqn:Hin; [|reflexivity]. destruct (bad s) eqn:Hbad; [|reflexivity].
        pose proof (few_if_bad s Hs Hin Hbad). lia.
      - destruct (cells <=? b); [discriminate|]. intros <-%some_is.
        assert (Hm1 : 2 ^ slot - 1 <> 0) by (assert (0 <= Z.of_nat v ^ Z.of_nat n) by (apply Z.pow_nonneg; lia); lia).
        rewrite <- Z.mod_eq by assumption. destruct Hnear as [Hn _]. fold R in Hn.
        set (w := slot * (b + 1)). set (rows := spread _ _ _). assert (Hw : 0 <= w) by (unfold w; lia).
        assert (Hrows : map pair_Z rows = map (halves y) (map (fun f t => monomial slot b (f t)) (map number R))).
        { unfold rows. rewrite spread_map. fold R. rewrite !map_map. apply map_ext_in. intros r Hr.
          apply row_powers_correct. now apply spread_rows. }
        assert (Hns : nonneg y (map number R)).
        { apply Forall_map, Forall_forall. intros r Hr t Ht. apply least_le; [now apply spread_rows|exact Ht]. }
        assert (HL : length (map number R) = n) by now rewrite map_length.
        erewrite <- (grid_count q y v slot b);
          [|lia|exact Hb|exact Hns|unfold holds; now rewrite HL|exact Hqy|exact Hy|].
        + rewrite HL. unfold failures. rewrite !count_over. apply over_le. intros s Hs. unfold few.
          destruct (in_stratum q y s) eqn:Hin; [|reflexivity]. destruct (bad s) eqn:Hbad; cbn [andb one].
          * pose proof (few_if_bad s Hs Hin Hbad) as [_ H]. apply Z.leb_le in H. now rewrite H.
          * destruct (_ <=? _); cbn; lia.
        + eapply congruent_trans; [apply fold_digits_correct; lia|]. unfold found. rewrite residue_correct by exact Hw.
          rewrite (passed_correct _ (fun a => a mod (2 ^ slot) ^ (b + 1))).
          * rewrite Hrows, !start_correct. unfold w. rewrite Z.pow_mul_r by lia. apply congruent_refl.
          * intros a. rewrite residue_correct by exact Hw. unfold w. now rewrite Z.pow_mul_r by lia.
    Qed.
  End Counts.
End Stratum.

Theorem moment_correct {T} (A : integers T) tab : lawful A -> forall v n pooled q y (tm : terms (T := T)) bad,
  (q <= y)%nat -> (y < v)%nat -> (n_far tm <= y)%nat ->
  (length (spread pooled n (near tm)) = n /\
    forall i, (i < n)%nat -> length (nth i (spread pooled n (near tm)) []) = S (y - n_far tm)) ->
  (forall s, In s (sequences n v) -> in_stratum q y s = true -> bad s = true ->
    total (functions A n pooled tm) s + to_Z A (own tm) <= 0) ->
  forall m e, 0 <= to_Z A m -> tab = exp_tables A ->
  forall z, moment A tab n pooled q y m e tm = Some z -> 2 ^ UNIT * failures v n q y bad <= z.
Proof.
  intros law v n pooled q y tm bad Hqy Hy Hfar Hnear sums m e Hm Htab z. unfold moment, terms_read.
  destruct (Nat.eqb_spec n 1) as [->|]; [|intros H; now apply (moment_of_correct A tab law v) with (bad := bad) in H].
  destruct (Nat.eqb_spec q y) as [E|E]; cbn [negb andb];
    [intros H; now apply (moment_of_correct A tab law v) with (bad := bad) in H|].
  set (g r := repeat (nth (y - n_far tm) r (zero A)) (S y)). destruct Hnear as [L _].
  assert (One : exists r, spread pooled 1 (near tm) = [r] /\ spread pooled 1 (map g (near tm)) = [g r]).
  { destruct pooled; cbn [spread] in *; destruct (near tm) as [|r [|r2 l]]; try discriminate; now exists r. }
  destruct One as (r & R1 & R2). intros H. apply (moment_of_correct A tab law v) with (bad := bad) in H; auto;
    cbn [n_far far near own].
  - lia.
  - rewrite R2. split; [reflexivity|]. intros [|i] Hi; [|lia]. unfold g. cbn [nth]. rewrite repeat_length. lia.
  - intros s Hs Hin Hbad. specialize (sums s Hs Hin Hbad). unfold functions in *. cbn [n_far far near own] in *.
    rewrite R1 in sums. rewrite R2. pose proof (proj1 (in_sequences _ _ _) Hs) as [Ls _].
    destruct s as [|t [|]]; try discriminate. unfold in_stratum in Hin. apply andb_true_iff in Hin as [_ Hin].
    apply belongs_spec in Hin as [_ [Hq|[->|[]]]]; [apply Nat.eqb_eq in Hq; contradiction|].
    cbn [map total] in *. unfold term_at in *. destruct (Nat.ltb_spec y (n_far tm)); [lia|].
    destruct (Nat.ltb_spec y 0); [lia|]. unfold g.
    rewrite (nth_indep _ (zero A) (nth (y - n_far tm) r (zero A))), nth_repeat by (rewrite repeat_length; lia).
    exact sums.
Qed.
