(** * Margins of the problems of a target

    A problem of target y stands for some rivals o. Its margins are integers m_i(t), by position and token, and d, by
    last token q, with

        m_i(t) + d <= V_i(t)_y - V_i(t)_o + D(q)_y - D(q)_o - 2     for each of its rivals,

    V and D the logits rounded down, so two units make up for the rounding. The four kinds of rivals differ in how
    they get there: all rivals in one problem by the largest other output, in V and D apart (plain), after moving a row
    from D to V (centred; any row is sound), or in V + D (joint); or every rival in a problem of its own. With pooled
    positions the least margin over the positions before the last stands for all of them.

    Source: `pessimal.kernel.terms.rivals`.

    Contents:
      zip, pool, spread, others — lists in step, one row for many, all but one.
      exclusive — entry by entry the largest of all other rows.
      problem, problems — margins; fits, problems_correct — the inequality above. *)

From Coq Require Import Reals ZArith List Bool Arith Lra Lia.
From Pessimal Require Import Integers Statement Sums TableForm.
Import ListNotations.
Open Scope Z_scope.

Inductive rivals := Plain | Centred | Joint | Every.

Fixpoint zip {X Y Z} (f : X -> Y -> Z) (l : list X) (m : list Y) : list Z :=
  match l, m with x :: l', y :: m' => f x y :: zip f l' m' | _, _ => [] end.

Lemma zip_length {X Y Z} (f : X -> Y -> Z) l : forall m, length (zip f l m) = Nat.min (length l) (length m).
Proof. induction l as [|x l IH]; intros [|y m]; cbn [zip length]; try reflexivity. rewrite IH. reflexivity. Qed.

Lemma zip_nth {X Y Z} (f : X -> Y -> Z) a b c l : forall m i, (i < length l)%nat -> (i < length m)%nat ->
  nth i (zip f l m) c = f (nth i l a) (nth i m b).
Proof. induction l as [|x l IH]; intros [|y m] [|i]; cbn [length zip nth]; intros; try lia; [reflexivity|].
  apply IH; lia. Qed.

(** One row for many, entry by entry; and many copies of one row. *)
Definition pool {X} (op : X -> X -> X) (l : list (list X)) : list (list X) :=
  match l with [] => [] | r :: l' => [fold_left (zip op) l' r] end.

Definition spread {X} (pooled : bool) (n : nat) (l : list X) : list X :=
  if pooled then match l with [] => [] | r :: _ => repeat r n end else l.

Definition pooled_rows {X} (pooled : bool) (op : X -> X -> X) (l : list (list X)) : list (list X) :=
  if pooled then pool op l else l.

Lemma pool_correct {X} (op : X -> X -> X) (le : X -> X -> Prop) (d : X) w :
  (forall a, le a a) -> (forall a b c, le a b -> le b c -> le a c) -> (forall a b, le (op a b) a /\ le (op a b) b) ->
  forall l r, length r = w -> (forall s, In s l -> length s = w) ->
  length (fold_left (zip op) l r) = w /\ forall s t, In s (r :: l) -> (t < w)%nat ->
    le (nth t (fold_left (zip op) l r) d) (nth t s d).
Proof.
  intros Refl Trans Op. induction l as [|a l IH]; intros r Hr H; cbn [fold_left].
  - split; [exact Hr|]. intros s t [<-|[]] _. apply Refl.
  - pose proof (H a (or_introl eq_refl)) as Ha. assert (Hz : length (zip op r a) = w) by (rewrite zip_length; lia).
    destruct (IH _ Hz (fun s Hs => H s (or_intror Hs))) as [L C]. split; [exact L|]. intros s t Hs Ht.
    specialize (C (zip op r a)) as C'. destruct Hs as [<-|[<-|Hs]]; [| |now apply C; [right|]];
      (eapply Trans; [apply C'; [now left|exact Ht]|]); rewrite (zip_nth _ d d) by lia; apply Op.
Qed.

Lemma pooled_correct {X} pooled (op : X -> X -> X) (le : X -> X -> Prop) (d : X) w :
  (forall a, le a a) -> (forall a b c, le a b -> le b c -> le a c) -> (forall a b, le (op a b) a /\ le (op a b) b) ->
  forall n l, length l = n -> (forall s, In s l -> length s = w) ->
  length (spread pooled n (pooled_rows pooled op l)) = n /\ forall i, (i < n)%nat ->
  length (nth i (spread pooled n (pooled_rows pooled op l)) []) = w /\ forall t, (t < w)%nat ->
    le (nth t (nth i (spread pooled n (pooled_rows pooled op l)) []) d) (nth t (nth i l []) d).
Proof.
  intros Refl Trans Op n l Hn H. unfold spread, pooled_rows. destruct pooled.
  - destruct l as [|r l]; cbn [pool length] in *; [subst; split; [reflexivity|lia]|].
    destruct (pool_correct op le d w Refl Trans Op l r (H r (or_introl eq_refl)) (fun s Hs => H s (or_intror Hs)))
      as [L C].
    split; [apply repeat_length|]. intros i Hi. rewrite (nth_indep _ [] (fold_left (zip op) l r)), nth_repeat
      by (rewrite repeat_length; exact Hi). split; [exact L|]. intros t Ht. apply C; [|exact Ht].
    apply nth_In. cbn. lia.
  - split; [exact Hn|]. intros i Hi. split; [apply H, nth_In; lia|]. intros t Ht. apply Refl.
Qed.

Lemma spread_map {X Y} (f : X -> Y) pooled n l : spread pooled n (map f l) = map f (spread pooled n l).
Proof. destruct pooled, l; cbn; try reflexivity. induction n; cbn; congruence. Qed.

(** All but entry y. *)
Definition others {X} (y : nat) (l : list X) : list X := firstn y l ++ skipn (S y) l.

Lemma others_map {X Y} (f : X -> Y) y l : others y (map f l) = map f (others y l).
Proof. unfold others. now rewrite map_app, firstn_map, skipn_map. Qed.

Lemma in_others y v o : In o (others y (seq 0 v)) <-> (o < v)%nat /\ o <> y.
Proof.
  unfold others. rewrite in_app_iff. destruct (Nat.lt_ge_cases y v) as [H|H].
  - replace v with (y + (v - y))%nat at 1 2 by lia. rewrite seq_app, firstn_app, skipn_app, seq_length.
    replace (y - y)%nat with O by lia. replace (S y - y)%nat with 1%nat by lia.
    rewrite firstn_O, app_nil_r, firstn_all2, skipn_all2 by (rewrite seq_length; lia).
    replace (v - y)%nat with (S (v - y - 1)) by lia. cbn [seq skipn app]. rewrite !in_seq. lia.
  - rewrite firstn_all2, skipn_all2, in_seq by (rewrite seq_length; lia). cbn. lia.
Qed.

Section Margins.
  Context {T : Type} (A : integers T).
  Notation row := (list T).
  Definition zero : T := of_Z A 0.

  Definition larger (a b : T) : T := if leb A a b then b else a.
  Definition smaller (a b : T) : T := if leb A a b then a else b.

  (** Entry by entry, the largest of all rows but one. None: of no rows. *)
  Definition join (a b : option row) : option row :=
    match a, b with Some r, Some s => Some (zip larger r s) | None, x | x, None => x end.
  Fixpoint suffixes (L : list row) : list (option row) :=
    match L with
    | [] => [None]
    | r :: L' => let l := suffixes L' in join (Some r) (hd None l) :: l
    end.
  Fixpoint exclusive_from (before : option row) (L : list row) (after : list (option row)) : list row :=
    match L, after with
    | r :: L', _ :: after' =>
        match join before (hd None after') with None => [] | Some s => s end
        :: exclusive_from (join before (Some r)) L' after'
    | _, _ => []
    end.
  Definition exclusive (L : list row) : list row := exclusive_from None L (suffixes L).

  (** Margins of the problems of one target: by position before the last (one row if pooled) and token; by token in the
      last position; by last token. *)
  Record problem := { m_rows : list row; m_last : row; m_direct : row }.

  (** Rows of the K positions, then those by last token if the margins do not hold it already. *)
  Definition problem_of (pooled : bool) (n : nat) (rows : list row) : problem := {|
    m_rows := pooled_rows pooled smaller (firstn n rows);
    m_last := nth n rows []; m_direct := nth (S n) rows []
  |}.

  Definition margin (slack : T) (mine theirs : row) : row := zip (fun a b => sub A (sub A a b) slack) mine theirs.

  (** For every target, one problem; [tables] by position, output and token, the direct path by output and query. *)
  Definition one_problem (pooled : bool) (n : nat) (slack : T) (tables : list (list row)) : list (list problem) :=
    let rivals := map exclusive tables in
    map (fun y => [problem_of pooled n (zip (fun L X => margin slack (nth y L []) (nth y X [])) tables rivals)])
      (seq 0 (length (hd [] tables))).

  Definition all_problems (pooled : bool) (n : nat) (slack : T) (tables : list (list row)) : list (list problem) :=
    let v := length (hd [] tables) in
    map (fun y => let mine := map (fun L => nth y L []) tables in
      map (fun o => problem_of pooled n (zip (fun r L => margin slack r (nth o L [])) mine tables))
        (others y (seq 0 v)))
      (seq 0 v).

  (** Adding c_o to every entry of row o. *)
  Definition plus_rows (c : row) (L : list row) : list row := zip (fun a r => map (add A a) r) c L.

  Definition total_of (l : row) : T := fold_left (add A) l zero.
  (** The mean of every row, rounded down. *)
  Definition means (L : list row) : row :=
    map (fun r => of_Z A (to_Z A (total_of r) / Z.of_nat (length r))) L.

  (** Problems by target for last token q. V: by position, output, token; D: by output and query. *)
  Definition problems (rival : rivals) (pooled : bool) (n : nat) (V : list (list row)) (D : list row) :
    nat -> list (list problem) :=
    let unit := of_Z A 1 in
    match rival with
    | Plain => let l := one_problem pooled n unit (V ++ [D]) in fun _ => l
    | Centred =>
        let c := means D in
        let l := one_problem pooled n unit (map (plus_rows c) V ++ [plus_rows (map (sub A zero) c) D]) in fun _ => l
    | Joint => let two := of_Z A 2 in
        fun q => one_problem pooled n two (map (plus_rows (map (fun r => nth q r zero) D)) V)
    | Every => let l := all_problems pooled n unit (V ++ [D]) in fun _ => l
    end.

  (** ** Proofs *)

  Hypothesis law : lawful A.
  Variable v : nat.
  Notation at_ t r := (to_Z A (nth t r zero)).
  Notation entry L o t := (to_Z A (nth t (nth o L []) zero)).

  Lemma to_Z_zero : to_Z A zero = 0.
  Proof. apply (of_Z_law A law). Qed.

  Lemma larger_le a b : to_Z A a <= to_Z A (larger a b) /\ to_Z A b <= to_Z A (larger a b).
  Proof. unfold larger. rewrite (leb_law A law). destruct (Z.leb_spec (to_Z A a) (to_Z A b)); lia. Qed.

  Lemma smaller_le a b : to_Z A (smaller a b) <= to_Z A a /\ to_Z A (smaller a b) <= to_Z A b.
  Proof. unfold smaller. rewrite (leb_law A law). destruct (Z.leb_spec (to_Z A a) (to_Z A b)); lia. Qed.

  Definition dominates (s r : row) : Prop := length s = v /\ forall t, (t < v)%nat -> at_ t r <= at_ t s.
  Definition covers (x : option row) (r : row) : Prop := match x with Some s => dominates s r | None => False end.
  Definition well (x : option row) : Prop := match x with Some s => length s = v | None => True end.

  Lemma join_well a b : well a -> well b -> well (join a b).
  Proof. destruct a, b; cbn; intros; trivial. rewrite zip_length. lia. Qed.

  Lemma zip_larger_dominates r s x : length r = v -> length s = v -> dominates r x \/ dominates s x ->
    dominates (zip larger r s) x.
  Proof.
    intros Hr Hs H. split; [rewrite zip_length; lia|]. intros t Ht. rewrite (zip_nth _ zero zero) by lia.
    pose proof (larger_le (nth t r zero) (nth t s zero)). destruct H as [[_ H]|[_ H]]; specialize (H t Ht); lia.
  Qed.

  Lemma join_covers a b x : well a -> well b -> covers a x \/ covers b x -> covers (join a b) x.
  Proof. destruct a, b; cbn; intros Ha Hb [H|H]; trivial; try contradiction; apply zip_larger_dominates; auto. Qed.

  Definition square (L : list row) : Prop := length L = v /\ forall o, (o < v)%nat -> length (nth o L []) = v.

  Lemma suffixes_correct L : (forall r, In r L -> length r = v) ->
    well (hd None (suffixes L)) /\ forall r, In r L -> covers (hd None (suffixes L)) r.
  Proof.
    induction L as [|s L IH]; intros H; [split; [exact I|intros r []]|].
    destruct IH as [W C]; [intros; apply H; now right|].
    assert (Hs : well (Some s)) by (apply H; now left). cbn [suffixes hd]. split; [now apply join_well|].
    intros r [<-|Hr]; apply join_covers; auto. left. split; [exact Hs|reflexivity].
  Qed.

  Lemma exclusive_from_correct L : (forall r, In r L -> length r = v) -> forall before, well before ->
    length (exclusive_from before L (suffixes L)) = length L /\ forall y, (y < length L)%nat ->
    (forall r, covers before r -> dominates (nth y (exclusive_from before L (suffixes L)) []) r) /\
    (forall o, (o < length L)%nat -> o <> y ->
      dominates (nth y (exclusive_from before L (suffixes L)) []) (nth o L [])).
  Proof.
    induction L as [|s L IH]; intros H before W; [split; [reflexivity|cbn; lia]|].
    assert (Hs : well (Some s)) by (apply H; now left).
    assert (HL : forall r, In r L -> length r = v) by (intros; apply H; now right).
    destruct (suffixes_correct L HL) as [WL CL]. pose proof (join_well _ _ W Hs) as WB.
    destruct (IH HL _ WB) as [Len C]. cbn [suffixes exclusive_from]. split; [cbn [length]; now rewrite Len|].
    assert (Take : forall x r, covers x r -> dominates match x with None => [] | Some z => z end r).
    { intros [z|] r; [trivial|contradiction]. }
    intros [|y] Hy; cbn [nth length] in *; split.
    - intros r Hr. apply Take, join_covers; auto.
    - intros [|o] Ho Hne; [congruence|]. apply Take, join_covers; auto. right. apply CL, nth_In. lia.
    - intros r Hr. apply C; [lia|]. apply join_covers; auto.
    - intros [|o] Ho Hne; [|apply C; lia]. apply C; [lia|]. apply join_covers; auto. right.
      split; [exact Hs|reflexivity].
  Qed.

  Lemma in_square L r : square L -> In r L -> length r = v.
  Proof. intros [HL H] (o & Ho & <-)%(In_nth _ _ []). apply H. lia. Qed.

  Lemma exclusive_correct L y o : square L -> (y < v)%nat -> (o < v)%nat -> o <> y ->
    dominates (nth y (exclusive L) []) (nth o L []).
  Proof.
    intros HS Hy Ho Hne. destruct (exclusive_from_correct L (fun r => in_square L r HS) None I) as [_ C].
    destruct HS as [HL _]. apply C; lia.
  Qed.

  Lemma margin_correct slack mine theirs least t : length mine = v -> dominates theirs least -> (t < v)%nat ->
    length (margin slack mine theirs) = v /\
    at_ t (margin slack mine theirs) <= at_ t mine - at_ t least - to_Z A slack.
  Proof.
    intros Hm [Ht H] Hlt. unfold margin. split; [rewrite zip_length; lia|]. rewrite (zip_nth _ zero zero) by lia.
    rewrite !(sub_law A law). specialize (H t Hlt). lia.
  Qed.

  (** Rows, one for each table, that stay below y's entries less o's. *)
  Definition below (slack : T) (tables : list (list row)) (y o : nat) (rows : list row) : Prop :=
    forall i, (i < length tables)%nat -> length (nth i rows []) = v /\ forall t, (t < v)%nat ->
      at_ t (nth i rows []) <= entry (nth i tables []) y t - entry (nth i tables []) o t - to_Z A slack.

  Lemma one_rows slack tables y o : Forall square tables -> (y < v)%nat -> (o < v)%nat -> o <> y ->
    below slack tables y o
      (zip (fun L X => margin slack (nth y L []) (nth y X [])) tables (map exclusive tables)).
  Proof.
    intros HF Hy Ho Hne i Hi. rewrite (zip_nth _ [] (exclusive [])) by (rewrite ?map_length; exact Hi).
    rewrite map_nth. set (L := nth i tables []).
    assert (HS : square L) by (rewrite Forall_forall in HF; now apply HF, nth_In).
    pose proof (exclusive_correct L y o HS Hy Ho Hne) as E. pose proof (proj2 HS y Hy) as Ly. split.
    - unfold margin. destruct E as [E _]. rewrite zip_length. lia.
    - intros t Ht. now apply margin_correct.
  Qed.

  Lemma every_rows slack tables y o : Forall square tables -> (y < v)%nat -> (o < v)%nat ->
    below slack tables y o
      (zip (fun r L => margin slack r (nth o L [])) (map (fun L => nth y L []) tables) tables).
  Proof.
    intros HF Hy Ho i Hi. rewrite (zip_nth _ (nth y [] []) []) by (rewrite ?map_length; exact Hi).
    rewrite (map_nth (fun L => nth y L [])). set (L := nth i tables []).
    assert (HS : square L) by (rewrite Forall_forall in HF; now apply HF, nth_In).
    pose proof (proj2 HS y Hy) as Ly. pose proof (proj2 HS o Ho) as Lo. split.
    - unfold margin. rewrite zip_length. lia.
    - intros t Ht. apply margin_correct; auto. split; [exact Lo|reflexivity].
  Qed.

  Lemma plus_rows_square c L : square L -> length c = v -> square (plus_rows c L).
  Proof.
    intros [HL H] Hc. unfold plus_rows. split; [rewrite zip_length; lia|]. intros o Ho.
    rewrite (zip_nth _ zero []) by lia. rewrite map_length. auto.
  Qed.

  Lemma plus_rows_entry c L o t : square L -> length c = v -> (o < v)%nat -> (t < v)%nat ->
    entry (plus_rows c L) o t = at_ o c + entry L o t.
  Proof.
    intros [HL H] Hc Ho Ht. unfold plus_rows. rewrite (zip_nth _ zero []) by lia.
    rewrite (nth_indep _ zero (add A (nth o c zero) zero)) by (rewrite map_length, H; assumption).
    now rewrite map_nth, (add_law A law).
  Qed.
  (** What a problem says about rival o: its margins, and the direct one, stay below the gap of exact logits. *)
  Section Problems.
    Variables (pooled : bool) (n : nat) (V : list (list row)) (D : list row).
    Hypotheses (HV : Forall square V) (HD : square D) (HK : length V = S n).

    Definition gap (q y o i t : nat) : Z :=
      entry (nth i V []) y t - entry (nth i V []) o t + entry D y q - entry D o q - 2.

    Definition fits (q y : nat) (p : problem) (o : nat) : Prop :=
      length (spread pooled n (m_rows p)) = n /\
      (forall i, (i < n)%nat -> length (nth i (spread pooled n (m_rows p)) []) = v /\ forall t, (t < v)%nat ->
        at_ t (nth i (spread pooled n (m_rows p)) []) + at_ q (m_direct p) <= gap q y o i t) /\
      at_ q (m_last p) + at_ q (m_direct p) <= gap q y o n q.

    Lemma problem_fits q y o rows : (q < v)%nat -> (n < length rows)%nat ->
      (forall i, (i <= n)%nat -> length (nth i rows []) = v /\ forall t, (t < v)%nat ->
        at_ t (nth i rows []) + at_ q (nth (S n) rows []) <= gap q y o i t) ->
      fits q y (problem_of pooled n rows) o.
    Proof.
      intros Hq Hn H. unfold fits, problem_of. cbn [m_rows m_last m_direct].
      assert (L : length (firstn n rows) = n) by (rewrite firstn_length; lia).
      assert (Hf : forall i, (i < n)%nat -> nth i (firstn n rows) [] = nth i rows []).
      { intros i Hi. rewrite <- (firstn_skipn n rows) at 2. rewrite app_nth1 by lia. reflexivity. }
      destruct (pooled_correct pooled smaller (fun a b => to_Z A a <= to_Z A b) zero v) with (n := n)
        (l := firstn n rows) as [P1 P2]; auto using smaller_le with zarith.
      - intros s (i & Hi & <-)%(In_nth _ _ []). rewrite Hf by lia. apply H. lia.
      - split; [exact P1|]. split; [|apply H; auto]. intros i Hi. destruct (P2 i Hi) as [P3 P4]. split; [exact P3|].
        intros t Ht. specialize (P4 t Ht). rewrite Hf in P4 by exact Hi.
        destruct (H i ltac:(lia)) as [_ H']. specialize (H' t Ht). lia.
    Qed.

    (** Which rivals the problems of a target stand for. *)
    Definition rivals_of (rival : rivals) (y : nat) : list (list nat) :=
      match rival with Every => map (fun o => [o]) (others y (seq 0 v)) | _ => [others y (seq 0 v)] end.

    Lemma rivals_of_all rival y o : (o < v)%nat -> o <> y -> exists R, In R (rivals_of rival y) /\ In o R.
    Proof.
      intros Ho Hne. pose proof (proj2 (in_others y v o) (conj Ho Hne)) as H.
      destruct rival; [| | |exists [o]; split; [exact (in_map (fun o => [o]) _ _ H)|now left]];
        (exists (others y (seq 0 v)); split; [now left|exact H]).
    Qed.

    Definition fit_all (rival : rivals) (q y : nat) (ps : list problem) : Prop :=
      Forall2 (fun p R => forall o, In o R -> fits q y p o) ps (rivals_of rival y).

    Lemma head_square tables : Forall square tables -> (0 < length tables)%nat -> length (hd [] tables) = v.
    Proof. destruct 1 as [|L l [H _] _]; cbn; [lia|auto]. Qed.

    (** Tables whose gaps, i's and the direct one or i's alone, are small enough. *)
    Definition framed (tables : list (list row)) : Prop := Forall square tables /\ (n < length tables)%nat.
    Definition close (slack : Z) (tables : list (list row)) (q : nat) : Prop :=
      forall y o i t, (y < v)%nat -> (o < v)%nat -> (i <= n)%nat -> (t < v)%nat ->
        entry (nth i tables []) y t - entry (nth i tables []) o t - slack
        + (if (S n <? length tables)%nat
           then entry (nth (S n) tables []) y q - entry (nth (S n) tables []) o q - slack else 0) <= gap q y o i t.

    Lemma below_fits slack tables q y o rows : (q < v)%nat -> (y < v)%nat -> (o < v)%nat ->
      length rows = length tables -> (n < length tables)%nat -> close (to_Z A slack) tables q ->
      below slack tables y o rows -> fits q y (problem_of pooled n rows) o.
    Proof.
      intros Hq Hy Ho L Hn Hc Hb. apply problem_fits; [exact Hq|lia|]. intros i Hi.
      destruct (Hb i ltac:(lia)) as [L' B]. split; [exact L'|]. intros t Ht. specialize (B t Ht).
      specialize (Hc y o i t Hy Ho Hi Ht).
      destruct (Nat.ltb_spec (S n) (length tables)) as [H|H].
      - destruct (Hb (S n) H) as [_ B']. specialize (B' q Hq). lia.
      - rewrite (nth_overflow rows (n := S n)) by lia. destruct q; cbn [nth]; rewrite to_Z_zero; lia.
    Qed.

    Lemma one_problem_fits slack tables rival q y : rival <> Every -> (q < v)%nat -> (y < v)%nat ->
      framed tables -> close (to_Z A slack) tables q ->
      fit_all rival q y (nth y (one_problem pooled n slack tables) []).
    Proof.
      intros Hr Hq Hy [HF Hn] Hc. unfold one_problem. rewrite head_square, nth_map_seq by (assumption || lia).
      unfold fit_all. replace (rivals_of rival y) with [others y (seq 0 v)]
        by (destruct rival; reflexivity || now destruct Hr).
      constructor; [|constructor]. intros o [Ho Hne]%in_others. apply (below_fits slack tables); auto.
      - rewrite zip_length, map_length. lia.
      - now apply one_rows.
    Qed.

    Lemma all_problems_fit slack tables q y : (q < v)%nat -> (y < v)%nat ->
      framed tables -> close (to_Z A slack) tables q ->
      fit_all Every q y (nth y (all_problems pooled n slack tables) []).
    Proof.
      intros Hq Hy [HF Hn] Hc. unfold all_problems. rewrite head_square, nth_map_seq by (assumption || lia).
      unfold fit_all. cbn [rivals_of]. assert (H : forall o, In o (others y (seq 0 v)) -> (o < v)%nat /\ o <> y)
        by (intros; now apply in_others).
      revert H. generalize (others y (seq 0 v)). induction l as [|o l IH]; intros H; cbn [map]; constructor.
      - intros o' [<-|[]]. destruct (H o (or_introl eq_refl)) as [Ho Hne]. apply (below_fits slack tables); auto.
        + rewrite zip_length, map_length. lia.
        + now apply every_rows.
      - apply IH. intros o' Ho'. apply H. now right.
    Qed.

    Lemma plus_rows_framed c : length c = v -> Forall square (map (plus_rows c) V).
    Proof.
      intros Hc. apply Forall_map. eapply Forall_impl; [|exact HV]. intros L HL. now apply plus_rows_square.
    Qed.

    Lemma position i : (i <= n)%nat -> square (nth i V []).
    Proof. intros Hi. rewrite Forall_forall in HV. apply HV, nth_In. lia. Qed.

    Lemma plain_close q : (q < v)%nat -> framed (V ++ [D]) /\ close 1 (V ++ [D]) q.
    Proof.
      intros Hq. split; [split; [apply Forall_app; auto|rewrite app_length; lia]|]. intros y o i t Hy Ho Hi Ht.
      rewrite app_length, HK. cbn [length]. destruct (Nat.ltb_spec (S n) (S n + 1)); [|lia].
      rewrite !(app_nth1 V) by lia. rewrite !(app_nth2 V), HK, Nat.sub_diag by lia. cbn [nth]. unfold gap. lia.
    Qed.

    Lemma centred_close c q : length c = v -> (q < v)%nat ->
      let tables := map (plus_rows c) V ++ [plus_rows (map (sub A zero) c) D] in
      framed tables /\ close 1 tables q.
    Proof.
      intros Hc Hq. assert (Hm : length (map (sub A zero) c) = v) by now rewrite map_length. split.
      { split; [|rewrite app_length, map_length; lia]. apply Forall_app. split; [now apply plus_rows_framed|].
        constructor; [|constructor]. now apply plus_rows_square. }
      intros y o i t Hy Ho Hi Ht. assert (Lm : length (map (plus_rows c) V) = S n) by now rewrite map_length.
      rewrite app_length, Lm. cbn [length]. destruct (Nat.ltb_spec (S n) (S n + 1)); [|lia].
      rewrite !(app_nth1 (map _ V)) by lia. rewrite !(app_nth2 (map _ V)), Lm, Nat.sub_diag by lia. cbn [nth].
      rewrite (nth_map_lt _ _ _ []) by lia. pose proof (position i Hi) as HS. rewrite !plus_rows_entry by assumption.
      rewrite !(nth_map_lt (sub A zero) c _ zero), !(sub_law A law), to_Z_zero by lia. unfold gap. lia.
    Qed.

    Lemma joint_close q : (q < v)%nat -> let tables := map (plus_rows (map (fun r => nth q r zero) D)) V in
      framed tables /\ close 2 tables q.
    Proof.
      intros Hq. destruct HD as [LD _]. assert (Hc : length (map (fun r => nth q r zero) D) = v)
        by now rewrite map_length.
      split; [split; [now apply plus_rows_framed|rewrite map_length; lia]|]. intros y o i t Hy Ho Hi Ht.
      rewrite map_length, HK. destruct (Nat.ltb_spec (S n) (S n)); [lia|]. rewrite (nth_map_lt _ _ _ []) by lia.
      pose proof (position i Hi) as HS. rewrite !plus_rows_entry by assumption.
      rewrite !(nth_map_lt (fun r => nth q r zero) D _ []) by lia. unfold gap. lia.
    Qed.

    Theorem problems_correct rival q y : (q < v)%nat -> (y < v)%nat ->
      fit_all rival q y (nth y (problems rival pooled n V D q) []).
    Proof.
      intros Hq Hy. assert (Z1 : to_Z A (of_Z A 1) = 1) by apply (of_Z_law A law).
      destruct (plain_close q Hq) as [F C]. unfold problems. destruct rival.
      - apply one_problem_fits; auto; [congruence|now rewrite Z1].
      - assert (Hm : length (means D) = v) by (unfold means; rewrite map_length; apply HD).
        destruct (centred_close _ q Hm Hq). apply one_problem_fits; auto; [congruence|now rewrite Z1].
      - destruct (joint_close q Hq) as [FJ CJ]. apply one_problem_fits; auto; [congruence|].
        now rewrite (of_Z_law A law).
      - apply all_problems_fit; auto. now rewrite Z1.
    Qed.
  End Problems.
End Margins.
