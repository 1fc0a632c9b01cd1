(* What a check costs, from sizes and hints alone, before anything of these sizes is made. *)

(* Of exact logits. *)
let digits (weights : Weights.t) =
  let bits = List.fold_left (fun bits (_, one) -> max bits (-one.Weights.low)) 0 weights.tensors in
  let high = List.fold_left (fun high (_, one) -> high + max 0 one.Weights.high) 128 weights.tensors in
  float ((4 * bits) + high)

(* Products of matrices, from the outside in. *)
let tables (weights : Weights.t) =
  let k, v, m, d = float weights.k, float weights.d_vocab, float weights.d_model, float weights.d_head in
  let products = (k +. 1.) *. v *. ((5. *. m *. d) +. (m *. v) +. (v *. d)) in
  products *. (1. +. (digits weights /. 1024.)) /. 16.

(* Bits of a polynomial of a grid. *)
let polynomial (weights : Weights.t) cells =
  Z.to_float cells *. ceil ((float weights.k *. Float.log2 (float weights.d_vocab)) +. 2.)

(* How many terms a bound looks at, roughly. *)
let steps (weights : Weights.t) (hints : Hints.t option) =
  let n, v, outputs = float (weights.k - 1), float weights.d_vocab, float weights.d_vocab_out in
  (* Of the strata (q, y), the y + 1 of one y; before their last tokens stand 0 .. y. *)
  let stratum y =
    match hints with
    | None -> n *. (y +. 1.) *. (outputs -. 1.) /. 4.
    | Some { rival; pooled; near; _ } ->
      let problems = if rival = Checkers.Every then outputs -. 1. else 1. in
      let terms = (if pooled then 1. else n) *. Float.min (y +. 1.) (float near) in
      let joint = if rival = Checkers.Joint then n *. (y +. 1.) *. outputs /. 4. else 0. in
      (problems *. ((1.5 *. terms) +. (5. *. n))) +. joint in
  let add total y = total +. ((float y +. 1.) *. stratum (float y)) in
  let strata = List.fold_left add 0. (List.init weights.d_vocab Fun.id) in
  let grid =
    match hints with
    | Some { grid = Some (steps, cells); _ } ->
      let bits = polynomial weights cells in
      let steps = List.length (List.filter (fun (mantissa, _) -> Z.sign mantissa > 0) (List.concat steps)) in
      float steps *. n *. ((v *. ((bits /. 32768.) +. 1.)) +. (bits /. 1024.)) /. 2.
    | _ -> 0. in
  tables weights +. (strata *. (1. +. (digits weights /. 1024.))) +. grid

(* Memory for tables of logits, attention weights of up to 4,096 bits, and polynomials. *)
let bytes (weights : Weights.t) (hints : Hints.t option) =
  let k, v = float weights.k, float weights.d_vocab in
  let logits = 3. *. k *. v *. v *. (48. +. (digits weights /. 8.)) in
  let rows = v *. float (weights.d_model + weights.d_head) *. (48. +. (digits weights /. 8.)) in
  let grid = match hints with Some { grid = Some (_, cells); _ } -> polynomial weights cells /. 2. | _ -> 0. in
  logits +. rows +. (k *. v *. v *. 1200.) +. grid
