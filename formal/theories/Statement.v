(** * What is proved

    A one-layer, one-head, attention-only transformer without biases and LayerNorm, as a function over the real numbers
    of its weights; the task Max-of-K; and the number of sequences on which the model is right. A theorem of this
    development reads

        N <= count_correct M

    for a model M whose weights are the exact dyadic numbers of a file.

    What such a theorem does not say. It is about real arithmetic: a float32 execution of the same weights rounds, and
    no statement here bounds that. It is about the weights written in the instance: that they are those of a given
    file is for the reader of the instance to compare (`pessimal formal export` writes both and the digest). It is a
    lower bound: sequences that are not counted may be right. It says nothing about sequences of another length.

    Source: `pessimal.spec.model`, which states the same forward pass in Python; row vectors, as there.

    Contents:
      model — sizes and weights.
      logit — the logits of the last position.
      correct — the largest token's logit is strictly above every other.
      sequences, count_correct — all sequences, and how many of them are correct. *)

From Coq Require Import Reals ZArith List Bool Arith FinFun.
Import ListNotations.
Open Scope R_scope.

(** f 0 + ... + f (n-1) *)
Fixpoint sum (f : nat -> R) (n : nat) : R :=
  match n with O => 0 | S m => sum f m + f m end.

(** Sizes and weights. Tokens are 0 .. d_vocab-1 and positions 0 .. k-1; entries outside are not used. *)
Record model := {
  k : nat; d_vocab : nat; d_model : nat; d_head : nat;
  W_E : nat -> nat -> R;    (* token, d_model *)
  W_pos : nat -> nat -> R;  (* position, d_model *)
  W_Q : nat -> nat -> R;    (* d_model, d_head *)
  W_K : nat -> nat -> R;
  W_V : nat -> nat -> R;
  W_O : nat -> nat -> R;    (* d_head, d_model *)
  W_U : nat -> nat -> R     (* d_model, d_vocab *)
}.

Section Logits.
  Variable M : model.

  Definition last : nat := k M - 1.
  Definition embedding (i t d : nat) : R := W_E M t d + W_pos M i d.
  Definition query (q a : nat) : R := sum (fun d => embedding last q d * W_Q M d a) (d_model M).
  Definition key (i t a : nat) : R := sum (fun d => embedding i t d * W_K M d a) (d_model M).
  Definition value (i t a : nat) : R := sum (fun d => embedding i t d * W_V M d a) (d_model M).

  (** Attention score of last token q at token t in position i. *)
  Definition score (q i t : nat) : R :=
    sum (fun a => query q a * key i t a) (d_head M) / sqrt (INR (d_head M)).

  (** A sequence is given by its token at every position. Softmax of the scores: *)
  Definition attention (x : nat -> nat) (i : nat) : R :=
    exp (score (x last) i (x i)) / sum (fun j => exp (score (x last) j (x j))) (k M).
  Definition mixed (x : nat -> nat) (a : nat) : R := sum (fun i => attention x i * value i (x i) a) (k M).
  Definition residual (x : nat -> nat) (d : nat) : R :=
    embedding last (x last) d + sum (fun a => mixed x a * W_O M a d) (d_head M).
  Definition logit (x : nat -> nat) (o : nat) : R := sum (fun d => residual x d * W_U M d o) (d_model M).
End Logits.

(** The right output: the largest of the first n tokens. *)
Fixpoint largest (x : nat -> nat) (n : nat) : nat :=
  match n with O => O | S m => Nat.max (largest x m) (x m) end.

(** Ties are wrong. *)
Definition correct (M : model) (x : nat -> nat) : Prop :=
  forall o, (o < d_vocab M)%nat -> o <> largest x (k M) -> logit M x o < logit M x (largest x (k M)).

(** The same as a boolean, so that it can be counted; real numbers are compared by excluded middle. *)
Definition is_correct (M : model) (x : nat -> nat) : bool :=
  let y := largest x (k M) in
  forallb (fun o => (o =? y)%nat || (if Rlt_dec (logit M x o) (logit M x y) then true else false))
    (seq 0 (d_vocab M)).

Lemma is_correct_spec M x : is_correct M x = true <-> correct M x.
Proof.
  unfold is_correct, correct. rewrite forallb_forall. split; intros H o.
  - intros Ho Hne. specialize (H o). rewrite in_seq in H. specialize (H (conj (Nat.le_0_l o) Ho)).
    apply orb_true_iff in H as [H|H]; [now apply Nat.eqb_eq in H|]. now destruct (Rlt_dec _ _).
  - intros Ho%in_seq. apply orb_true_iff. destruct (Nat.eqb_spec o (largest x (k M))) as [|Hne]; [now left|right].
    destruct (Rlt_dec _ _) as [|Hn]; [reflexivity|]. destruct Hn. now apply H.
Qed.

(** All sequences of n tokens below v. *)
Fixpoint sequences (n v : nat) : list (list nat) :=
  match n with
  | O => [[]]
  | S m => flat_map (fun t => map (cons t) (sequences m v)) (seq 0 v)
  end.

Definition token (s : list nat) (i : nat) : nat := nth i s O.

Definition count_correct (M : model) : Z :=
  Z.of_nat (length (filter (fun s => is_correct M (token s)) (sequences (k M) (d_vocab M)))).

(** [sequences] lists each of them once. *)
Lemma in_sequences n v s : In s (sequences n v) <-> length s = n /\ Forall (fun t => (t < v)%nat) s.
Proof.
  revert s; induction n as [|n IH]; intros s; simpl.
  - split; [intros [<-|[]]; auto|]. intros [H _]. left. symmetry. now apply length_zero_iff_nil.
  - rewrite in_flat_map. split.
    + intros (t & Ht%in_seq & (r & <- & Hr%IH)%in_map_iff). destruct Hr as [Hl Hf]. simpl.
      split; [now rewrite Hl|]. constructor; [apply Ht|exact Hf].
    + intros [Hl Hf]. destruct s as [|t r]; [discriminate|]. inversion Hf; subst. exists t.
      split; [apply in_seq; auto with arith|].
      apply in_map, IH. split; auto.
Qed.

Lemma once_app (A B : list (list nat)) : NoDup A -> NoDup B -> (forall s, In s A -> ~ In s B) -> NoDup (A ++ B).
Proof.
  intros HA HB H. induction HA as [|s A Hs _ IH]; simpl; [exact HB|]. constructor.
  - intros [Hin|Hin]%in_app_or; [contradiction|]. apply (H s); simpl; auto.
  - apply IH. intros r Hr. apply H. now right.
Qed.

Lemma sequences_once n v : NoDup (sequences n v).
Proof.
  induction n as [|n IH]; simpl; [repeat constructor; intros []|].
  generalize (seq_NoDup v 0); generalize (seq 0 v) as ts. induction ts as [|t ts IHt]; intros H; simpl; [constructor|].
  inversion H as [|? ? Ht Hts]; subst. apply once_app; [|exact (IHt Hts)|].
  - apply FinFun.Injective_map_NoDup; [|exact IH]. now intros a b [=].
  - intros s (r & <- & _)%in_map_iff (t' & Ht' & (r' & [=] & _)%in_map_iff)%in_flat_map. subst. contradiction.
Qed.
