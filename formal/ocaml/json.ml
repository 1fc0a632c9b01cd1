(* JSON without fractions, nested at most four deep: "Canonical JSON" in section 2 of docs/certificate-format.md.

   Read canonically, exactly the canonical encodings are accepted; otherwise also white space, any order of keys, other
   escapes and UTF-8, as in the header of a safetensors file. Strings are held as UTF-8, objects by rising key. *)

type t = Null | Bool of bool | Int of Z.t | Str of string | List of t list | Obj of (string * t) list

exception Malformed

let fail () = raise Malformed
let max_depth = 4

(* UTF-8 of a code point; of half a surrogate pair by the same rule. *)
let add_code out n =
  let byte b = Buffer.add_char out (Char.chr b) in
  let continued shift = byte (0x80 lor ((n lsr shift) land 0x3F)) in
  if n < 0x80 then byte n
  else if n < 0x800 then (byte (0xC0 lor (n lsr 6)); continued 0)
  else if n < 0x10000 then (byte (0xE0 lor (n lsr 12)); continued 6; continued 0)
  else (byte (0xF0 lor (n lsr 18)); continued 12; continued 6; continued 0)

let is_high n = n land 0xFC00 = 0xD800
let is_low n = n land 0xFC00 = 0xDC00

(* Does \u spell this character in the canonical encoding? *)
let has_no_shorter_spelling n = (n < 0x20 && not (List.mem n [8; 9; 10; 12; 13])) || n > 0x7E

let parse ~canonical text =
  let at = ref 0 in
  let peek () = if !at < String.length text then text.[!at] else '\000' in
  let next () = let c = peek () in incr at; c in
  let need c = if next () <> c then fail () in
  let rec space () = match peek () with ' ' | '\t' | '\n' | '\r' when not canonical -> incr at; space () | _ -> () in
  let hex_digit () =
    match next () with
    | '0' .. '9' as c -> Char.code c - 48
    | 'a' .. 'f' as c -> Char.code c - 87
    | 'A' .. 'F' as c when not canonical -> Char.code c - 55
    | _ -> fail () in
  let four_digits () = List.fold_left (fun n () -> (16 * n) + hex_digit ()) 0 [(); (); (); ()] in
  let unicode out =
    let first = four_digits () in
    let after = !at in
    if is_high first && next () = '\\' && next () = 'u' then begin
      let second = four_digits () in
      if is_low second then add_code out (0x10000 + ((first land 0x3FF) lsl 10) + (second land 0x3FF))
      else (at := after; add_code out first)
    end else begin
      at := after;
      if canonical && not (has_no_shorter_spelling first) then fail ();
      add_code out first
    end in
  let escape out =
    match next () with
    | ('"' | '\\') as c -> Buffer.add_char out c
    | '/' when not canonical -> Buffer.add_char out '/'
    | 'n' -> Buffer.add_char out '\n'
    | 'r' -> Buffer.add_char out '\r'
    | 't' -> Buffer.add_char out '\t'
    | 'b' -> Buffer.add_char out '\b'
    | 'f' -> Buffer.add_char out '\012'
    | 'u' -> unicode out
    | _ -> fail () in
  (* A character of several bytes, the first of which is given. *)
  let wide out lead =
    let n_more = if lead < 0xE0 then 1 else if lead < 0xF0 then 2 else 3 in
    let continue n () =
      let b = Char.code (next ()) in
      if b land 0xC0 <> 0x80 then fail ();
      (n lsl 6) lor (b land 0x3F) in
    let n = List.fold_left continue (lead land (0x3F lsr n_more)) (List.init n_more ignore) in
    let least = [| 0x80; 0x800; 0x10000 |].(n_more - 1) in
    if lead < 0xC2 || lead > 0xF4 || n < least || n > 0x10FFFF || is_high n || is_low n then fail ();
    add_code out n in
  let text_of () =
    need '"';
    let out = Buffer.create 16 in
    let rec more () =
      match next () with
      | '"' -> Buffer.contents out
      | '\\' -> escape out; more ()
      | '\000' .. '\031' -> fail ()
      | '\032' .. '\126' as c -> Buffer.add_char out c; more ()
      | _ when canonical -> fail ()
      | '\127' as c -> Buffer.add_char out c; more ()
      | c -> wide out (Char.code c); more () in
    more () in
  let number () =
    let start = !at in
    if peek () = '-' then incr at;
    let digits = !at in
    while match peek () with '0' .. '9' -> true | _ -> false do incr at done;
    let n_digits = !at - digits in
    if n_digits = 0 || n_digits > 19 || (n_digits > 1 && text.[digits] = '0') then fail ();
    let n = Z.of_string (String.sub text start (!at - start)) in
    if not (Z.fits_int64 n) || (canonical && digits > start && Z.sign n = 0) then fail ();
    Int n in
  let word w v = String.iter need w; v in
  (* What stands between brackets, separated by commas. *)
  let sequence closing one =
    incr at;
    space ();
    let rec more found =
      let found = one () :: found in
      match next () with ',' -> more found | c when c = closing -> List.rev found | _ -> fail () in
    if peek () = closing then (incr at; []) else more [] in
  let rec value depth =
    space ();
    let found =
      match peek () with
      | '{' | '[' when depth > max_depth -> fail ()
      | '{' -> Obj (fields depth)
      | '[' -> List (sequence ']' (fun () -> value (depth + 1)))
      | '"' -> Str (text_of ())
      | 'n' -> word "null" Null
      | 't' -> word "true" (Bool true)
      | 'f' -> word "false" (Bool false)
      | _ -> number () in
    space ();
    found
  and fields depth =
    let field () =
      space ();
      let key = text_of () in
      space ();
      need ':';
      (key, value (depth + 1)) in
    let found = sequence '}' field in
    let sorted = List.sort (fun (a, _) (b, _) -> String.compare a b) found in
    let rec distinct = function (a, _) :: ((b, _) :: _ as rest) -> a <> b && distinct rest | _ -> true in
    if not (distinct sorted) || (canonical && List.map fst sorted <> List.map fst found) then fail ();
    sorted in
  let found = value 1 in
  if !at <> String.length text then fail ();
  found

(* The canonical encoding of a value whose strings need no escapes. *)
let rec print = function
  | Null -> "null"
  | Bool b -> string_of_bool b
  | Int n -> Z.to_string n
  | Str s -> "\"" ^ s ^ "\""
  | List l -> "[" ^ String.concat "," (List.map print l) ^ "]"
  | Obj l -> "{" ^ String.concat "," (List.map (fun (key, v) -> print (Str key) ^ ":" ^ print v) l) ^ "}"
