"""What judges mutants of the trusted code keeps up with the folders: files have tests, and old texts stand once."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "mutation"))

import attack  # noqa: E402
import mutants  # noqa: E402
import run  # noqa: E402


def test_every_file_that_is_mutated_has_tests_and_they_are_there():
    files = set(mutants.trusted_sources())
    assert len(files) > 50
    for file in files:
        assert run.stages_of(file), file
    named = {test.split("::")[0] for _, stages in run.STAGES for tests in stages for test in tests}
    assert not [name for name in named if not (ROOT / name).exists()]


def test_every_mutant_written_by_hand_stands_once_and_names_tests_that_are_there():
    found = attack.read_mutants()
    assert len(found) > 100
    assert attack.misfits(found) == []
