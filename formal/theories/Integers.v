(** * The integers that an evaluator computes with

    Every evaluator here is written once, over any carrier of integers, and proved from the laws below. Two carriers
    obey them: [big], machine words in trees, fast in Coq's virtual machine; and [plain], Coq's own Z, which becomes
    OCaml's arbitrary-precision integers when a checker is extracted. So what the kernel runs and what the extracted
    checker runs are the same definitions with the same theorem.

    Contents:
      integers — a carrier and its operations; lawful — they are those of Z.
      big, plain — the two carriers. *)

From Coq Require Import ZArith.
From Bignums Require Import BigZ.

Record integers (T : Type) := {
  to_Z : T -> Z; of_Z : Z -> T;
  add : T -> T -> T; sub : T -> T -> T; mul : T -> T -> T;
  shift : T -> Z -> T;      (* times 2^s, rounded down if s < 0 *)
  leb : T -> T -> bool
}.
Arguments to_Z {T}. Arguments of_Z {T}. Arguments add {T}. Arguments sub {T}. Arguments mul {T}.
Arguments shift {T}. Arguments leb {T}.

Record lawful {T : Type} (A : integers T) : Prop := {
  of_Z_law : forall z, to_Z A (of_Z A z) = z;
  add_law : forall x y, to_Z A (add A x y) = (to_Z A x + to_Z A y)%Z;
  sub_law : forall x y, to_Z A (sub A x y) = (to_Z A x - to_Z A y)%Z;
  mul_law : forall x y, to_Z A (mul A x y) = (to_Z A x * to_Z A y)%Z;
  shift_law : forall x s, to_Z A (shift A x s) = Z.shiftl (to_Z A x) s;
  leb_law : forall x y, leb A x y = (to_Z A x <=? to_Z A y)%Z
}.

Definition big : integers bigZ := {|
  to_Z := BigZ.to_Z; of_Z := BigZ.of_Z; add := BigZ.add; sub := BigZ.sub; mul := BigZ.mul;
  shift := fun x s => BigZ.shiftl x (BigZ.of_Z s); leb := BigZ.leb
|}.

Definition plain : integers Z := {|
  to_Z := fun z => z; of_Z := fun z => z; add := Z.add; sub := Z.sub; mul := Z.mul; shift := Z.shiftl; leb := Z.leb
|}.

Lemma big_lawful : lawful big.
Proof.
  constructor; intros; cbn -[BigZ.to_Z BigZ.of_Z BigZ.add BigZ.sub BigZ.mul BigZ.shiftl BigZ.leb Z.shiftl];
    rewrite ?BigZ.spec_shiftl, ?BigZ.spec_of_Z.
  all: try reflexivity.
  - apply BigZ.spec_add.
  - apply BigZ.spec_sub.
  - apply BigZ.spec_mul.
  - apply BigZ.spec_leb.
Qed.

Lemma plain_lawful : lawful plain.
Proof. constructor; reflexivity. Qed.
