(** * The checkers as OCaml

    Writes `formal/build/checkers.ml` and its interface. What the file computes is what the theorems speak of if Coq's
    extraction is right and every line below replaces a definition of Coq by an OCaml expression that computes the same;
    so these lines are trusted, one by one, and so are Zarith, which `big.ml` renames, and OCaml's 63-bit int for nat
    (sizes, positions, tokens and lengths of lists; never counts of sequences, which are Z).

    Run in the folder that holds `build`:  coqc -Q theories Pessimal extraction/Extract.v *)

From Coq Require Import ZArith Extraction ExtrOcamlBasic ExtrOcamlNatInt.
From Pessimal Require Import Integers Tables CheckPositionMinima Margins CheckSums.

(** Binary numbers. Constructors: 2p + 1, 2p, 1; 0, p, -p. The last string of each is its match. *)
Extract Inductive positive => "Big.t"
  ["(fun p -> Big.succ (Big.shift_left p 1))" "(fun p -> Big.shift_left p 1)" "Big.one"]
  "(fun odd even one p ->
    if Big.equal p Big.one then one ()
    else if Big.is_odd p then odd (Big.shift_right p 1) else even (Big.shift_right p 1))".
Extract Inductive Z => "Big.t" ["Big.zero" "(fun p -> p)" "Big.neg"]
  "(fun zero positive negative z ->
    let s = Big.sign z in if s = 0 then zero () else if s > 0 then positive z else negative (Big.neg z))".

(** The same functions in both libraries. *)
Extract Inlined Constant Z.add => "Big.add".
Extract Inlined Constant Z.sub => "Big.sub".
Extract Inlined Constant Z.mul => "Big.mul".
Extract Inlined Constant Z.opp => "Big.neg".
Extract Inlined Constant Z.abs => "Big.abs".
Extract Inlined Constant Z.min => "Big.min".
Extract Inlined Constant Z.max => "Big.max".
Extract Inlined Constant Z.succ => "Big.succ".
Extract Inlined Constant Z.pred => "Big.pred".
Extract Inlined Constant Z.leb => "Big.leq".
Extract Inlined Constant Z.ltb => "Big.lt".
Extract Inlined Constant Z.eqb => "Big.equal".
Extract Inlined Constant Z.compare =>
  "(fun x y -> let c = Big.compare x y in if c = 0 then Eq else if c < 0 then Lt else Gt)".

(** Division rounds down, and by zero gives zero. *)
Extract Inlined Constant Z.div => "(fun x y -> if Big.sign y = 0 then Big.zero else Big.fdiv x y)".

(** A shift by a negative number goes the other way; to the right it rounds down. The number of digits must be an OCaml
    int: Z.to_int raises an exception otherwise. *)
Extract Inlined Constant Z.shiftl =>
  "(fun x s -> let s = Big.to_int s in if s >= 0 then Big.shift_left x s else Big.shift_right x (- s))".
Extract Inlined Constant Z.shiftr =>
  "(fun x s -> let s = Big.to_int s in if s >= 0 then Big.shift_right x s else Big.shift_left x (- s))".

(** Powers with a negative exponent are zero, square roots and logarithms of what is not positive too. *)
Extract Inlined Constant Z.pow => "(fun x n -> if Big.sign n < 0 then Big.zero else Big.pow x (Big.to_int n))".
Extract Inlined Constant Z.sqrt => "(fun x -> if Big.sign x <= 0 then Big.zero else Big.sqrt x)".
Extract Inlined Constant Z.log2 => "(fun x -> if Big.sign x <= 0 then Big.zero else Big.of_int (Big.log2 x))".

(** Natural numbers are non-negative OCaml ints. *)
Extract Inlined Constant Z.of_nat => "Big.of_int".
Extract Inlined Constant Z.to_nat => "(fun x -> if Big.sign x <= 0 then 0 else Big.to_int x)".

(** Logits are integers over 2^(4 bits), so nothing of them is lost but the units that margins are lowered by. *)
Definition exact_bits (D : dyadic) : Z := 4 * Z.of_nat (bits D) + 64.

(** Options apart, so that the caller needs no names of fields. *)
Definition position_minima_checker (D : dyadic) : Z := right_by_position_minima_at plain D (exact_bits D).
Definition sums_checker (D : dyadic) (rival : rivals) (pooled : bool) (near : nat) (tilts : list (list (Z * Z)))
  (grid : option (list (list (Z * Z)) * Z)) : Z :=
  right_by_sums_at plain D {| rival := rival; pooled := pooled; near := near; tilts := tilts; grid := grid |}
    (exact_bits D).

Extraction "build/checkers.ml" position_minima_checker sums_checker.
