(* Zarith's integers, under a name that the modules of Coq do not hide. *)
include Z
