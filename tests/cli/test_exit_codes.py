"""The exit code is the verdict, whatever becomes of the streams, the locale, the width of the terminal, or signals."""

import errno
import io
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import pessimal as ps
from pessimal import api
from pessimal.cli import commands
from pessimal.cli.main import main
from pessimal.cli.streams import EscapingStream
from pessimal.kernel.rejection import Reason, Rejected
from pessimal.testing import safetensors_bytes, tiny_weights


def write_model(path, seed):
    tensors = {name: np.array(array) for name, array in tiny_weights(seed).tensors.items()}
    path.write_bytes(safetensors_bytes(tensors))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model, another one, a certificate of the first."""
    folder = tmp_path_factory.mktemp("files")
    for name, seed in (("m.safetensors", 0), ("other.safetensors", 1)):
        write_model(folder / name, seed)
    weights = ps.load_weights(folder / "m.safetensors")
    ps.save_certificate(ps.prove(weights, ps.MaxOfK(k=3, d_vocab=5), ps.BruteForce()), folder / "a.cert")
    return folder


def run(capsys, *words):
    """Exit code, stdout lines and stderr lines."""
    try:
        code = main([str(word) for word in words])
    except SystemExit as stop:
        code = stop.code
    out = capsys.readouterr()
    return code, out.out.splitlines(), out.err.splitlines()


# Many commands in one process would share what they open; a start costs a second. So each case is one shell command.
RIGHT, WRONG = "check a.cert --weights m.safetensors", "check a.cert --weights other.safetensors"
CLOSED_PIPE = (
    "import os,subprocess,sys; r,w=os.pipe(); os.close(r); sys.exit(subprocess.run(sys.argv[1:],stdout=w).returncode)"
)


def shell(files, line, **env):
    """Exit code, stdout, stderr of a line of the shell, in which P is the command."""
    line = line.replace("P ", f"{sys.executable} -m pessimal ")
    line = line.replace("GONE ", f'{sys.executable} -c "{CLOSED_PIPE}" ')
    done = subprocess.run(["bash", "-c", line], cwd=files, capture_output=True, env={**os.environ, **env}, check=False)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


@pytest.mark.parametrize("json_flag", ["", " --json"])
def test_a_rejected_certificate_is_never_zero_when_nobody_reads(files, json_flag):
    code, _, err = shell(files, f"GONE P {WRONG}{json_flag}")
    assert code == 1
    assert "other weights" in err


def test_a_verdict_is_printed_with_the_other_streams_closed(files):
    code, out, _ = shell(files, f"P {RIGHT} 2>&- <&-")
    assert (code, out.count("\n")) == (0, 1)
    assert out.startswith("s VERIFIED ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"P {WRONG} >&-", 1),
        (f"P {RIGHT} >&- 2>&- <&-", 0),
        (f"P {WRONG} >/dev/full", 1),
        (f"P {RIGHT} --json >/dev/full 2>/dev/full", 0),
        (f"GONE P {RIGHT}", 0),
        ("GONE P prove --help", 0),
        ("GONE P strategies --all", 0),
        ("GONE P prove --no-such-flag 2>/dev/null", 2),
        ("GONE P info m.safetensors", 0),
        (f"trap '' PIPE INT; GONE P {WRONG}", 1),
    ],
)
def test_streams_that_fail_do_not_change_the_code(files, line, expected):
    assert shell(files, line)[0] == expected


def test_names_and_widths_that_a_terminal_cannot_show(files):
    """ASCII, one column, a name with a line end and a byte that is no UTF-8: one line, exit 2."""
    name = os.fsdecode(b"m\xc3\xa9\n\xff.safetensors")
    env = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "COLUMNS": "1"}
    code, out, err = shell(files, f"P info '{name}' --json", **env)
    assert code == 2
    assert err.count("\n") == 1
    assert err.endswith(": No such file or directory\n")
    assert json.loads(out.splitlines()[-1])["reason"] == "unreadable"


@pytest.mark.parametrize("columns", ["1", "9", "0", "x"])
def test_help_comes_to_an_end_in_a_narrow_terminal(capsys, monkeypatch, columns):
    """tyro itself goes on for ever below ten columns."""
    monkeypatch.setenv("COLUMNS", columns)
    assert run(capsys, "check", "--help")[0] == 0
    assert run(capsys, "check", "--bogus")[0] == 2
    assert run(capsys, "strategies")[0] == 0
    assert os.environ["COLUMNS"] == columns


INTERRUPT = """
import os, signal, sys, threading
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["pessimal", "info", "m.safetensors", "--json"]
from pessimal.cli.main import main
sys.exit(main())
"""


@pytest.mark.parametrize("module", ["numpy", pytest.param("tyro", marks=pytest.mark.slow)])
def test_an_interrupt_while_importing_is_one_line_and_130(files, module):
    code = [sys.executable, "-c", INTERRUPT.format(module=module)]
    done = subprocess.run(code, cwd=files, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "pessimal: interrupted\n")
    assert json.loads(done.stdout) == {"verdict": "ERROR", "reason": "interrupted", "detail": "interrupted"}


def test_the_package_is_imported_when_a_name_is_used():
    """Until then nothing heavy is, so that the command line can look after interrupts; every name has a home."""
    code = (
        "import sys, pessimal, pessimal.cli.main\n"
        "assert not {'numpy', 'tyro', 'rich', 'typing'} & set(sys.modules)\n"
        "homes = [name for names in pessimal._HOMES.values() for name in names]\n"
        "assert sorted([*homes, '__version__']) == sorted({*pessimal.__all__, '__version__'}), 'homes'\n"
        "assert all(hasattr(pessimal, name) for name in pessimal.__all__)\n"
        "assert callable(pessimal.train) and not hasattr(pessimal, 'no_such_name')\n"
    )
    path = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-S", "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False)
    assert done.returncode == 0


def test_standard_input_and_output_by_a_dash(files):
    """The certificate alone goes to stdout, the verdict to stderr; `-` reads weights, certificates and tasks."""
    code, out, err = shell(files, "P prove - --strategy brute-force --out - <m.safetensors | cmp - a.cert && echo same")
    assert (code, out) == (0, "same\n")
    assert err.splitlines()[-1].startswith("s VERIFIED ")
    code, out, _ = shell(files, "P check - --weights m.safetensors <a.cert")
    assert (code, out[:11]) == (0, "s VERIFIED ")


@pytest.mark.slow
def test_standard_streams_as_paths(files):
    """/dev/stdout is written into, also where it is a file; a table to stdout leaves the verdict to stderr."""
    prove = "P prove m.safetensors --strategy brute-force"
    for line in (
        f"{prove} --out /dev/stdout >b.cert",
        f"{prove} --out c.cert >c.cert; mv c.cert b.cert",
        f"{prove} --out /dev/fd/5 5>b.cert >/dev/null",
        f"{prove} --out >(cat >b.cert) >/dev/null; sleep 1",
    ):
        assert shell(files, f"rm -f b.cert; {line}; cmp a.cert b.cert")[0] == 0, line
    code, out, err = shell(files, f"P {RIGHT} --strata -")
    assert code == 0
    assert out.startswith("q,y,total,wrong_at_most\n")
    assert "s VERIFIED " in err
    assert "s VERIFIED " not in out
    code, out, _ = shell(
        files, 'P prove m.safetensors --distribution - --out - <<< \'{"name": "uniform"}\' | head -c 9'
    )
    assert out.endswith("{")


FAILING = [
    (["info", "no.safetensors"], 2, "ERROR", "unreadable"),
    (["info", "MODEL", "--task", "no.json"], 2, "ERROR", "unreadable"),
    (["info", "MODEL", "--task", "prayer"], 2, "ERROR", "usage"),
    (["prove", "MODEL", "--out", "OUT", "--budget", "many"], 2, "ERROR", "usage"),
    (["prove", "MODEL", "--out", "OUT", "--distribution", "MODEL"], 2, "ERROR", "unreadable"),
    (["prove", "MODEL", "--out", "OUT", "--strategy", "cubic", "--budget", "9"], 3, "REJECTED", "resources"),
    (["prove", "MODEL", "--budget", "1"], 3, "REJECTED", "resources"),
    (["check", "no.cert", "--weights", "MODEL"], 2, "ERROR", "unreadable"),
    (["check", "CERT", "--weights", "CERT"], 2, "ERROR", "unreadable"),
    (["check", "MODEL", "--weights", "MODEL"], 1, "REJECTED", "malformed-header"),
    (["check", "CERT", "--weights", "MODEL", "--max-ops", "1"], 3, "REJECTED", "resources"),
    (["frontier", "MODEL", "--budgets", "2^3", "--out", "OUT"], 3, "REJECTED", "resources"),
    (["frontier", "MODEL", "--budgets", "few", "--out", "OUT"], 2, "ERROR", "usage"),
    (["analyse", "no.safetensors", "--out", "OUT"], 2, "ERROR", "unreadable"),
    (["report", "no-folder", "--out", "OUT"], 2, "ERROR", None),
    (["sweep", "no.toml", "--out", "OUT"], 2, "ERROR", "unreadable"),
    (["reproduce", "nothing", "--out", "OUT"], 2, "ERROR", "usage"),
    (["demo", "--weights", "no-folder", "--out", "OUT"], 2, "ERROR", "unreadable"),
    (["strategies", "--task", "prayer"], 2, "ERROR", "usage"),
    (["train", "max-of-k", "--seeds", "many", "--out", "OUT"], 2, "ERROR", "usage"),
    (["train", "modular-addition", "--recipe", "pie", "--out", "OUT"], 2, "ERROR", "usage"),
]


@pytest.mark.parametrize(("words", "code", "verdict", "reason"), FAILING)
def test_every_failing_path_ends_with_one_object_and_one_sentence(
    capsys, files, tmp_path, words, code, verdict, reason
):
    real = {"MODEL": files / "m.safetensors", "CERT": files / "a.cert", "OUT": tmp_path / "out"}
    got, out, err = run(capsys, *[real.get(word, word) for word in words], "--json")
    row = json.loads(out[-1])
    assert (got, row["verdict"]) == (code, verdict)
    assert row["reason"] == reason or (reason is None and row["reason"])
    assert len([line for line in err if line.startswith("pessimal: ") and " assumed " not in line]) == 1


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (MemoryError(), 3, "resources"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (Rejected(Reason.RESOURCES, "too much"), 3, "resources"),
        (Rejected(Reason.BAD_HINT, "no"), 2, "bad-hint"),
        (OSError(errno.ENOSPC, "full", "x"), 2, "unwritable"),
        (PermissionError(errno.EACCES, "no", "x"), 2, "unreadable"),
        (ModuleNotFoundError("no", name="torch"), 2, "usage"),
        (RecursionError("deep"), 2, "internal"),
        (TypeError("a\nb"), 2, "internal"),
        (AssertionError(), 2, "internal"),
    ],
)
def test_no_error_escapes_and_none_looks_like_a_rejection(capsys, files, monkeypatch, error, code, reason):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(api, "info", fail)
    got, out, err = run(capsys, "info", files / "m.safetensors", "--json")
    assert (got, json.loads(out[-1])["reason"]) == (code, reason)
    assert len(err) == 3  # what was assumed of the model and the task, and the sentence
    assert err[-1].startswith("pessimal: ")


def test_a_new_certificate_that_does_not_check_ends_with_its_verdict(capsys, files, tmp_path, monkeypatch):
    real = api.check

    def damaged(proof, weights, **words):
        return real(proof.data[:-1], weights, **words)

    monkeypatch.setattr(api, "check", damaged)
    out = tmp_path / "b.cert"
    code, lines, err = run(capsys, "prove", files / "m.safetensors", "--strategy", "exact", "--out", out, "--json")
    row = json.loads(lines[-1])
    assert (code, row["verdict"], row["reason"]) == (1, "REJECTED", "malformed-container")
    assert "does not check" in err[-1]
    assert not out.exists()


class Broken(io.StringIO):
    """A stream that fails from some point on."""

    encoding = "ascii"

    def write(self, text):
        if "b" in text:
            raise OSError(errno.EPIPE, "gone")
        text.encode("ascii")
        return super().write(text)


def test_a_stream_escapes_what_it_cannot_say_and_drops_what_it_cannot_write():
    inner = Broken()
    stream = EscapingStream(inner)
    assert stream.write("é\udcff ") == 3
    assert stream.error is None
    for text in ("ab", "c"):
        assert stream.write(text) == len(text)
    stream.flush()
    assert inner.getvalue() == "\\xe9\\udcff "
    assert stream.error.errno == errno.EPIPE
    nothing = EscapingStream(None)
    assert (nothing.write("x"), nothing.isatty(), nothing.flush()) == (1, False, None)


def test_standard_error_that_is_none_is_not_standard_output(capsys, files, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["check", str(files / "a.cert"), "--weights", str(files / "m.safetensors")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_an_interrupt_after_the_verdict_changes_nothing(files):
    """The handler stays until the process ends."""
    code = (
        "import atexit, os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.argv = ['pessimal', 'strategies']\n"
        "from pessimal.cli.main import main\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=files, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_signals_of_a_calling_program_are_left_alone(capsys, files):
    before = signal.getsignal(signal.SIGINT)
    assert run(capsys, "info", files / "m.safetensors")[0] == 0
    assert signal.getsignal(signal.SIGINT) is before
    assert commands.run(["info", str(files / "m.safetensors")]) == 0
