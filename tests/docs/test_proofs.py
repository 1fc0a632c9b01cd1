"""Every rule and every evaluator has one marked proof, and the house rule that says so finds those that have not."""

import importlib.util
from pathlib import Path

import pytest

from pessimal.kernel.rules import HOMES

ROOT = Path(__file__).resolve().parents[2]
RULE = "src/pessimal/kernel/rules/some_rule.py"
EVALUATOR = "src/pessimal/kernel/counting/some_evaluator.py"
CODE = '\n\nclass SomeRule(AbstractRule):\n    """Some rule."""\n'
PROOF = "*Proof.* By looking. ∎"


@pytest.fixture(scope="module")
def complaints():
    spec = importlib.util.spec_from_file_location("house_rules", ROOT / "scripts" / "house_rules.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.proof_complaints


def module(*paragraphs):
    """A file whose header has these paragraphs."""
    return '"""Some header.\n\n' + "\n\n".join(paragraphs) + '\n"""' + CODE


@pytest.mark.parametrize("name", sorted(HOMES))
def test_a_rule_has_one_marked_proof(complaints, name):
    path = f"src/pessimal/kernel/rules/{HOMES[name][0].replace('.', '/')}.py"
    text = (ROOT / path).read_text(encoding="utf-8")
    assert complaints(path, text) == []
    assert complaints(path, text.replace("*Proof.*", "It follows:", 1))


@pytest.mark.parametrize("path", [RULE, EVALUATOR])
@pytest.mark.parametrize(
    "proof",
    [
        PROOF,
        "*Proof.* With a formula\n\n$$ 1 = 1, $$\n\nand more words. ∎",
        "*Proof.* of `docs/modular-addition.md#spread`",
    ],
)
def test_one_marked_proof_is_enough(complaints, path, proof):
    assert complaints(path, module("Theorem. One is one.", proof, "Source: new.")) == []
    assert complaints(path, module("Theorem. One is one.", proof)) == []


@pytest.mark.parametrize("path", [RULE, EVALUATOR])
@pytest.mark.parametrize(
    "paragraphs",
    [
        ("Theorem. One is one.",),
        ("Theorem. One is one.", PROOF, PROOF),
        ("Theorem. One is one.", "*Proof.* of `docs/modular-addition.md#spread`", PROOF),
        ("Theorem. One is one. *Proof.* By looking. ∎",),
        ("Theorem. One is one.", "*Proof.* By looking."),
        ("Theorem. One is one.", "*Proof.* By looking. ∎ And more."),
        ("Theorem. One is one.", "*Proof.* of `docs/modular-addition.md`"),
        ("Theorem. One is one.", "It is clear. ∎"),
    ],
)
def test_none_or_two_or_one_without_its_marks_is_complained_about(complaints, path, paragraphs):
    assert complaints(path, module(*paragraphs))


def test_a_proof_beside_the_header_is_a_second_one(complaints):
    text = module("Theorem. One is one.", PROOF)
    inside = text.replace('"""Some rule."""', f'"""Some rule.\n\n    {PROOF}\n    """')
    assert complaints(RULE, text) == []
    assert complaints(RULE, inside)


def test_a_theorem_of_any_file_has_a_proof_and_other_files_need_none(complaints):
    path = "src/pessimal/search/some_search.py"
    assert complaints(path, module("Theorem. One is one."))
    assert complaints(path, module("No theorem.")) == []
    assert complaints("src/pessimal/kernel/counting/tilts.py", module("No theorem.")) == []
