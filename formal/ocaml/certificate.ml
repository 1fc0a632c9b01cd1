(* Certificates: bytes to header and arrays, conditions 1 to 10 of section 5 of docs/certificate-format.md. Nothing in
   one is believed. *)

(* A verdict: a reason of the closed list, and a sentence for the terminal. *)
exception Rejected of string * string

let reject reason format = Printf.ksprintf (fun text -> raise (Rejected (reason, text))) format

type array = { dtype : string; shape : Z.t list; start : int }

type t = {
  data : string;
  arrays : (string * array) list;
  kind : string; correct : Z.t; total : Z.t;  (* the claim *)
  distribution : (string * Json.t) list;
  model : Json.t;
  options : (string * Json.t) list;
  rule : string;
  semantics : string;
  task : (string * Json.t) list;
  weights_sha256 : string;
}

let max_bytes, max_header, max_arrays, max_digits = 1 lsl 31, 65536, 64, 4000
let malformed format = reject "malformed-header" format

(* The arrays that the entries of the header name: one after the other from `start` to the end of the file. *)
let read_arrays data start entries =
  if List.length entries > max_arrays then malformed "more than %d arrays" max_arrays;
  let side = function Json.Int n when Z.sign n > 0 -> n | _ -> malformed "sides are positive integers" in
  let add (found, start) = function
    | Json.Obj ["dtype", Str (("int64" | "float64") as dtype); "name", Str name; "shape", List sides]
      when List.length sides <= 4 && not (List.mem_assoc name found) ->
      let shape = List.map side sides in
      let stop = Z.add (Z.of_int start) (Z.mul (Z.of_int 8) (Container.entries shape)) in
      if Z.gt stop (Z.of_int (String.length data)) then
        reject "malformed-container" "array %S runs past the end of the file" name;
      ((name, { dtype; shape; start }) :: found, Z.to_int stop)
    | _ -> malformed "an array has a dtype, int64 or float64, a name of its own and a shape of at most four sides" in
  let found, stop = List.fold_left add ([], start) entries in
  if stop <> String.length data then reject "malformed-container" "bytes after the last array";
  found

(* Entries of an int64 array. *)
let numbers { data; _ } { shape; start; _ } =
  let at i = String.get_int64_le data (start + (8 * i)) in
  Array.init (Z.to_int (Container.entries shape)) at

let decimal text =
  let digits = text <> "" && String.for_all (fun c -> '0' <= c && c <= '9') text in
  if (not digits) || String.length text > max_digits || (text.[0] = '0' && text <> "0") then
    reject "bad-claim" "a count is not a plain decimal of at most %d digits" max_digits;
  Z.of_string text

let read data =
  if String.length data > max_bytes then reject "resources" "the certificate is too long";
  let header, start =
    match Container.split ~limit:max_header data with
    | Some found -> found
    | None -> reject "malformed-container" "the length of the header does not fit" in
  let fields =
    match Json.parse ~canonical:true header with
    | Json.Obj fields -> fields
    | _ | exception Json.Malformed -> malformed "the header is not a canonical, shallow JSON object of integers" in
  if List.assoc_opt "format" fields <> Some (Json.Str "pessimal-certificate/1") then
    reject "unsupported-format" "the format is not pessimal-certificate/1";
  match fields with
  | [ "arrays", List entries; "claim", Obj claim; "distribution", Obj distribution; "format", _;
      "model", (Obj _ as model); "options", Obj options; "rule", Str rule; "semantics", Str semantics;
      "strategy", Str _; "task", Obj task; "weights_sha256", Str weights_sha256 ] ->
    let is_option = function _, (Json.Int _ | Json.Str _) -> true | _ -> false in
    if not (List.for_all is_option options) then malformed "options are integers and words";
    let arrays = read_arrays data start entries in
    let kind, correct, total =
      match claim with
      | ["correct", Str correct; "kind", Str kind; "total", Str total] ->
        let correct = decimal correct in
        (kind, correct, decimal total)
      | _ -> malformed "a claim has exactly the strings correct, kind and total" in
    { data; arrays; kind; correct; total; distribution; model; options; rule; semantics; task; weights_sha256 }
  | _ -> malformed "a key is missing or unknown, or has the wrong type"
