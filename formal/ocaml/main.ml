(* pessimal-verified CERT --weights W: the line of `pessimal check` without flops and ops, by the checker that is
   extracted from the theorems in formal/theories.

   Exit code: 0 verified; 1 rejected; 3 rejected because it would take too long; 2 no verdict: a file that cannot be
   read, or a certificate that is not covered, with the reason on stderr. It is the verdict whether or not anyone reads
   stdout. *)

let usage = "pessimal-verified CERT --weights W.safetensors [--k N] [--attn-scale S] [--ln-eps E] [--max-work N]"

let max_weights = 1 lsl 30
let chunk = 1 lsl 20

(* A file, device or pipe, of which at most a chunk more than the limit is read; None if it is longer. *)
let contents limit path =
  if Sys.file_exists path && Sys.is_directory path then raise (Sys_error (path ^ ": is a directory"));
  let file = open_in_bin path in
  let buffer = Bytes.create chunk in
  let rec more parts length =
    if length > limit then None
    else
      match input file buffer 0 chunk with
      | 0 -> Some (String.concat "" (List.rev parts))
      | n -> more (Bytes.sub_string buffer 0 n :: parts) (length + n) in
  let known = try in_channel_length file with Sys_error _ -> 0 in
  Fun.protect ~finally:(fun () -> close_in_noerr file) (fun () -> if known > limit then None else more [] 0)

(* Nobody may be there to read: the exit code is the verdict all the same. What could not be written is dropped, or
   OCaml would try again on its way out. *)
let print channel text =
  try output_string channel (text ^ "\n"); flush channel with Sys_error _ -> close_out_noerr channel
let say text = print stderr ("pessimal-verified: " ^ text)

let rejected reason sentence =
  say sentence;
  print stdout ("s REJECTED reason=" ^ reason);
  if reason = "resources" then 3 else 1

let verdict certificate weights stated max_work =
  match contents max_weights weights with
  | None -> raise (Weights.Unreadable "the weights are too long")
  | Some model ->
    let weights = Weights.read model stated in
    match contents Certificate.max_bytes certificate with
    | None -> Certificate.reject "resources" "the certificate is too long"
    | Some data -> Verdict.check data weights max_work

let run certificate weights stated max_work =
  match verdict certificate weights stated max_work with
  | line -> print stdout line; 0
  | exception Certificate.Rejected (reason, sentence) -> rejected reason sentence
  | exception (Stack_overflow | Out_of_memory) -> rejected "resources" "out of memory"
  | exception (Weights.Unreadable text | Verdict.Not_covered text | Sys_error text) -> say text; 2
  (* Whatever it is, nothing was verified and nothing rejected. *)
  | exception error -> say ("no verdict: " ^ Printexc.to_string error); 2

let () =
  Sys.set_signal Sys.sigpipe Sys.Signal_ignore;
  let certificates, weights = ref [], ref None in
  let k, scale, max_work = ref None, ref None, ref (Float.pow 2. 30.) in
  let flags = [
    "--weights", Arg.String (fun path -> weights := Some path), "W  safetensors file of the model it is about";
    "--k", Arg.Int (fun n -> k := Some n), "N  number of positions to use (default: metadata, or all rows of W_pos)";
    "--attn-scale", Arg.String (fun text -> scale := Some text), "S  attention scale: 1/sqrt(d_head) or 1";
    "--ln-eps", Arg.String ignore, "E  without effect: no model that is covered has a LayerNorm";
    "--max-work", Arg.Set_float max_work, "N  refuse longer checks (default: 2^30)";
  ] in
  Arg.parse flags (fun path -> certificates := path :: !certificates) usage;
  match !certificates, !weights with
  | [certificate], Some weights ->
    exit (run certificate weights { Weights.stated_k = !k; stated_scale = !scale } !max_work)
  | _ -> Arg.usage flags usage; exit 2
