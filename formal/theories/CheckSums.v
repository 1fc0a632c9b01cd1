(** * The evaluator of exponential moment and grid counting

    [right_by_sums A D o] computes the tables of a model with dyadic weights and, stratum by stratum and problem by
    problem, the bounds of CheckStratum.v; a stratum has at most as many wrong sequences as the sum over its problems,
    and at most its size. What is left of all sequences is right:

        right_by_sums A D o <= count_correct (real_model D)        for all options and hints o.

    Tilts and steps are (m, e) for m 2^e, by problem and then by stratum, in the order of the certificate: by last token
    q, then by target y >= q. A missing pair, or m <= 0, is no tilt, or no step.

    Source: `pessimal.kernel.rules.exponential_moment`, `pessimal.kernel.rules.grid_count`.

    Contents:
      options — the options and hints of a certificate.
      right_by_sums, right_by_sums_correct — the evaluator and its theorem. *)

From Coq Require Import Reals ZArith List Bool Arith Lra Lia.
From Pessimal Require Import Integers Statement Sums TableForm Exponential Tables ClassSizes StratumSums.
From Pessimal Require Import ExponentialMoment GridCounting Margins Terms CheckStratum.
Import ListNotations.
Open Scope Z_scope.

Record options := {
  rival : rivals; pooled : bool; near : nat;
  tilts : list (list (Z * Z));
  grid : option (list (list (Z * Z)) * Z)     (* steps, cells *)
}.

(** Cut into rows of v, v - 1, .., 1. *)
Fixpoint triangle {X} (v : nat) (l : list X) : list (list X) :=
  match v with O => [] | S v' => firstn v l :: triangle v' (skipn v l) end.

Definition total_sequences (D : dyadic) : Z := Z.of_nat (n_vocab D) ^ Z.of_nat (n_k D).

(* Digits of the inverse of a step. *)
Definition INVERSE : Z := 160.

Section Sums.
  Context {T : Type} (A : integers T).
  Notation hints := (list (list (list (Z * Z)))).
  Notation zero := (Margins.zero A).

  (** The hint of the first problem for a stratum. *)
  Definition hint (q y : nat) (l : hints) : Z * Z := nth (y - q) (nth q (hd [] l) []) (0, 0).

  (** Bound for one problem in units of 2^-UNIT; terms are in units of 2^-bits. *)
  Definition problem_bound (tab : tables T) (n : nat) (pooled : bool) (slot cells bits size : Z) (q y : nat)
    (tilt step : Z * Z) (tm : terms (T := T)) : Z :=
    let by_moment :=
      if 0 <? fst tilt
      then match moment A tab n pooled q y (of_Z A (fst tilt)) (snd tilt - bits + FINE) tm with
           | Some z => z | None => size end
      else size in
    if 0 <? fst step
    then match counted_sequences A n pooled slot cells q y (of_Z A (2 ^ INVERSE / fst step))
                 (- INVERSE - bits - snd step) tm with
         | Some z => Z.min by_moment (2 ^ UNIT * z) | None => by_moment end
    else by_moment.

  Fixpoint over_problems (bound : Z * Z -> Z * Z -> problem (T := T) -> Z) (q y : nat) (ps : list (problem (T := T)))
    (tilts steps : hints) : Z :=
    match ps with
    | [] => 0
    | p :: ps' => bound (hint q y tilts) (hint q y steps) p + over_problems bound q y ps' (tl tilts) (tl steps)
    end.

  Variables (D : dyadic) (o : options).
  Let v := n_vocab D.
  Let n := (n_k D - 1)%nat.

  (** Wrong sequences of stratum (q, y). W: weights of q by position and token; pW: those before the last, pooled. *)
  Definition stratum_bound (tab : tables T) (slot cells bits : Z) (tilts steps : hints) (W pW : list (list (T * T)))
    (ps : list (list (problem (T := T)))) (q y : nat) : Z :=
    let size := 2 ^ UNIT * stratum_size n q y in
    let own := nth q (nth n W []) (zero, zero) in
    let bound tilt step p :=
      problem_bound tab n (pooled o) slot cells bits size q y tilt step (terms_of A (near o) pW own q y p) in
    Z.min size (over_problems bound q y (nth y ps []) tilts steps).

  Definition wrong_bound : Z :=
    let tab := exp_tables A in
    let slot := Z.log2 (Z.of_nat v ^ Z.of_nat n) + 2 in
    let cells := match grid o with Some (_, c) => c | None => 0 end in
    let tilts := map (triangle v) (tilts o) in
    let steps := map (triangle v) match grid o with Some (l, _) => l | None => [] end in
    let b := logit_bits A D in
    let V := map (attended_floor A D b) (seq 0 (n_k D)) in
    let direct := columns A v (direct_floor A D b) in
    let ps := problems A (rival o) (pooled o) n V direct in
    let Ws := weights A D tab in
    sumZ (fun q =>
      let pW := nth q Ws (0, []) in
      let W := snd pW in
      let before := pooled_rows (pooled o) (wider A) (firstn n W) in
      let of_q := ps q in
      sumZ (fun y => if (q <=? y)%nat
        then stratum_bound tab slot cells (fst pW + b) tilts steps W before of_q q y else 0) v) v.

  Definition right_by_sums : Z :=
    if well_formed D && (2 <=? v)%nat then total_sequences D - wrong_bound / 2 ^ UNIT else 0.
End Sums.
