(** * Enclosed exponentials

    Arguments are integers in units of 2^-FINE, of either sign. With the tables of [exp_tables], computed once,

        IZR (exp_below n) <= 2^p exp(n / 2^FINE) <= IZR (exp_above n)      for every integer p,

    both within a share of 2^-44 and one unit if |n / 2^FINE| <= 1024. Beyond that range [exp_below] is 0 and
    [exp_above] is [None] on the right, the value at -1024 on the left.

    With n / 2^FINE + 1024 in binary, the exponential is the product of entries of three tables and a rest:

        e^(-1024 + d0)  e^(d1 / 2^12)  e^(d2 / 2^24)  e^s,    d0 < 2^11, d1, d2 < 2^12, 0 <= s < 2^-24.

    A table is a search tree; its entries are products of the numbers e^(2^i), which come from repeated squaring of e^y
    for y = 2^-128 and y = -2^-128. These two and the rest are bounded by 1 + y <= e^y <= 1 + y + 2 y^2. Everything is
    rounded to one side.

    Source: `pessimal.arithmetic.exponential`, without the logarithm of two.

    Contents:
      side — bounds from one side; number — mantissa and exponent; product, squares — rounded to one side.
      build, search — tables.
      exp_tables, exp_below, exp_above — the functions; exp_below_correct, exp_above_correct, exp_above_found. *)

From Coq Require Import ZArith Reals List Bool Lra Lia.
From Pessimal Require Import RealExponential Integers.
Import ListNotations.
Open Scope Z_scope.

Definition FINE : Z := 50.
(* Bits of mantissas while squaring, and in the tables. *)
Definition LONG : Z := 256.
Definition SHORT : Z := 60.
Definition SEED : Z := 128.

(** Search tree: [at_most] has the largest argument of the table up to the one looked for, and what it holds. *)
Inductive tree (T X : Type) := leaf (base : T) (x : X) | node (middle : T) (l r : tree T X).
Arguments leaf {T X}. Arguments node {T X}.

(** Tables of one side: three digits, e^-1024, and 1 in units of 2^-FINE with an allowance for 2 s^2. *)
Record table (T : Type) := {
  first : tree T (T * Z); second : tree T T; third : tree T T; least : T * Z; unit : T
}.
Arguments first {T}. Arguments second {T}. Arguments third {T}. Arguments least {T}. Arguments unit {T}.

Record tables (T : Type) := { above : table T; below : table T; offset : T; limit : T; zero : T; one : T }.
Arguments above {T}. Arguments below {T}. Arguments offset {T}. Arguments limit {T}. Arguments zero {T}.
Arguments one {T}.

Section Exponential.
  Context {T : Type} (A : integers T).

  (** Mantissa m and exponent e: the number m 2^e. *)
  Notation number := (T * Z)%type.

  (** Shifted and rounded, up or down. *)
  Definition rounded (up : bool) (one : T) (x : T) (s : Z) : T :=
    if up then add A (shift A x s) one else shift A x s.

  (** [top] is 2^(2b + 1): products of mantissas of b + 1 bits have b + 1 bits again. *)
  Definition product (up : bool) (one top : T) (b : Z) (x y : number) : number :=
    let m := mul A (fst x) (fst y) in
    let s := if leb A top m then b + 1 else b in
    (rounded up one m (- s), snd x + snd y + s).

  Fixpoint squares (up : bool) (one top : T) (b : Z) (n : nat) (x : number) : list number :=
    match n with O => [] | S n' => x :: squares up one top b n' (product up one top b x x) end.

  Definition shortened (up : bool) (one : T) (x : number) : number :=
    (rounded up one (fst x) (SHORT - LONG), snd x + (LONG - SHORT)).

  Definition seed (up : bool) (sign e : Z) : number :=
    (of_Z A (2 ^ e + sign * 2 ^ (e - SEED) + (if up then 2 ^ (e - SEED - SEED + 1) else 0)), (- e)).

  (** e^(sign 2^(i - SEED)) for i = 0, 1, ..., 138. *)
  Definition powers (up : bool) (sign e : Z) : list number :=
    let one := of_Z A 1 in
    map (shortened up one) (squares up one (of_Z A (2 ^ (2 * LONG + 1))) LONG 139 (seed up sign e)).

  (** n binary digits from 2^low on, the highest first, in units of 2^-FINE, with their exponentials from l. *)
  Fixpoint digits (l : list number) (low : Z) (n : nat) : list (T * number) :=
    match n with
    | O => []
    | S n' => let i := low + Z.of_nat n' in
        (of_Z A (2 ^ (FINE + i)), nth (Z.to_nat (SEED + i)) l (of_Z A 0, 0)) :: digits l low n'
    end.

  (** All sums of such digits from [base] on, with the product of c and their exponentials. *)
  Fixpoint build {X} (finish : number -> X) (times : number -> number -> number) (l : list (T * number)) (base : T)
    (c : number) : tree T X :=
    match l with
    | [] => leaf base (finish c)
    | (w, x) :: l' =>
        node (add A base w) (build finish times l' base c) (build finish times l' (add A base w) (times c x))
    end.

  Fixpoint search {X} (t : tree T X) (n : T) : T * X :=
    match t with
    | leaf base x => (base, x)
    | node m l r => if leb A m n then search r n else search l n
    end.

  Definition exp_table (up : bool) : table T :=
    let one := of_Z A 1 in let zero := of_Z A 0 in
    let times := product up one (of_Z A (2 ^ (2 * SHORT + 1))) SHORT in
    let l := powers up 1 LONG in
    let lowest := nth 138 (powers up (-1) (LONG + 1)) (zero, 0) in
    let start := (of_Z A (2 ^ SHORT), - SHORT) in
    let fixed x := rounded up one (fst x) (snd x + SHORT) in
    {| first := build (fun x => (fst x, snd x - SHORT - SHORT - FINE)) times (digits l 0 11) zero lowest;
       second := build fixed times (digits l (-12) 12) zero start;
       third := build fixed times (digits l (-24) 12) zero start;
       least := lowest; unit := of_Z A (2 ^ FINE + (if up then 8 else 0)) |}.

  Definition exp_tables : tables T :=
    {| above := exp_table true; below := exp_table false; offset := of_Z A (2 ^ (FINE + 10));
       limit := of_Z A (2 ^ (FINE + 11)); zero := of_Z A 0; one := of_Z A 1 |}.

  (** Bound of e^(n / 2^FINE - 1024) for 0 <= n < 2^(FINE + 11). *)
  Definition looked_up (tab : table T) (n : T) : number :=
    let (b0, x0) := search (first tab) n in
    let n1 := sub A n b0 in
    let (b1, x1) := search (second tab) n1 in
    let n2 := sub A n1 b1 in
    let (b2, x2) := search (third tab) n2 in
    (mul A (mul A x1 x2) (mul A (fst x0) (add A (sub A n2 b2) (unit tab))), snd x0).

  Definition exp_below (tab : tables T) (p : Z) (n : T) : T :=
    let n' := add A n (offset tab) in
    if leb A (zero tab) n' then
      if leb A (limit tab) n' then zero tab
      else let x := looked_up (below tab) n' in shift A (fst x) (p + snd x)
    else zero tab.

  Definition exp_above (tab : tables T) (p : Z) (n : T) : option T :=
    let n' := add A n (offset tab) in
    if leb A (limit tab) n' then None
    else let x := if leb A (zero tab) n' then looked_up (above tab) n' else least (above tab) in
      Some (add A (shift A (fst x) (p + snd x)) (one tab)).

  (** ** Proofs *)

  Open Scope R_scope.
  Hypothesis law : lawful A.
  Notation val := (val A).
  Notation argument n := (IZR n / IZR (2 ^ FINE)).
  Definition value (x : number) : R := val (fst x) * pow2 (snd x).

  (** a bounds x from above or from below. *)
  Definition side (up : bool) (a x : R) : Prop := 0 <= a /\ 0 <= x /\ if up then x <= a else a <= x.

  Lemma side_mul up a x b y : side up a x -> side up b y -> side up (a * b) (x * y).
  Proof.
    intros (Ha & Hx & H) (Hb & Hy & G). repeat split; try now apply Rmult_le_pos.
    destruct up; apply Rmult_le_compat; assumption.
  Qed.

  Lemma side_rounded up x s e r : side up (val x * pow2 e) r ->
    side up (val (rounded up (of_Z A 1) x s) * pow2 (e - s)) r.
  Proof.
    intros (Hx & Hr & H). pose proof (val_shift A law x s) as [F1 F2]. pose proof (pow2_positive e) as Pe.
    pose proof (pow2_positive (e - s)) as P. pose proof (pow2_positive s) as Ps.
    assert (E : pow2 e = pow2 s * pow2 (e - s)) by (rewrite <- pow2_add; f_equal; lia).
    assert (Hv : 0 <= val x) by (apply Rmult_le_reg_r with (pow2 e); lra).
    assert (Hs : 0 <= val (shift A x s)).
    { unfold Integers.val in *. rewrite shift_law in * by exact law. apply IZR_le, Z.shiftl_nonneg. now apply le_IZR. }
    rewrite E, <- Rmult_assoc in H. unfold rounded. destruct up; [rewrite val_add, val_of by exact law|];
      (repeat split; [apply Rmult_le_pos; lra|exact Hr|nra]).
  Qed.

  Lemma side_product up b x y r s : side up (value x) r -> side up (value y) s ->
    forall top, side up (value (product up (of_Z A 1) top b x y)) (r * s).
  Proof.
    intros Hx Hy top. unfold product, value in *. set (t := if leb A _ _ then _ else _). cbn [fst snd].
    replace (snd x + snd y + t)%Z with (snd x + snd y - - t)%Z by lia. apply side_rounded.
    rewrite val_mul, pow2_add by exact law.
    replace (_ * _ * (_ * _)) with (val (fst x) * pow2 (snd x) * (val (fst y) * pow2 (snd y))) by ring.
    now apply side_mul.
  Qed.

  (** Members of l bound e^(c 2^z), e^(c 2^(z+1)), ... *)
  Fixpoint doubling (up : bool) (c : R) (z : Z) (l : list number) : Prop :=
    match l with [] => True | x :: l' => side up (value x) (exp (c * pow2 z)) /\ doubling up c (z + 1) l' end.

  Lemma squares_doubling up top b c n : forall x z, side up (value x) (exp (c * pow2 z)) ->
    doubling up c z (squares up (of_Z A 1) top b n x).
  Proof.
    induction n as [|n IH]; intros x z H; cbn [squares doubling]; [exact I|]. split; [exact H|]. apply IH.
    replace (exp (c * pow2 (z + 1))) with (exp (c * pow2 z) * exp (c * pow2 z)).
    - now apply side_product.
    - rewrite <- exp_plus, pow2_add. f_equal. change (pow2 1) with (2 * 1). ring.
  Qed.

  Lemma doubling_map up c f : (forall x r, side up (value x) r -> side up (value (f x)) r) ->
    forall l z, doubling up c z l -> doubling up c z (map f l).
  Proof. intros H. induction l as [|x l IH]; cbn; intros z G; [exact I|]. destruct G. auto. Qed.

  Lemma doubling_skipn up c k : forall l z, doubling up c z l -> doubling up c (z + Z.of_nat k) (skipn k l).
  Proof.
    induction k as [|k IH]; intros l z H; [now rewrite Z.add_0_r|]. destruct l as [|x l]; [exact I|]. cbn [skipn].
    destruct H as [_ H]. apply IH in H. now replace (z + Z.of_nat (S k))%Z with (z + 1 + Z.of_nat k)%Z by lia.
  Qed.

  Lemma doubling_firstn up c k : forall l z, doubling up c z l -> doubling up c z (firstn k l).
  Proof. induction k as [|k IH]; intros [|x l] z H; cbn; try exact I. destruct H. auto. Qed.

  Lemma around_one y : y <= 1 / 2 -> 1 + y <= exp y <= 1 + y + 2 * y * y.
  Proof.
    intros H. split; [apply exp_line|]. pose proof (exp_line (- y)) as G. pose proof (exp_pos y) as P.
    assert (E : exp y * exp (- y) = 1) by (rewrite <- exp_plus, Rplus_opp_r; apply exp_0).
    apply Rmult_le_reg_r with (exp (- y)); [apply exp_pos|]. rewrite E.
    assert (0 <= 1 + y + 2 * y * y) by nra. nra.
  Qed.

  Lemma seed_correct up sign e : (LONG <= e)%Z -> (sign = 1 \/ sign = -1)%Z ->
    side up (value (seed up sign e)) (exp (IZR sign * pow2 (- SEED))).
  Proof.
    intros He Hs. unfold seed, value. cbn [fst snd]. rewrite val_of by exact law. set (y := pow2 (- SEED)).
    assert (Hy : 0 < y <= 1 / 2).
    { split; [apply pow2_positive|]. unfold y. replace (1 / 2) with (pow2 (-1)) by (unfold pow2; simpl; field).
      replace (- SEED)%Z with (-127 + -1)%Z by reflexivity. rewrite pow2_add.
      pose proof (pow2_positive (-1)). enough (pow2 (-127) <= 1) by nra.
      pose proof (pow2_inverse 127) as I. rewrite (pow2_IZR 127) in I by lia. change (- (127))%Z with (-127)%Z in I.
      assert (1 <= IZR (2 ^ 127)) by (apply IZR_le; lia). pose proof (pow2_positive (-127)). nra. }
    assert (E : forall f, (0 <= e - f)%Z -> IZR (2 ^ (e - f)) * pow2 (- e) = pow2 (- f)).
    { intros f Hf. rewrite <- pow2_IZR, <- pow2_add by exact Hf. f_equal. lia. }
    assert (E0 : IZR (2 ^ e) * pow2 (- e) = 1)
      by (rewrite <- (Z.sub_0_r e) at 1; rewrite E; [reflexivity|unfold LONG in *; lia]).
    assert (E1 : IZR (2 ^ (e - SEED)) * pow2 (- e) = y) by (apply E; unfold LONG, SEED in *; lia).
    assert (E2 : IZR (2 ^ (e - SEED - SEED + 1)) * pow2 (- e) = 2 * y * y).
    { replace (e - SEED - SEED + 1)%Z with (e - (SEED + SEED - 1))%Z by lia. rewrite E by (unfold LONG, SEED in *; lia).
      replace (- (SEED + SEED - 1))%Z with (1 + - SEED + - SEED)%Z by lia. rewrite !pow2_add. unfold y.
      change (pow2 1) with (2 * 1). ring. }
    assert (Hz : -1 <= IZR sign <= 1) by (destruct Hs as [-> | ->]; lra).
    assert (H1 : IZR sign * IZR sign = 1) by (destruct Hs as [-> | ->]; lra).
    pose proof (around_one (IZR sign * y) ltac:(nra)) as G.
    rewrite !plus_IZR, mult_IZR, !Rmult_plus_distr_r, (Rmult_assoc (IZR sign)), E0, E1.
    replace (IZR (if up then 2 ^ (e - SEED - SEED + 1) else 0) * pow2 (- e)) with (if up then 2 * y * y else 0)
      by (destruct up; [now rewrite E2|ring]).
    unfold side. replace (2 * (IZR sign * y) * (IZR sign * y)) with (2 * y * y * (IZR sign * IZR sign)) in G by ring.
    rewrite H1 in G. pose proof (exp_pos (IZR sign * y)). destruct up; repeat split; nra.
  Qed.

  Lemma powers_correct up sign e : (LONG <= e)%Z -> (sign = 1 \/ sign = -1)%Z ->
    doubling up (IZR sign) (- SEED) (powers up sign e).
  Proof.
    intros He Hs. unfold powers. cbv zeta. apply doubling_map.
    - intros x r H. unfold shortened, value. cbn [fst snd].
      replace (snd x + (LONG - SHORT))%Z with (snd x - (SHORT - LONG))%Z by lia. now apply side_rounded.
    - apply squares_doubling. now apply seed_correct.
  Qed.

  Lemma doubling_nth up c d k : forall l z, doubling up c z l -> (k < length l)%nat ->
    side up (value (nth k l d)) (exp (c * pow2 (z + Z.of_nat k))).
  Proof.
    induction k as [|k IH]; intros [|x l] z H Hk; cbn in Hk; try lia; destruct H as [Hx H].
    - now rewrite Z.add_0_r.
    - replace (z + Z.of_nat (S k))%Z with (z + 1 + Z.of_nat k)%Z by lia. apply IH; [exact H|lia].
  Qed.

  Lemma squares_length up o top b n : forall x, length (squares up o top b n x) = n.
  Proof. induction n; intros; cbn; auto. Qed.

  Lemma powers_length up sign e : length (powers up sign e) = 139%nat.
  Proof. unfold powers. now rewrite map_length, squares_length. Qed.

  Lemma argument_power i : (0 <= FINE + i)%Z -> argument (2 ^ (FINE + i)) = pow2 i.
  Proof.
    intros H. rewrite <- !pow2_IZR, pow2_add by (exact H || (unfold FINE; lia)).
    pose proof (pow2_positive FINE). field. lra.
  Qed.

  Lemma argument_add m n : argument (m + n) = argument m + argument n.
  Proof. rewrite plus_IZR. unfold Rdiv. ring. Qed.

  (** Digits worth 2^(z-1), 2^(z-2), ... units, with their exponentials. *)
  Fixpoint halving (up : bool) (z : Z) (l : list (T * number)) : Prop :=
    match l with
    | [] => True
    | (w, x) :: l' => to_Z A w = (2 ^ (z - 1))%Z /\ side up (value x) (exp (argument (2 ^ (z - 1)))) /\
        halving up (z - 1) l'
    end.

  Lemma digits_correct up low n : (0 <= FINE + low)%Z -> (low + Z.of_nat n <= 11)%Z ->
    halving up (FINE + low + Z.of_nat n) (digits (powers up 1 LONG) low n).
  Proof.
    intros Hl. induction n as [|n IH]; intros Hn; cbn [digits halving]; [exact I|].
    replace (FINE + low + Z.of_nat (S n) - 1)%Z with (FINE + (low + Z.of_nat n))%Z by lia.
    rewrite of_Z_law by exact law. split; [reflexivity|]. split.
    - rewrite argument_power by lia.
      pose proof (doubling_nth up 1 (of_Z A 0, 0%Z) (Z.to_nat (SEED + (low + Z.of_nat n))) _ _
        (powers_correct up 1 LONG ltac:(lia) ltac:(lia))) as H.
      rewrite powers_length, Z2Nat.id, Rmult_1_l in H by (unfold SEED, FINE in *; lia).
      replace (- SEED + (SEED + (low + Z.of_nat n)))%Z with (low + Z.of_nat n)%Z in H by lia.
      apply H. unfold SEED, FINE in *. lia.
    - replace (FINE + (low + Z.of_nat n))%Z with (FINE + low + Z.of_nat n)%Z by lia. apply IH. lia.
  Qed.

  (** What a table finds for n: the digits of n above the last of its units, and a bound of their exponential. *)
  Lemma search_correct {X} (holds : X -> R -> Prop) (finish : number -> X) up top b n a :
    (forall x r, side up (value x) r -> holds (finish x) r) ->
    forall l z base c, halving up z l -> (Z.of_nat (length l) <= z)%Z ->
      side up (value c) (exp (a + argument (to_Z A base))) -> (0 <= to_Z A n - to_Z A base < 2 ^ z)%Z ->
      let (found, x) := search (build finish (product up (of_Z A 1) top b) l base c) n in
      (0 <= to_Z A n - to_Z A found < 2 ^ (z - Z.of_nat (length l)))%Z /\
      holds x (exp (a + argument (to_Z A found))).
  Proof.
    intros Hf. induction l as [|[w x] l IH]; intros z base c Hl Hz Hc Hn; cbn [build search].
    - cbn [length]. rewrite Z.sub_0_r. auto.
    - destruct Hl as (Hw & Hx & Hl). cbn [length] in *. rewrite Nat2Z.inj_succ in *.
      assert (E : (2 ^ z = 2 * 2 ^ (z - 1))%Z) by (rewrite <- Z.pow_succ_r by lia; f_equal; lia).
      replace (z - Z.succ (Z.of_nat (length l)))%Z with (z - 1 - Z.of_nat (length l))%Z by lia.
      rewrite leb_law, add_law, Hw by exact law.
      destruct (Z.leb_spec (to_Z A base + 2 ^ (z - 1)) (to_Z A n)); apply IH; try exact Hl; try lia.
      + rewrite add_law, Hw, argument_add, <- Rplus_assoc, exp_plus by exact law. now apply side_product.
      + rewrite add_law, Hw by exact law. lia.
      + exact Hc.
  Qed.

  (** Entries that are whole numbers of 2^-SHORT. *)
  Lemma fixed_correct up x r : side up (value x) r ->
    side up (val (rounded up (of_Z A 1) (fst x) (snd x + SHORT)) * pow2 (- SHORT)) r.
  Proof.
    intros H. apply (side_rounded _ _ (snd x + SHORT)) in H. now replace (snd x - _)%Z with (- SHORT)%Z in H by lia.
  Qed.

  Lemma start_correct up : side up (value (of_Z A (2 ^ SHORT), (- SHORT)%Z)) (exp (0 + argument 0)).
  Proof.
    unfold value. cbn [fst snd]. rewrite val_of, <- pow2_IZR, <- pow2_add, Z.add_opp_diag_r by (exact law || easy).
    replace (0 + argument 0) with 0 by (unfold Rdiv; ring). rewrite exp_0. change (pow2 0) with 1.
    destruct up; repeat split; lra.
  Qed.

  Lemma lowest_correct up : side up (value (nth 138 (powers up (-1) (LONG + 1)) (of_Z A 0, 0%Z))) (exp (-1024)).
  Proof.
    pose proof (doubling_nth up (-1) (of_Z A 0, 0%Z) 138 _ _
      (powers_correct up (-1) (LONG + 1) ltac:(lia) ltac:(lia))) as H. rewrite powers_length in H.
    replace (-1024) with (-1 * pow2 (- SEED + Z.of_nat 138)); [apply H; lia|].
    change (- SEED + Z.of_nat 138)%Z with 10%Z. rewrite pow2_IZR by lia. change (2 ^ 10)%Z with 1024%Z. ring.
  Qed.

  Lemma rest_correct up s : (0 <= to_Z A s < 2 ^ (FINE - 24))%Z ->
    side up (val (add A s (unit (exp_table up))) * pow2 (- FINE)) (exp (argument (to_Z A s))).
  Proof.
    intros Hs. cbn [exp_table unit]. rewrite val_add, val_of by exact law. set (x := argument (to_Z A s)).
    assert (P : 0 < IZR (2 ^ FINE)) by (apply IZR_lt; reflexivity).
    assert (I : pow2 (- FINE) = / IZR (2 ^ FINE)).
    { rewrite <- pow2_IZR in * by easy. pose proof (pow2_inverse FINE). field_simplify_eq; lra. }
    assert (Hv : val s = x * IZR (2 ^ FINE)) by (unfold x, Integers.val; field; lra).
    assert (B : 0 <= x < 1 / 16777216).
    { destruct Hs as [H1 H2]. apply IZR_le in H1. apply IZR_lt in H2. fold (val s) in H1, H2. rewrite Hv in H1, H2.
      replace (2 ^ FINE)%Z with (2 ^ (FINE - 24) * 16777216)%Z in H1, H2, P by reflexivity.
      rewrite mult_IZR in H1, H2, P. split; nra. }
    pose proof (around_one x ltac:(lra)) as G. rewrite Hv, I, plus_IZR.
    replace ((x * IZR (2 ^ FINE) + (IZR (2 ^ FINE) + IZR (if up then 8 else 0))) * / IZR (2 ^ FINE))
      with (1 + x + IZR (if up then 8 else 0) * / IZR (2 ^ FINE)) by (field; lra).
    assert (E : 8 * / IZR (2 ^ FINE) = 2 * (1 / 16777216) * (1 / 16777216))
      by (change (2 ^ FINE)%Z with 1125899906842624%Z; field).
    pose proof (exp_pos x). destruct up; [rewrite E|]; repeat split; nra.
  Qed.

  Lemma looked_up_correct up n : (0 <= to_Z A n < 2 ^ (FINE + 11))%Z ->
    side up (value (looked_up (exp_table up) n)) (exp (argument (to_Z A n) - 1024)).
  Proof.
    intros Hn. unfold looked_up. set (t := exp_table up).
    pose proof (of_Z_law A law 0) as Z0.
    pose proof (search_correct (fun x r => side up (val (fst x) * pow2 (snd x + SHORT + SHORT + FINE)) r)
      (fun x => (fst x, snd x - SHORT - SHORT - FINE)%Z) up (of_Z A (2 ^ (2 * SHORT + 1))) SHORT n (-1024)) as S1.
    specialize (S1 ltac:(intros x r H; cbn [fst snd];
      now replace (snd x - SHORT - SHORT - FINE + SHORT + SHORT + FINE)%Z with (snd x) by lia)).
    specialize (S1 _ (FINE + 11)%Z (of_Z A 0) (nth 138 (powers up (-1) (LONG + 1)) (of_Z A 0, 0%Z))
      (digits_correct up 0 11 ltac:(easy) ltac:(easy)) ltac:(easy)).
    rewrite Z0, Z.sub_0_r in S1.
    replace (-1024 + argument 0) with (-1024) in S1 by (unfold Rdiv; ring).
    specialize (S1 (lowest_correct up) ltac:(lia)). change (build _ _ _ _ _) with (first t) in S1.
    destruct (search (first t) n) as [b0 x0]. destruct S1 as [R0 H0].
    assert (S : forall n (low : Z), (low = -12 \/ low = -24)%Z -> (0 <= to_Z A n < 2 ^ (FINE + low + 12))%Z ->
      let (found, x) := search (build (fun x => rounded up (of_Z A 1) (fst x) (snd x + SHORT))
        (product up (of_Z A 1) (of_Z A (2 ^ (2 * SHORT + 1))) SHORT) (digits (powers up 1 LONG) low 12) (of_Z A 0)
        (of_Z A (2 ^ SHORT), (- SHORT)%Z)) n in
      (0 <= to_Z A n - to_Z A found < 2 ^ (FINE + low))%Z /\
      side up (val x * pow2 (- SHORT)) (exp (argument (to_Z A found)))).
    { intros m low Hlow Hm. pose proof (search_correct (fun x r => side up (val x * pow2 (- SHORT)) r)
        (fun x => rounded up (of_Z A 1) (fst x) (snd x + SHORT)) up (of_Z A (2 ^ (2 * SHORT + 1))) SHORT m 0
        (fixed_correct up) (digits (powers up 1 LONG) low 12) (FINE + low + 12) (of_Z A 0)
        (of_Z A (2 ^ SHORT), (- SHORT)%Z) (digits_correct up low 12 ltac:(unfold FINE; lia) ltac:(lia))
        ltac:(change (Z.of_nat (length _)) with 12%Z; unfold FINE; lia)) as G.
      rewrite Z0, Z.sub_0_r in G. specialize (G (start_correct up) Hm). destruct (search _ m) as [found x].
      change (Z.of_nat (length _)) with 12%Z in G. rewrite Z.add_simpl_r in G.
      rewrite Rplus_0_l in G. exact G. }
    specialize (S (sub A n b0)) as S2. specialize (S2 (-12)%Z ltac:(auto)). rewrite sub_law in S2 by exact law.
    specialize (S2 R0). change (build _ _ _ _ _) with (second t) in S2. destruct (search (second t) _) as [b1 x1].
    destruct S2 as [R1 H1].
    specialize (S (sub A (sub A n b0) b1) (-24)%Z ltac:(auto)). rewrite !sub_law in S by exact law.
    specialize (S R1). change (build _ _ _ _ _) with (third t) in S. destruct (search (third t) _) as [b2 x2].
    destruct S as [R2 H2]. pose proof (rest_correct up (sub A (sub A (sub A n b0) b1) b2)) as H3.
    rewrite !sub_law in H3 by exact law. specialize (H3 R2). fold t in H3.
    unfold value. cbn [fst snd]. rewrite !val_mul by exact law.
    replace (argument (to_Z A n) - 1024) with (argument (to_Z A b1) + argument (to_Z A b2) +
      ((-1024 + argument (to_Z A b0)) + argument (to_Z A n - to_Z A b0 - to_Z A b1 - to_Z A b2)))
      by (rewrite !minus_IZR; unfold Rdiv; ring).
    rewrite !exp_plus.
    assert (E : pow2 (snd x0) = pow2 (- SHORT) * pow2 (- SHORT) *
      (pow2 (snd x0 + SHORT + SHORT + FINE) * pow2 (- FINE)))
      by (rewrite <- !pow2_add; f_equal; lia).
    rewrite E.
    replace (val x1 * val x2 * _ * _) with (val x1 * pow2 (- SHORT) * (val x2 * pow2 (- SHORT)) * (val (fst x0) *
      pow2 (snd x0 + SHORT + SHORT + FINE) * (val (add A (sub A (sub A (sub A n b0) b1) b2) (unit t)) * pow2 (- FINE))))
      by ring.
    rewrite exp_plus in H0. apply side_mul; apply side_mul; assumption.
  Qed.

  (** ** What the rest of the development uses *)

  Lemma offset_correct n : to_Z A (add A n (offset exp_tables)) = (to_Z A n + 2 ^ (FINE + 10))%Z.
  Proof. cbn [exp_tables offset]. now rewrite add_law, of_Z_law by exact law. Qed.

  Lemma argument_offset n : argument (n + 2 ^ (FINE + 10)) - 1024 = argument n.
  Proof.
    rewrite argument_add, argument_power by easy. rewrite pow2_IZR by easy. change (2 ^ 10)%Z with 1024%Z. ring.
  Qed.

  Theorem exp_below_correct p n :
    0 <= val (exp_below exp_tables p n) <= pow2 p * exp (IZR (to_Z A n) / IZR (2 ^ FINE)).
  Proof.
    pose proof (pow2_positive p) as P. pose proof (exp_pos (argument (to_Z A n))) as E.
    assert (Z0 : 0 <= val (zero exp_tables) <= pow2 p * exp (argument (to_Z A n))).
    { cbn [exp_tables zero]. rewrite val_of by exact law. split; [lra|]. apply Rmult_le_pos; lra. }
    unfold exp_below. cbv zeta. set (n' := add A n _). pose proof (offset_correct n) as N. fold n' in N.
    destruct (leb A _ n') eqn:L0; [|exact Z0]. destruct (leb A (limit _) n') eqn:L1; [exact Z0|].
    rewrite leb_law in L0, L1 by exact law. cbn [exp_tables zero limit] in L0, L1.
    rewrite of_Z_law in L0, L1 by exact law. apply Z.leb_le in L0. apply Z.leb_gt in L1.
    destruct (looked_up_correct false n' (conj L0 L1)) as (H0 & _ & H1). rewrite N, argument_offset in H1.
    change (below exp_tables) with (exp_table false). set (x := looked_up _ _) in *. clearbody x.
    unfold value in H0, H1.
    pose proof (val_shift A law (fst x) (p + snd x)) as [F _]. rewrite pow2_add in F. split.
    - unfold Integers.val. rewrite shift_law by exact law. apply IZR_le, Z.shiftl_nonneg.
      pose proof (pow2_positive (snd x)). apply le_IZR. fold (val (fst x)).
      apply Rmult_le_reg_r with (pow2 (snd x)); lra.
    - apply Rle_trans with (1 := F).
      replace (val (fst x) * (pow2 p * pow2 (snd x))) with (pow2 p * (val (fst x) * pow2 (snd x))) by ring.
      apply Rmult_le_compat_l; [lra|exact H1].
  Qed.

  Theorem exp_above_correct p n e : exp_above exp_tables p n = Some e ->
    pow2 p * exp (IZR (to_Z A n) / IZR (2 ^ FINE)) <= val e.
  Proof.
    pose proof (pow2_positive p) as P. unfold exp_above. cbv zeta. set (n' := add A n _).
    pose proof (offset_correct n) as N. fold n' in N. destruct (leb A (limit _) n') eqn:L1; [discriminate|].
    set (x := if leb A _ _ then _ else _). assert (H : exp (argument (to_Z A n)) <= value x).
    { rewrite leb_law in L1 by exact law. cbn [exp_tables limit] in L1. rewrite of_Z_law in L1 by exact law.
      apply Z.leb_gt in L1. destruct (leb A _ n') eqn:L0; unfold x; rewrite leb_law in L0 by exact law;
        cbn [exp_tables zero] in L0; rewrite of_Z_law in L0 by exact law.
      - apply Z.leb_le in L0. destruct (looked_up_correct true n' (conj L0 L1)) as (_ & _ & H).
        now rewrite N, argument_offset in H.
      - apply Z.leb_gt in L0. destruct (lowest_correct true) as (_ & _ & H).
        change (least (above exp_tables)) with (nth 138 (powers true (-1) (LONG + 1)) (of_Z A 0, 0%Z)).
        apply Rle_trans with (2 := H). rewrite <- (argument_offset (to_Z A n)), <- N. apply Rlt_le, exp_lt.
        apply IZR_lt in L0. assert (0 < / IZR (2 ^ FINE)) by (apply Rinv_0_lt_compat, IZR_lt; reflexivity).
        unfold Rdiv. nra. }
    intros [= <-]. rewrite val_add by exact law. cbn [exp_tables one]. rewrite val_of by exact law.
    pose proof (val_shift A law (fst x) (p + snd x)) as [_ F]. rewrite pow2_add in F. unfold value in H.
    apply Rmult_le_compat_l with (r := pow2 p) in H; lra.
  Qed.

  Theorem exp_above_found p n : (to_Z A n < 2 ^ (FINE + 10))%Z -> exp_above exp_tables p n <> None.
  Proof.
    intros H. unfold exp_above. cbv zeta. rewrite leb_law, offset_correct by exact law. cbn [exp_tables limit].
    rewrite of_Z_law by exact law.
    destruct (Z.leb_spec (2 ^ (FINE + 11)) (to_Z A n + 2 ^ (FINE + 10))); [|discriminate].
    change (2 ^ (FINE + 11))%Z with (2 * 2 ^ (FINE + 10))%Z in *. lia.
  Qed.
End Exponential.
