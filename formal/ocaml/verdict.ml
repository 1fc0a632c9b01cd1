(* The verdict on a certificate: conditions 11 to 23 of section 5 of docs/certificate-format.md, in their order. *)

(* No verdict: a certificate that this checker does not cover. *)
exception Not_covered of string

let not_covered format = Printf.ksprintf (fun text -> raise (Not_covered text)) format
let reject = Certificate.reject
let rules = ["position-minima"; "exponential-moment"; "grid-count"]
let other_rules =
  ["brute-force"; "cubic"; "sub-cubic"; "band"; "exact"; "comparisons"; "layer-cake"; "layer-count"; "sparse-output";
   "key-frequency"]
let other_tasks =
  ["min-of-k"; "first-of-k"; "last-of-k"; "second-largest"; "flagged-element"; "contains-token"; "constant";
   "modular-addition"; "modular-addition-equals"; "machine"]
let fine_kinds = ["mean-probability"; "loss"]
let max_size, max_total, max_memory = 4096, Z.pow (Z.of_int 10) 4000, Float.pow 2. 31.

(* Conditions 14 and 15. Returns the number of sequences. *)
let require_task (certificate : Certificate.t) (weights : Weights.t) =
  let mismatch format = reject "task-mismatch" format in
  (match List.assoc_opt "name" certificate.task with
   | Some (Str name) when List.mem name other_tasks -> not_covered "the task is max-of-k here, not %s" name
   | _ -> ());
  let k, v =
    match certificate.task with
    | ["d_vocab", Int v; "k", Int k; "name", Str "max-of-k"] -> (k, v)
    | _ -> mismatch "unknown task, or not the integers k and d_vocab" in
  let is_size n = Z.sign n > 0 && Z.leq n (Z.of_int max_size) in
  if not (is_size k && is_size v) then mismatch "k and d_vocab are from 1 to %d" max_size;
  let total = Z.pow v (Z.to_int k) in
  if Z.geq total max_total then mismatch "there are more than 10^4000 sequences";
  let fits = Z.to_int k = weights.k && Z.to_int v = weights.d_vocab && weights.d_vocab_out >= weights.d_vocab in
  if not fits then mismatch "the model has other sizes, or too few outputs";
  (match certificate.distribution with
   | ["name", Str "uniform"] -> ()
   | ["name", Str (("product" | "markov") as name)] -> not_covered "the distribution is uniform here, not %s" name
   | _ -> mismatch "unknown distribution");
  let weighs (name, _) = String.starts_with ~prefix:"distribution_" name in
  if List.exists weighs certificate.arrays then mismatch "the distribution uniform has no arrays";
  total

(* Conditions 16 and 17. *)
let require_claim (certificate : Certificate.t) total =
  let { Certificate.kind; semantics; correct; _ } = certificate in
  let is_fine = List.mem kind fine_kinds in
  if semantics <> "real" && semantics <> "float32" then reject "bad-claim" "the semantics are real or float32";
  if (kind <> "correct-count" && not is_fine) || (is_fine && semantics <> "real") then
    reject "bad-claim" "no claim of this kind under uniform and %s" semantics;
  if not (Z.equal certificate.total (if is_fine then Z.shift_left total 20 else total)) then
    reject "bad-claim" "the total is not that of all sequences";
  if Z.gt correct certificate.total && kind <> "loss" then reject "bad-claim" "more than all sequences"

(* Condition 18, and what is not covered here. *)
let require_covered (certificate : Certificate.t) (weights : Weights.t) =
  let unsupported format = reject "unsupported-model" format in
  if not (List.mem certificate.rule rules) then
    not_covered "the rules are %s here, not %s" (String.concat ", " rules) certificate.rule;
  if certificate.semantics <> "real" then not_covered "the arithmetic is real here, not float32";
  if List.mem certificate.kind fine_kinds then unsupported "the rules bound no mean probability and no loss";
  if weights.d_vocab_out < 2 then unsupported "there is no rival";
  if weights.k < 2 then unsupported "there is a single position";
  if weights.d_vocab_out <> weights.d_vocab then not_covered "the outputs are the tokens here";
  if weights.attn_scale <> Weights.root_scale then not_covered "the attention scale is %s here" Weights.root_scale

(* Sequences that the rule shows to be right, by the theorem of its checker. *)
let right (certificate : Certificate.t) (weights : Weights.t) max_work =
  let hints =
    if certificate.rule = "position-minima" then (Hints.none certificate; None)
    else Some (Hints.read certificate weights.d_vocab) in
  let needed, memory = Cost.steps weights hints, Cost.bytes weights hints in
  if needed > max_work then reject "resources" "about %.1e steps; allowed are %.1e" needed max_work;
  if memory > max_memory then reject "resources" "about %.1e bytes; allowed are %.1e" memory max_memory;
  let model = Weights.dyadic weights in
  match hints with
  | None -> Checkers.position_minima_checker model
  | Some { rival; pooled; near; tilts; grid } -> Checkers.sums_checker model rival pooled near tilts grid

(* Digest of task, distribution, semantics and quantity: of the one kind of question that is covered. *)
let question (certificate : Certificate.t) =
  let digest parts = Container.(digest (List.map whole parts)) in
  let distribution = digest ["pessimal-distribution/1"; "uniform"] in
  let asked =
    Json.Obj [
      "distribution", Obj ["name", Str "uniform"; "sha256", Str distribution]; "quantity", Str "accuracy";
      "semantics", Str "real"; "task", Obj certificate.task;
    ] in
  digest ["pessimal-question/1"; Json.print asked]

let line (certificate : Certificate.t) (weights : Weights.t) =
  let { Certificate.correct; total; rule; data; _ } = certificate in
  let millionths = Z.to_int (Z.div (Z.mul correct (Z.of_int 1_000_000)) total) in
  let assumed =
    match weights.assumed with
    | [] -> "-"
    | items -> String.concat "," (List.map (fun (name, value) -> name ^ ":" ^ value) items) in
  Printf.sprintf
    "s VERIFIED correct>=%s/%s accuracy>=%d.%06d task=max-of-k dist=uniform semantics=real weights=sha256:%s \
     rule=%s bytes=%d question=sha256:%s assumed=%s"
    (Z.to_string correct) (Z.to_string total) (millionths / 1_000_000) (millionths mod 1_000_000)
    weights.sha256 rule (String.length data) (question certificate) assumed

(* The line of a claim that is verified. *)
let check data (weights : Weights.t) max_work =
  let certificate = Certificate.read data in
  if not (List.mem certificate.rule (rules @ other_rules)) then reject "unknown-rule" "no such rule";
  if certificate.weights_sha256 <> weights.sha256 then
    reject "weights-mismatch" "the certificate is about other weights or another architecture record";
  if certificate.model <> weights.record then
    reject "model-mismatch" "the architecture record is not that of the weights";
  let total = require_task certificate weights in
  require_claim certificate total;
  require_covered certificate weights;
  let right = right certificate weights max_work in
  if Z.gt certificate.correct right then
    reject "bound-too-low" "claimed %s; the rule gives %s" (Z.to_string certificate.correct) (Z.to_string right);
  line certificate weights
