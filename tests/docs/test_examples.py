"""The models of `examples/` are small, and the script beside them makes every one again, byte for byte."""

import subprocess
import sys

import numpy as np
import pytest

import pessimal as ps
from support.documents import ROOT

EXAMPLES = ROOT / "examples"
BY_HAND = {"README.md", "make.py", "veto.py"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    command = [sys.executable, str(EXAMPLES / "make.py"), "--out", str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=120, cwd=folder)
    return folder


def test_every_file_is_made_again_byte_for_byte(made):
    shipped = {path.name for path in EXAMPLES.iterdir() if path.is_file()} - BY_HAND
    assert {path.name for path in made.iterdir()} == shipped
    assert [name for name in sorted(shipped) if (made / name).read_bytes() != (EXAMPLES / name).read_bytes()] == []


def test_no_file_has_more_than_50_kilobytes():
    assert max(path.stat().st_size for path in EXAMPLES.iterdir() if path.is_file()) <= 50_000


def test_both_files_of_the_maximum_are_one_model():
    read = [ps.load_weights(EXAMPLES / f"max4_v16.{kind}").sha256 for kind in ("safetensors", "pt")]
    assert read[0] == read[1]


def right(scores, written, target):
    """How many sequences get most votes for their target: every token votes with the weight of its score."""
    tokens = np.stack(np.meshgrid(*[np.arange(16)] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    votes = np.zeros((len(tokens), 16))
    for column in tokens.T:
        np.add.at(votes, (np.arange(len(tokens)), written[column]), np.exp(0.625 * scores[column]))
    mine = np.take_along_axis(votes, target(tokens)[:, np.newaxis], axis=1)
    return int(((votes >= mine).sum(axis=1) == 1).sum())


def test_the_counts_that_are_proved_are_those_of_the_votes():
    """`examples/README.md` shows the same numbers, and `test_documents.py` proves them."""
    plain = np.arange(16)
    scores, written = plain.copy(), plain.copy()
    scores[2], written[2] = 17, 0
    assert right(plain, plain, lambda tokens: tokens.max(axis=1)) == 64216
    assert right(scores, written, lambda tokens: np.where((tokens == 2).any(axis=1), 0, tokens.max(axis=1))) == 64404
