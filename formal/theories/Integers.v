(** * The integers that an evaluator computes with

    Every evaluator here is written once, over any carrier of integers, and proved from the laws below. Two carriers
    obey them: [big], machine words in trees, fast in Coq's virtual machine; and [plain], Coq's own Z, which becomes
    OCaml's arbitrary-precision integers when a checker is extracted. So what the kernel runs and what the extracted
    checker runs are the same definitions with the same theorem.

    Contents:
      integers — a carrier and its operations; lawful — they are those of Z.
      big, plain — the two carriers.
      val — an integer as a real number; pow2 — powers of two, and what shifting does to them. *)

From Coq Require Import ZArith Reals Bool Uint63 Lra Lia.
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

(* Two short cuts through Bignums, for what loops do most: comparing words, and shifting by less than 2^16. *)
Definition big_leb (x y : bigZ) : bool :=
  match x, y with
  | BigZ.Pos (BigN.N0 a), BigZ.Pos (BigN.N0 b) => Uint63.leb a b
  | BigZ.Neg (BigN.N0 a), BigZ.Neg (BigN.N0 b) => Uint63.leb b a
  | BigZ.Neg (BigN.N0 a), BigZ.Pos (BigN.N0 b) => true
  | _, _ => BigZ.leb x y
  end.

Definition small (s : Z) : bigZ :=
  if (s <? 0)%Z then
    if (-65536 <? s)%Z then BigZ.Neg (BigN.N0 (Uint63.of_Z (- s))) else BigZ.of_Z s
  else if (s <? 65536)%Z then BigZ.Pos (BigN.N0 (Uint63.of_Z s)) else BigZ.of_Z s.

Definition big : integers bigZ := {|
  to_Z := BigZ.to_Z; of_Z := BigZ.of_Z; add := BigZ.add; sub := BigZ.sub; mul := BigZ.mul;
  shift := fun x s => BigZ.shiftl x (small s); leb := big_leb
|}.

Definition plain : integers Z := {|
  to_Z := fun z => z; of_Z := fun z => z; add := Z.add; sub := Z.sub; mul := Z.mul; shift := Z.shiftl; leb := Z.leb
|}.

Lemma word_positive i : BigZ.to_Z (BigZ.Pos (BigN.N0 i)) = Uint63.to_Z i.
Proof. reflexivity. Qed.
Lemma word_negative i : BigZ.to_Z (BigZ.Neg (BigN.N0 i)) = (- Uint63.to_Z i)%Z.
Proof. reflexivity. Qed.

Lemma big_leb_correct x y : big_leb x y = (BigZ.to_Z x <=? BigZ.to_Z y)%Z.
Proof.
  assert (L : forall a b, Uint63.leb a b = (Uint63.to_Z a <=? Uint63.to_Z b)%Z).
  { intros a b. apply eq_true_iff_eq. rewrite Z.leb_le. apply Uint63.leb_spec. }
  destruct x as [[]|[]], y as [[]|[]]; try apply BigZ.spec_leb; cbn [big_leb];
    rewrite ?word_positive, ?word_negative, ?L.
  - reflexivity.
  - symmetry. apply Z.leb_le, Z.le_trans with 0%Z; [apply Z.opp_nonpos_nonneg|]; apply Uint63.to_Z_bounded.
  - apply eq_true_iff_eq. rewrite !Z.leb_le. lia.
Qed.

Lemma small_correct s : BigZ.to_Z (small s) = s.
Proof.
  assert (W : (65536 < Uint63.wB)%Z) by reflexivity. unfold small. set (w := Uint63.wB) in *.
  destruct (Z.ltb_spec s 0); [destruct (Z.ltb_spec (-65536) s)|destruct (Z.ltb_spec s 65536)];
    try apply BigZ.spec_of_Z; rewrite ?word_negative, ?word_positive, Uint63.of_Z_spec; fold w;
    rewrite Z.mod_small by lia; lia.
Qed.

Lemma big_lawful : lawful big.
Proof.
  constructor; intros; cbn -[BigZ.to_Z BigZ.of_Z BigZ.add BigZ.sub BigZ.mul BigZ.shiftl small big_leb Z.shiftl].
  - apply BigZ.spec_of_Z.
  - apply BigZ.spec_add.
  - apply BigZ.spec_sub.
  - apply BigZ.spec_mul.
  - rewrite BigZ.spec_shiftl. f_equal. apply small_correct.
  - apply big_leb_correct.
Qed.

Lemma plain_lawful : lawful plain.
Proof. constructor; reflexivity. Qed.

Open Scope R_scope.

(** Powers of two with any exponent. *)
Definition pow2 (e : Z) : R := powerRZ 2 e.

Lemma pow2_positive e : 0 < pow2 e.
Proof. apply powerRZ_lt. lra. Qed.

Lemma pow2_add e f : pow2 (e + f) = pow2 e * pow2 f.
Proof. apply powerRZ_add. lra. Qed.

Lemma pow2_IZR e : (0 <= e)%Z -> pow2 e = IZR (2 ^ e).
Proof. intros H. unfold pow2. rewrite <- (Z2Nat.id e H), <- pow_powerRZ. apply pow_IZR. Qed.

Lemma pow2_inverse e : pow2 (- e) * pow2 e = 1.
Proof. rewrite <- pow2_add, Z.add_opp_diag_l. reflexivity. Qed.

(** Shifting rounds down, by less than one. *)
Lemma shiftl_floor z s : IZR (Z.shiftl z s) <= IZR z * pow2 s < IZR (Z.shiftl z s) + 1.
Proof.
  destruct (Z_le_gt_dec 0 s) as [Hs|Hs].
  - rewrite Z.shiftl_mul_pow2, mult_IZR, pow2_IZR by exact Hs. lra.
  - replace s with (- (- s))%Z by lia. set (r := (- s)%Z). assert (Hr : (0 <= r)%Z) by (unfold r; lia).
    rewrite Z.shiftl_opp_r, Z.shiftr_div_pow2 by exact Hr.
    assert (H2 : (0 < 2 ^ r)%Z) by (apply Z.pow_pos_nonneg; lia). pose proof (pow2_inverse r) as I.
    pose proof (Z.mul_div_le z (2 ^ r) H2) as L. pose proof (Z.mul_succ_div_gt z (2 ^ r) H2) as U.
    apply IZR_le in L. apply IZR_lt in U. rewrite mult_IZR, <- (pow2_IZR r Hr) in L, U. rewrite succ_IZR in U.
    pose proof (pow2_positive (- r)) as P. apply Rmult_le_compat_r with (r := pow2 (- r)) in L; [|lra].
    apply Rmult_lt_compat_r with (r := pow2 (- r)) in U; [|exact P].
    assert (E : forall x, pow2 r * x * pow2 (- r) = x) by (intros x; rewrite <- (Rmult_1_l x) at 2; rewrite <- I; ring).
    rewrite E in L, U. lra.
Qed.

Section Reals.
  Context {T : Type} (A : integers T) (law : lawful A).

  Definition val (x : T) : R := IZR (to_Z A x).

  Lemma val_of z : val (of_Z A z) = IZR z.
  Proof. unfold val. now rewrite of_Z_law. Qed.
  Lemma val_add x y : val (add A x y) = val x + val y.
  Proof. unfold val. now rewrite add_law, plus_IZR. Qed.
  Lemma val_sub x y : val (sub A x y) = val x - val y.
  Proof. unfold val. now rewrite sub_law, minus_IZR. Qed.
  Lemma val_mul x y : val (mul A x y) = val x * val y.
  Proof. unfold val. now rewrite mul_law, mult_IZR. Qed.
  Lemma val_shift x s : val (shift A x s) <= val x * pow2 s < val (shift A x s) + 1.
  Proof. unfold val. rewrite shift_law by exact law. apply shiftl_floor. Qed.
  Lemma val_leb x y : leb A x y = true <-> val x <= val y.
  Proof. rewrite leb_law, Z.leb_le by exact law. unfold val. split; [apply IZR_le|apply le_IZR]. Qed.
  Lemma val_leb_false x y : leb A x y = false <-> val y < val x.
  Proof. rewrite leb_law, Z.leb_gt by exact law. unfold val. split; [apply IZR_lt|apply lt_IZR]. Qed.
End Reals.
