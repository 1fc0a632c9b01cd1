(* pessimal-verified CERT --weights W: the line of `pessimal check` without flops and ops, by the checker that is
   extracted from the theorems in formal/theories.

   Exit code: 0 verified; 1 rejected; 3 rejected because it would take too long; 2 no verdict: a file that cannot be
   read, or a certificate that is not covered, with the reason on stderr. *)

let usage = "pessimal-verified CERT --weights W.safetensors [--k N] [--attn-scale S] [--ln-eps E] [--max-work N]"

let contents path =
  let file = open_in_bin path in
  Fun.protect ~finally:(fun () -> close_in file) (fun () -> really_input_string file (in_channel_length file))

let say text = prerr_endline ("pessimal-verified: " ^ text)

let rejected reason sentence =
  say sentence;
  print_endline ("s REJECTED reason=" ^ reason);
  if reason = "resources" then 3 else 1

let run certificate weights stated max_work =
  match Verdict.check (contents certificate) (Weights.read (contents weights) stated) max_work with
  | line -> print_endline line; 0
  | exception Certificate.Rejected (reason, sentence) -> rejected reason sentence
  | exception (Stack_overflow | Out_of_memory) -> rejected "resources" "out of memory"
  | exception (Weights.Unreadable text | Verdict.Not_covered text | Sys_error text) -> say text; 2

let () =
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
