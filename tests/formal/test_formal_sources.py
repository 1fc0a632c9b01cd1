"""Whatever leaves a Coq source unproved or unchecked is refused, however it is written; the sources here are not."""

import importlib.util
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORMAL = ROOT / "formal"
_spec = importlib.util.spec_from_file_location("formal_sources", ROOT / "scripts" / "formal_sources.py")
formal_sources = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(formal_sources)

PROVED = "Theorem fine : 1 = 1.\nProof. reflexivity. Qed.\n"
PLANTED = [
    "Theorem planted : False.\nProof. Admitted.",
    "Theorem planted : False.\nProof. admit. Qed.",
    "Theorem planted : False.\nProof. give_up. Qed.",
    "Program Definition planted : False := _.\nAdmit Obligations.",
    "Axiom planted : False.",
    "Axioms (planted : False) (other : True).",
    "Parameter planted : False.",
    "Parameters planted other : False.",
    "Conjecture planted : False.",
    "#[local] Axiom planted : False.",
    "Local\n  Axiom planted : False.",
    "Polymorphic Axiom planted : False.",
    "Time Axiom planted : False.",
    "Ltac planted := admit.",
    "Module Type T. Parameter planted : False. End T.\nDeclare Module M : T.",
    "Declare Module M : T.",
    "Declare Instance planted : Inhabited False.",
    'Declare ML Module "planted".',
    "Variable planted : False.",
    "Variables planted other : False.",
    "Hypothesis planted : False.",
    "Hypotheses planted other : False.",
    "Context (planted : False).",
    "Local Variable planted : False.",
    "Module M. Variable planted : False. End M.",
    "Section S. End S. Variable planted : False.",
    "Section S. Variable fine : nat. End S. Hypothesis planted : False.",
    "Section S. Section T. End T. End S.\nContext (planted : False).",
    "(* Section S. *) Variable planted : False. (* End S. *)",
    'Definition s := "Section S. ". Variable planted : False.',
    "Section S. Time End S. Variable planted : False.",
    "Fail Section S. Variable planted : False.",
    "Module M := N. Variable planted : False.",
    "Section S. End T.",
    "Unset Guard Checking.",
    "Unset Positivity Checking.",
    "Unset Universe Checking.",
    "Local Unset\nUniverse  (* all *) Checking.",
    "#[bypass_check(guard)] Fixpoint planted (n : nat) : False := planted n.",
    "#[bypass_check(universes=yes)] Definition planted := Type.",
    "Set Definitional UIP.",
    "Theorem planted : 1 = 1.\nProof. native_compute. reflexivity. Qed.",
    'Load "planted.v".',
    'Add LoadPath "elsewhere".',
    'Add Rec LoadPath "elsewhere" as Elsewhere.',
    "Drop.",
    'Extract Constant fine => "Obj.magic 0".',
    'Extract Constant fine => "Obj . magic 0".',
    "(* comment (* nested *) *) Axiom planted : False.",
    '(* a string "*)" in a comment *) Axiom planted : False.',
    '(* a string " (* " in a comment *) Axiom planted : False. (* *)',
    'Definition s := "(*". Axiom planted : False. Definition t := "*)".',
    'Definition s := "quoted "" (*". Axiom planted : False. (* *)',
    "(*) still a comment *) Axiom planted : False.",
    "Definition f := (fun x => x). (* not closed",
    'Definition s := "not closed.',
    "Axiom planted : False",
]
INNOCENT = [
    "(* Admitted, Axiom, Parameter (* admit *) Unset Guard Checking *)",
    'Definition s := "Axiom planted : False. Admitted.".',
    "Section S. Variables (n m : nat). Hypothesis H : n = m. Context (p : nat). End S.",
    "Section S.\n  Section T.\n    Variable n : nat.\n  End T.\n  Variable m : nat.\nEnd S.",
    "Module M. Section S. Variable n : nat. End S. End M.",
    "Module Import M. Definition n := 1. End M.\nSection S. Variable n : nat. End S.",
    "#[local] Definition admitted := 1. Definition Axiom' := 2. Definition parameter := M.Parameter.",
    "Ltac here := match goal with |- context [?a] => idtac end.",
]


@pytest.mark.parametrize("text", PLANTED)
def test_a_planted_gap_is_refused(text):
    assert formal_sources.complaints("Planted.v", PROVED + text + "\n")
    assert formal_sources.complaints("Planted.v", text + "\n" + PROVED)


@pytest.mark.parametrize("text", INNOCENT)
def test_what_only_looks_like_a_gap_passes(text):
    assert formal_sources.complaints("Innocent.v", PROVED + text + "\n" + PROVED) == []


def test_complaints_name_the_line_and_the_word():
    assert formal_sources.complaints("File.v", PROVED + "(* \n *)\nAxiom a : False.\n") == ["File.v:5: Axiom"]


def test_every_source_is_followed_to_its_end():
    for path in (FORMAL / "theories").glob("*.v"):
        code = formal_sources.blank(path.read_text(encoding="utf-8"))
        assert len(code) == len(path.read_text(encoding="utf-8"))
        assert "Qed." in code or "Defined." in code, path.name


@pytest.mark.parametrize(
    "option",
    ["-arg -type-in-type", "-arg -impredicative-set", "-arg -bt", "-R theories Pessimal", "-Q elsewhere Pessimal",
     "-type-in-type", "-arg -w", "../elsewhere/File.v"],
)  # fmt: skip
def test_options_that_weaken_coq_are_refused(option):
    listed = (FORMAL / "_CoqProject").read_text()
    assert formal_sources.option_complaints(listed) == []
    assert formal_sources.option_complaints(f"{listed}{option}\n")
    assert formal_sources.option_complaints(f"{option}\n{listed}") or option == "-arg -w"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "theories").mkdir()
    for path in (FORMAL / "theories").glob("*.v"):
        shutil.copy(path, tmp_path / "theories")
    shutil.copy(FORMAL / "_CoqProject", tmp_path)
    return tmp_path


def test_the_development_has_no_gap_and_no_unlisted_file(folder, capsys):
    assert formal_sources.main([]) == 0
    assert formal_sources.main([str(folder)]) == 0
    assert capsys.readouterr().err == ""


def test_a_gap_in_any_file_of_it_does_not(folder, capsys):
    for path in sorted((folder / "theories").glob("*.v")):
        before = path.read_text(encoding="utf-8")
        path.write_text(before + "\nLemma planted : False. Proof. Admitted.\n", encoding="utf-8")
        assert formal_sources.main([str(folder)]) == 1
        assert f"{path.name}:" in capsys.readouterr().err
        path.write_text(before, encoding="utf-8")


def test_a_file_that_is_not_listed_is_refused(folder):
    (folder / "theories" / "Extra.v").write_text(PROVED)
    assert formal_sources.main([str(folder)]) == 1


def test_a_folder_without_sources_is_refused(tmp_path):
    (tmp_path / "_CoqProject").write_text("")
    assert formal_sources.main([str(tmp_path)]) == 1
