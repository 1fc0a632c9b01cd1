(* What weights and certificates share: a length, a header and a body, section 1 of docs/certificate-format.md, and
   the digest over parts of section 3. *)

(* The header and where the body starts; None if the length does not fit, or is above the limit. *)
let split ~limit data =
  if String.length data < 8 then None
  else
    let n = String.get_int64_le data 0 in
    let most = Int64.of_int (min limit (String.length data - 8)) in
    if Int64.compare n 0L < 0 || Int64.compare n most > 0 then None
    else Some (String.sub data 8 (Int64.to_int n), 8 + Int64.to_int n)

(* A number as eight bytes, little-endian. *)
let eight n =
  let bytes = Bytes.create 8 in
  Bytes.set_int64_le bytes 0 (Int64.of_int n);
  Bytes.to_string bytes

(* A part: a string, its first byte, and how many. *)
let whole text = (text, 0, String.length text)

(* SHA-256 over parts, each led by its length. *)
let digest parts =
  let sha = Sha256.init () in
  let add (text, first, n_bytes) =
    Sha256.update_string sha (eight n_bytes);
    Sha256.update_substring sha text first n_bytes in
  List.iter add parts;
  Sha256.to_hex (Sha256.finalize sha)

(* Number of entries of an array, as long as that is. *)
let entries shape = List.fold_left Z.mul Z.one shape
