"""Whatever the bytes, and whoever reads the answer: the independent checkers end with a verdict as exit code, no traceback."""

import os
import resource
import subprocess
import sys
import threading

import numpy as np
import pytest

from support import verified_checker
from support.hostile_pairs import PAIRS
from support.reference_checker import CHECKER, EXAMPLE, PROOFS, claiming, run, stored

COMMANDS = {"reference": [sys.executable, "-S", "-E", str(CHECKER)], "extracted": [str(verified_checker.BINARY)]}
needs_binary = pytest.mark.skipif(bool(verified_checker.MISSING), reason=verified_checker.MISSING)
checkers = pytest.mark.parametrize("checker", ["reference", pytest.param("extracted", marks=needs_binary)])


@pytest.fixture
def files(tmp_path):
    """A model, a certificate that is verified, one that is rejected."""
    contents = {"model": stored(EXAMPLE), "good": PROOFS["moment"], "bad": claiming(PROOFS["moment"], 125)}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def command(checker, proof, model, *flags):
    return [*COMMANDS[checker], str(proof), "--weights", str(model), *flags]


def through_shell(words, redirection):
    """Exit code and stderr of a command whose streams a shell redirects."""
    text = " ".join(f"'{word}'" for word in words) + " " + redirection
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@checkers
@pytest.mark.parametrize(
    "redirection", [">&-", ">/dev/full", ">&- 2>&-", "2>/dev/full", "2>&-", "0<&- >&- 2>&-", "1</dev/null"]
)
def test_the_exit_code_is_the_verdict_wherever_the_line_goes(files, checker, redirection):
    for proof, code in (("good", 0), ("bad", 1)):
        found, said = through_shell(command(checker, files / proof, files / "model"), redirection)
        assert found == code
        assert "Traceback" not in said
        assert "xception" not in said


@checkers
def test_the_exit_code_is_the_verdict_when_the_reader_is_gone(files, checker):
    for proof, code in (("good", 0), ("bad", 1)):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            command(checker, files / proof, files / "model"),
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        os.close(write)
        assert done.returncode == code
        assert "Traceback" not in done.stderr
        assert "Exception" not in done.stderr


@checkers
def test_pipes_are_read_and_devices_are_not_read_for_ever(files, checker):
    pipe = files / "pipe"
    os.mkfifo(pipe)
    for name in ("good", "bad"):
        writer = threading.Thread(target=pipe.write_bytes, args=((files / name).read_bytes(),))
        writer.start()
        done = subprocess.run(command(checker, pipe, files / "model"), capture_output=True, text=True, check=False)
        writer.join()
        expected = subprocess.run(
            command(checker, files / name, files / "model"), capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (expected.returncode, expected.stdout)
    for proof, model, code in (
        ("/dev/null", "model", 1),
        ("good", "/dev/null", 2),
        (".", "model", 2),
        ("good", ".", 2),
    ):
        done = subprocess.run(
            command(checker, files / proof, files / model), capture_output=True, text=True, check=False
        )
        assert (done.returncode, "Traceback" in done.stderr) == (code, False)


@checkers
@pytest.mark.parametrize("endless", ["proof", "model"])
def test_memory_that_runs_out_is_no_traceback(files, checker, endless):
    """An endless device, in a process that has 256 MiB: rejected for want of resources, or no verdict."""
    proof, model = (("/dev/zero", files / "model"), (files / "good", "/dev/zero"))[endless == "model"]
    done = subprocess.run(
        command(checker, proof, model), capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28)),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, "s REJECTED reason=resources\n")
    assert "out of memory" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="sparse files")
@checkers
def test_files_that_are_too_long_are_not_read(files, checker):
    for name, n_bytes in (("long proof", 2**31 + 1), ("long model", 2**30 + 1)):
        with (files / name).open("wb") as file:
            file.truncate(n_bytes)
    done = subprocess.run(command(checker, files / "long proof", files / "model"), capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (3, b"s REJECTED reason=resources\n")
    done = subprocess.run(command(checker, files / "good", files / "long model"), capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")


def test_no_bytes_raise_anything_in_the_reference():
    """Random bytes behind random lengths, and the files cut and spliced anywhere."""
    rng = np.random.default_rng(0)
    raw, pairs = stored(EXAMPLE), []

    def spliced(data, n_bytes):
        start, stop = sorted(rng.integers(len(data), size=2).tolist())
        return data[:start] + rng.bytes(n_bytes) + data[stop:]

    for number in range(200):
        data = PROOFS[str(rng.choice(list(PROOFS)))]
        junk = rng.bytes(int(rng.integers(200)))
        pairs.append((raw, spliced(data, number % 9)))
        pairs.append((raw, len(junk).to_bytes(8, "little") + junk))
        pairs.append((spliced(raw, number % 9), data))
    found, _ = run(pairs)
    assert not any(line.startswith("s VERIFIED") for line, _ in found)
    assert {line.partition("=")[2] for line, _ in found} >= {"", "malformed-header", "malformed-container"}


# Those that took minutes or gigabytes before costs were predicted, or that end in an error of the interpreter.
QUICK = [
    "d_model squared", "d_model squared, moment", "d_head squared", "d_head times outputs", "d_model squared, LayerNorm",
    "tokens", "positions times tokens", "positions times outputs", "contains a token", "constant",
    "machine of one state", "spans", "huge and tiny", "cells", "cells, tokens",
    *[name for name in PAIRS if name.startswith(("digits", "nesting", "objects"))],
]  # fmt: skip


@pytest.mark.parametrize("name", QUICK)
def test_a_hostile_pair_is_answered_in_seconds_and_little_memory(tmp_path, name):
    """By both checkers: within 10 CPU-s and 512 MiB each."""
    raw, data = PAIRS[name]()
    assert len(raw) + len(data) < 10**6 + 10**4
    (tmp_path / "model").write_bytes(raw)
    (tmp_path / "proof").write_bytes(data)
    for checker in ("reference",) if verified_checker.MISSING else COMMANDS:
        done = subprocess.run(
            command(checker, tmp_path / "proof", tmp_path / "model"), capture_output=True, text=True, check=False,
            preexec_fn=limited,
        )  # fmt: skip
        answers = {0: "s VERIFIED", 1: "s REJECTED", 2: "", 3: "s REJECTED reason=resources"}
        assert done.returncode in answers, (checker, done.returncode, done.stderr)
        assert done.stdout.startswith(answers[done.returncode])
        assert "Traceback" not in done.stderr
        assert "memory" not in done.stderr


def limited():
    """10 CPU-s and 512 MiB, in the process of a checker."""
    resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
    resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))
