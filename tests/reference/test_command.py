"""What the command of the standard-library checker prints, and what it loads."""

import pessimal as ps
from pessimal.strategies import ExponentialMoment
from pessimal.testing import tiny_weights
from support.reference_checker import EXAMPLE, PROOFS, TASK, claiming, command, comparable, run, stored


def test_the_command_prints_the_line_and_its_exit_code_says_the_verdict(tmp_path):
    model, other, proof = tmp_path / "model", tmp_path / "other", tmp_path / "proof"
    model.write_bytes(stored(EXAMPLE))
    other.write_bytes(stored(tiny_weights(1, k=3)))
    proof.write_bytes(PROOFS["moment"])
    expected = comparable(ps.check(PROOFS["moment"], EXAMPLE).line())
    assert command(proof, model)[:2] == (0, expected + "\n")
    assert command(proof, other)[:2] == (1, "s REJECTED reason=weights-mismatch\n")
    assert command(proof, model, "--max-work", "1")[:2] == (3, "s REJECTED reason=resources\n")
    assert command(proof, model, "--attn-scale", "1")[:2] == (1, "s REJECTED reason=weights-mismatch\n")
    assert command(proof, proof)[:2] == (2, "")
    assert command(tmp_path / "none", model)[:2] == (2, "")


def test_what_it_does_not_cover_gets_no_verdict(tmp_path):
    """Another rule, or float32 executions: exit code 2 and a sentence, neither verified nor rejected."""
    model, proof = tmp_path / "model", tmp_path / "proof"
    model.write_bytes(stored(EXAMPLE))
    for data in (
        ps.prove(EXAMPLE, TASK, ps.Cubic()).data,
        ps.prove(EXAMPLE, TASK, ExponentialMoment(), semantics="float32").data,
    ):
        proof.write_bytes(data)
        code, out, error = command(proof, model)
        assert (code, out) == (2, "")
        assert "covers" in error


def test_nothing_outside_the_standard_library_is_loaded():
    """The list of foreign modules is empty, and would not be if there were one."""
    pair = [(stored(EXAMPLE), PROOFS["moment"])]
    assert run(pair)[1] == []
    assert "numpy" in run(pair, "-I", before="import numpy\n")[1]


def test_optimisation_changes_no_verdict():
    pairs = [(stored(EXAMPLE), PROOFS["moment"]), (stored(EXAMPLE), claiming(PROOFS["moment"], 125))]
    assert run(pairs, "-I", "-S", "-O") == run(pairs)
