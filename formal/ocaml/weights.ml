(* Weights: a safetensors file to exact integers, section 3 of docs/certificate-format.md.

   Only models that the theorem is about are read: one head, no biases, no LayerNorm, no MLP. Of any other file there
   is no verdict. A float is a dyadic number, so all weights are integers over one power of two. *)

exception Unreadable of string

(* `raw` are the bytes of the file from `start` on. Entries are multiples of 2^low, below 2^high in magnitude. *)
type tensor = { dtype : string; shape : int list; raw : string; start : int; low : int; high : int }

type t = {
  k : int; d_vocab : int; d_vocab_out : int; d_model : int; d_head : int;
  attn_scale : string;
  record : Json.t;  (* the architecture record *)
  assumed : (string * string) list;  (* what it says that the file does not, by name *)
  sha256 : string;
  tensors : (string * tensor) list;
}

(* What a user states, which wins over the metadata of the file. *)
type stated = { stated_k : int option; stated_scale : string option }

let refuse format = Printf.ksprintf (fun text -> raise (Unreadable text)) format
let max_header, max_side, max_exponent_span, max_k = 1 lsl 20, 1 lsl 16, 640, 4096
let root_scale = "1/sqrt(d_head)"

(* In the order of the digest. *)
let names = ["W_E"; "W_K"; "W_O"; "W_Q"; "W_U"; "W_V"; "W_pos"]

let short_name = function
  | "embed.W_E" -> "W_E"
  | "pos_embed.W_pos" -> "W_pos"
  | "unembed.W_U" -> "W_U"
  | "blocks.0.attn.W_Q" -> "W_Q"
  | "blocks.0.attn.W_K" -> "W_K"
  | "blocks.0.attn.W_V" -> "W_V"
  | "blocks.0.attn.W_O" -> "W_O"
  | name -> name

let is_buffer name = name = "blocks.0.attn.IGNORE"
let has_head_axis name = List.mem name ["W_Q"; "W_K"; "W_V"; "W_O"]

let item_bytes = function
  | "BOOL" | "U8" | "I8" -> 1
  | "F16" | "BF16" | "I16" -> 2
  | "F32" | "I32" -> 4
  | "F64" | "I64" -> 8
  | dtype -> refuse "unknown dtype %S" dtype

let count { shape; _ } = List.fold_left ( * ) 1 shape

(* Number i of a tensor. *)
let float_at { dtype; raw; start; _ } i =
  if dtype = "<f4" then Int32.float_of_bits (String.get_int32_le raw (start + (4 * i)))
  else Int64.float_of_bits (String.get_int64_le raw (start + (8 * i)))

(* The tensor with its range; each number is finite. *)
let ranged name tensor =
  let least, largest = ref max_int, ref min_int in
  for i = 0 to count tensor - 1 do
    let x = float_at tensor i in
    if not (Float.is_finite x) then refuse "tensor %s holds a NaN or an infinity" name;
    if x <> 0. then begin
      let e = snd (Float.frexp x) in
      least := min !least e;
      largest := max !largest e
    end
  done;
  if !largest = min_int then tensor
  else if !largest - !least > max_exponent_span then
    refuse "tensor %s has exponents spanning more than %d bits" name max_exponent_span
  else { tensor with low = !least - (if tensor.dtype = "<f4" then 24 else 53); high = !largest }

(* A finite float is n 2^e with n odd, or 0. *)
let odd_part x =
  let m, e = Float.frexp x in
  let rec halve n e = if n <> 0 && n land 1 = 0 then halve (n asr 1) (e + 1) else (n, e) in
  halve (int_of_float (Float.ldexp m 53)) (if x = 0. then 0 else e - 53)

(* One entry of the header: name, dtype, shape and the range of its bytes. *)
let entry n_body (name, json) =
  match json with
  | Json.Obj ["data_offsets", List [Int start; Int stop]; "dtype", Str dtype; "shape", List sides] ->
    let side = function
      | Json.Int n when Z.sign n > 0 && Z.leq n (Z.of_int max_side) -> n
      | _ -> refuse "tensor %S: sides are from 1 to %d" name max_side in
    let shape = List.map side sides in
    let needed = Z.mul (Container.entries shape) (Z.of_int (item_bytes dtype)) in
    let fits = Z.sign start >= 0 && Z.leq stop (Z.of_int n_body) && Z.equal (Z.sub stop start) needed in
    if List.length sides > 8 || not fits then refuse "tensor %S: its bytes do not match dtype and shape" name;
    (name, dtype, List.map Z.to_int shape, Z.to_int start, Z.to_int stop)
  | _ -> refuse "tensor %S: an entry has exactly dtype, shape, data_offsets" name

(* The canonical tensor of an entry, its head axis left out; None for a buffer. The body of the file starts at `body`. *)
let tensor data body (long_name, dtype, shape, start, _) =
  let name = short_name long_name in
  if is_buffer long_name then None
  else begin
    if not (List.mem name names) then refuse "tensor %S is none of those covered: %s" name (String.concat ", " names);
    let shape =
      match shape with
      | [heads; rows; columns] when has_head_axis name ->
        if heads <> 1 then refuse "tensor %s has %d heads; covered are models of one head" name heads;
        [rows; columns]
      | [_; _] -> shape
      | _ -> refuse "tensor %s has %d axes" name (List.length shape) in
    let dtype =
      match dtype with "F32" -> "<f4" | "F64" -> "<f8" | _ -> refuse "tensor %s has dtype %s" name dtype in
    Some (name, ranged name { dtype; shape; raw = data; start = body + start; low = 0; high = 0 })
  end

(* Every byte of the body belongs to exactly one entry. *)
let require_tiling n_body entries =
  let spans = List.sort compare (List.map (fun (_, _, _, start, stop) -> (start, stop)) entries) in
  let follow covered (start, stop) = if start = covered then stop else refuse "tensors overlap or leave a hole" in
  if List.fold_left follow 0 spans <> n_body then refuse "bytes that belong to no tensor, or a truncated file"

(* Header entries and metadata. *)
let parse data =
  match Container.split ~limit:max_header data with
  | None -> refuse "not a safetensors file: the length of its header does not fit"
  | Some (header, start) ->
    let fields =
      match Json.parse ~canonical:false header with
      | Json.Obj fields -> fields
      | _ | exception Json.Malformed -> refuse "not a safetensors file: the header is not a JSON object" in
    let text = function key, Json.Str value -> (key, value) | _ -> refuse "the metadata is not a map of strings" in
    let metadata =
      match List.assoc_opt "__metadata__" fields with
      | None -> []
      | Some (Json.Obj pairs) -> List.map text pairs
      | Some _ -> refuse "the metadata is not a map of strings" in
    let n_body = String.length data - start in
    let entries = List.map (entry n_body) (List.remove_assoc "__metadata__" fields) in
    require_tiling n_body entries;
    (List.filter_map (tensor data start) entries, metadata)

(* The value of the metadata for a key, `otherwise` if it has none; of those allowed. *)
let said metadata key otherwise allowed =
  let value = Option.value (List.assoc_opt key metadata) ~default:otherwise in
  if not (List.mem value allowed) then refuse "metadata %s=%S is not covered" key value

let read_keys = ["attention"; "attn_scale"; "ln_eps"; "normalization_type"; "positional_embedding_type"]

let words_of_architectures =
  ["act"; "activation"; "alibi"; "args"; "attention"; "attn"; "bias"; "biases"; "blocks"; "cap"; "cfg"; "config";
   "configuration"; "embed"; "embedding"; "embeddings"; "epsilon"; "expert"; "experts"; "gated"; "geglu"; "glu";
   "head"; "heads"; "hparams"; "hyper"; "hyperparameters"; "layer"; "layernorm"; "layers"; "ln"; "mlp";
   "multiplier"; "norm"; "normalisation"; "normalization"; "norms"; "parallel"; "pos"; "position"; "positional";
   "positions"; "postnorm"; "prenorm"; "residual"; "rms"; "rmsnorm"; "rope"; "rotary"; "scale"; "scaling";
   "sinusoidal"; "softcap"; "softcapping"; "softmax"; "swiglu"; "temperature"; "window"]

(* Whether a key has one of these words between underscores, dots and hyphens, or before a digit. *)
let is_about_architecture key =
  let is_lower c = 'a' <= c && c <= 'z' and is_upper c = 'A' <= c && c <= 'Z' in
  let hump i c = if i > 0 && is_upper c && is_lower key.[i - 1] then "_" ^ String.make 1 c else String.make 1 c in
  let apart = String.concat "" (List.mapi hump (List.of_seq (String.to_seq key))) in
  let separated = String.map (function '.' | '-' -> '_' | c -> c) (String.lowercase_ascii apart) in
  let before_digits part =
    let is_digit c = '0' <= c && c <= '9' in
    let rec length i = if i = String.length part || is_digit part.[i] then i else length (i + 1) in
    String.sub part 0 (length 0) in
  let is_word part = List.mem (before_digits part) words_of_architectures in
  List.exists is_word (String.split_on_char '_' separated)

(* What the metadata says fits a model without LayerNorm, and no more is said than is read. *)
let require_covered metadata =
  let require_read (key, text) =
    let is_json = String.starts_with ~prefix:"{" (String.trim text) in
    let of_task = String.starts_with ~prefix:"task_" key in
    if (is_about_architecture key || is_json) && not of_task && not (List.mem key read_keys) then refuse "metadata %s is not read here" key in
  List.iter require_read metadata;
  said metadata "normalization_type" "none" ["None"; "none"];
  said metadata "positional_embedding_type" "standard" ["standard"];
  said metadata "attention" "causal-softmax" ["causal-softmax"]

(* What is stated by hand or nowhere, in the order of names. *)
let assumptions metadata { stated_k; stated_scale } k attn_scale =
  let unless_said key value = if List.mem_assoc key metadata then [] else [(key, value)] in
  unless_said "attention" "causal-softmax"
  @ (if stated_scale <> None then [("attn_scale", attn_scale)] else unless_said "attn_scale" attn_scale)
  @ (if stated_k <> None then [("k", string_of_int k)] else [])
  @ unless_said "normalization_type" "none"
  @ unless_said "positional_embedding_type" "standard"

let positions n_ctx metadata stated =
  let is_number text = text <> "" && String.length text <= 6 && String.for_all (fun c -> '0' <= c && c <= '9') text in
  let k =
    match stated, List.assoc_opt "n_ctx" metadata with
    | Some k, _ -> k
    | None, None -> n_ctx
    | None, Some text when is_number text -> int_of_string text
    | None, Some text -> refuse "metadata n_ctx=%S is not a number of positions" text in
  if k < 1 || k > min n_ctx max_k then refuse "k=%d positions asked of W_pos with %d rows" k n_ctx;
  k

let scale metadata stated =
  match stated, List.assoc_opt "attn_scale" metadata with
  | None, None -> root_scale
  | Some scale, _ | None, Some scale ->
    if scale <> root_scale && scale <> "1" then refuse "attn_scale is neither %s nor 1" root_scale;
    scale

let read data stated =
  let tensors, metadata = parse data in
  let tensors = List.sort (fun (a, _) (b, _) -> String.compare a b) tensors in
  if List.map fst tensors <> names then refuse "a tensor of %s is missing or given twice" (String.concat ", " names);
  require_covered metadata;
  let size name axis = List.nth (List.assoc name tensors).shape axis in
  let d_vocab, d_model, n_ctx = size "W_E" 0, size "W_E" 1, size "W_pos" 0 in
  let d_head, d_vocab_out = size "W_Q" 1, size "W_U" 1 in
  let require name shape =
    if (List.assoc name tensors).shape <> shape then refuse "tensor %s disagrees with another about an axis" name in
  List.iter (fun name -> require name [d_model; d_head]) ["W_Q"; "W_K"; "W_V"];
  List.iter2 require ["W_pos"; "W_O"; "W_U"] [[n_ctx; d_model]; [d_head; d_model]; [d_model; d_vocab_out]];
  let k, attn_scale = positions n_ctx metadata stated.stated_k, scale metadata stated.stated_scale in
  let assumed = assumptions metadata stated k attn_scale in
  let n i = Json.Int (Z.of_int i) in
  let record =
    Json.Obj [
      "attention", Str "causal-softmax"; "attn_scale", Str attn_scale; "biases", List [];
      "d_head", n d_head; "d_model", n d_model; "d_vocab", n d_vocab; "d_vocab_out", n d_vocab_out;
      "k", n k; "layers", n 1; "ln1", Str "none"; "ln_eps", Str "0/1"; "ln_final", Str "none";
      "n_ctx", n n_ctx; "n_heads", n 1; "positional", Str "learned-absolute";
    ] in
  let parts (name, ({ dtype; shape; raw; start; _ } as one)) =
    let shape = if has_head_axis name then 1 :: shape else shape in
    let n_bytes = count one * (if dtype = "<f4" then 4 else 8) in
    Container.[whole name; whole dtype; whole (String.concat "" (List.map eight shape)); (raw, start, n_bytes)] in
  let head = List.map Container.whole ["pessimal-weights/1"; Json.print record] in
  let sha256 = Container.digest (head @ List.concat_map parts tensors) in
  { k; d_vocab; d_vocab_out; d_model; d_head; attn_scale; record; assumed; sha256; tensors }

(* The weights as the theorem has them: integers over 2^bits, the first k positions. *)
let dyadic { k; d_vocab; d_model; d_head; tensors; _ } =
  let used name one = if name = "W_pos" then k * d_model else count one in
  let odd_parts (name, one) = (name, Array.init (used name one) (fun i -> odd_part (float_at one i))) in
  let parts = List.map odd_parts tensors in
  let finest bits (_, numbers) = Array.fold_left (fun bits (_, e) -> max bits (-e)) bits numbers in
  let bits = List.fold_left finest 0 parts in
  let rows name n_rows n_columns =
    let numbers = List.assoc name parts in
    let integer (n, e) = Z.shift_left (Z.of_int n) (bits + e) in
    List.init n_rows (fun i -> List.init n_columns (fun j -> integer numbers.((i * n_columns) + j))) in
  { Checkers.n_k = k; n_vocab = d_vocab; n_model = d_model; n_head = d_head; bits;
    dE = rows "W_E" d_vocab d_model; dpos = rows "W_pos" k d_model;
    dQ = rows "W_Q" d_model d_head; dK = rows "W_K" d_model d_head; dV = rows "W_V" d_model d_head;
    dO = rows "W_O" d_head d_model; dU = rows "W_U" d_model d_vocab }
