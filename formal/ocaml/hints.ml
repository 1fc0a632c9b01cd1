(* Hints of exponential-moment and grid-count for a single head: section 4 of docs/certificate-format.md, conditions 19
   and 22. The theorem holds for any hints; what is read here is their form. *)

let bad format = Certificate.reject "bad-hint" format
let max_mantissa, max_exponent, max_cells = 1 lsl 53, 1000, 1 lsl 16

let number options name most =
  match List.assoc name options with
  | Json.Int n when Z.sign n > 0 && Z.leq n (Z.of_int most) -> Z.to_int n
  | _ -> bad "%s is a number from 1 to %d" name most

let word options name meanings =
  let known = function Json.Str word -> List.assoc_opt word meanings | _ -> None in
  match known (List.assoc name options) with
  | Some meaning -> meaning
  | None -> bad "%s is one of %s" name (String.concat ", " (List.map fst meanings))

(* Entries of a hint array of this shape. *)
let entries (certificate : Certificate.t) name shape =
  let one = List.assoc name certificate.arrays in
  if one.dtype <> "int64" || one.shape <> List.map Z.of_int shape then
    bad "%s is not int64 of shape [%s]" name (String.concat ", " (List.map string_of_int shape));
  Certificate.numbers certificate one

(* Mantissas and exponents, a row per problem. *)
let by_problem n_problems n_strata at =
  List.init n_problems (fun r -> List.init n_strata (fun s -> at ((r * n_strata) + s)))

let dyadics certificate name n_problems n_strata =
  let part which = entries certificate (name ^ "_" ^ which) [n_problems; n_strata] in
  let mantissas, exponents = part "mantissa", part "exponent" in
  let within least most n = Int64.compare n (Int64.of_int least) >= 0 && Int64.compare n (Int64.of_int most) <= 0 in
  let are_mantissas = Array.for_all (within 0 max_mantissa) mantissas in
  let are_exponents = Array.for_all (within (-max_exponent) max_exponent) exponents in
  if not (are_mantissas && are_exponents) then
    bad "%s: mantissas from 0 to 2^53, exponents at most %d" name max_exponent;
  by_problem n_problems n_strata (fun i -> (Z.of_int64 mantissas.(i), Z.of_int64 exponents.(i)))

(* 16-bit numbers, four to an entry, the first in the lowest bits, zeros after the last. *)
let packed_tilts certificate n_problems n_strata =
  let count = n_problems * n_strata in
  let packed = entries certificate "tilt" [(count + 3) / 4] in
  let at i = Int64.to_int (Int64.shift_right_logical packed.(i / 4) (16 * (i mod 4))) land 0xFFFF in
  for i = count to (4 * Array.length packed) - 1 do
    if at i <> 0 then bad "tilt: bits after the last number"
  done;
  let tilt i =
    let n = at i in
    let exponent = (n / 8) - 1001 in
    if exponent > max_exponent then bad "tilt: exponents at most %d" max_exponent;
    if n < 8 then (Z.zero, Z.zero) else (Z.of_int (8 + (n mod 8)), Z.of_int exponent) in
  by_problem n_problems n_strata tilt

type t = {
  rival : Checkers.rivals;
  pooled : bool;
  near : int;
  tilts : (Z.t * Z.t) list list;  (* by problem, then stratum: mantissa, exponent *)
  grid : ((Z.t * Z.t) list list * Z.t) option;  (* steps likewise, cells *)
}

let rivals = Checkers.["plain", Plain; "centred", Centred; "joint", Joint; "every", Every]

(* d_vocab is the number of outputs too. *)
let read (certificate : Certificate.t) d_vocab =
  let options = certificate.options in
  let has_grid = certificate.rule = "grid-count" in
  let is_packed = List.mem_assoc "tilt" certificate.arrays && not has_grid in
  let words = ["near"; "position"; "rival"] in
  let pair name = [name ^ "_exponent"; name ^ "_mantissa"] in
  let arrays = if is_packed then ["tilt"] else pair "tilt" in
  let words, arrays = if has_grid then "cells" :: "sides" :: words, pair "step" @ arrays else words, arrays in
  let require what found wanted =
    if List.sort compare (List.map fst found) <> List.sort compare wanted then
      bad "the %s of the rule are %s" what (String.concat ", " wanted) in
  require "options" options words;
  require "arrays" certificate.arrays arrays;
  let rival = word options "rival" rivals in
  let pooled = word options "position" ["each", false; "pessimal", true] in
  let near = number options "near" d_vocab in
  let n_problems = if rival = Checkers.Every then d_vocab - 1 else 1 in
  let n_strata = d_vocab * (d_vocab + 1) / 2 in
  let tilts = if is_packed then packed_tilts else fun certificate -> dyadics certificate "tilt" in
  let tilts = tilts certificate n_problems n_strata in
  let grid () =
    let steps = dyadics certificate "step" n_problems n_strata in
    let cells = number options "cells" max_cells in
    if number options "sides" 2 = 2 && not (rival = Checkers.Every && (not pooled) && near = d_vocab) then
      bad "sides=2 needs rival=every, position=each and near=d_vocab";
    (steps, Z.of_int cells) in
  { rival; pooled; near; tilts; grid = (if has_grid then Some (grid ()) else None) }

let none (certificate : Certificate.t) =
  if certificate.options <> [] || certificate.arrays <> [] then bad "the rule reads no hints"
