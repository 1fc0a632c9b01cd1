"""What must hold between processes: no torch, `-O`, thread counts, hostile float environments."""

import os
import shutil
import subprocess
import sys

import pytest

from pessimal.testing import safetensors_bytes, tiny_weights

FLUSH = """
#include <xmmintrin.h>
void flush(void) { _mm_setcsr(_mm_getcsr() | 0x8040); }
void upward(void) { _mm_setcsr((_mm_getcsr() & ~0x6000u) | 0x4000); }
void downward(void) { _mm_setcsr((_mm_getcsr() & ~0x6000u) | 0x2000); }
void truncate_all(void) { _mm_setcsr(_mm_getcsr() | 0x6000); }
"""


def python(code, *flags, **env):
    done = subprocess.run(
        [sys.executable, *flags, "-c", code], capture_output=True, text=True, env={**os.environ, **env}, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("m") / "tiny.safetensors"
    weights = tiny_weights(0, k=4, d_vocab=7)
    path.write_bytes(safetensors_bytes({name: array.copy() for name, array in weights.tensors.items()}))
    return path


@pytest.mark.parametrize(
    "code",
    [
        "import pessimal",
        "import pessimal.report",
        "import pessimal.kernel.check, pessimal.proving",
        "from pessimal.cli.main import main; main(['strategies'])",
        "import pessimal.train",
    ],
)
def test_torch_is_never_imported_outside_training(code):
    code += "\nimport sys\nassert 'torch' not in sys.modules, 'torch'\nassert 'scipy' not in sys.modules"
    python(code)


def test_a_process_that_does_load_torch_is_noticed():
    pytest.importorskip("torch")
    with pytest.raises(AssertionError):
        python("import torch, sys\nassert 'torch' not in sys.modules, 'torch'")


def test_the_trusted_part_imports_only_what_it_may():
    """spec: the standard library and NumPy (jaxtyping for annotations); kernel: FLINT as well."""
    code = (
        "import sys\nimport pessimal.spec\n"
        "third = {m.split('.')[0] for m in sys.modules} & {'flint', 'rich', 'tyro', 'plotly', 'jinja2', 'safetensors'}\n"
    )
    # The package's own __init__ re-exports everything, so the layer is imported alone, from its folder.
    assert python(
        "import sys, types, pathlib, importlib.util\n"
        "root = pathlib.Path(importlib.util.find_spec('pessimal').origin).parent\n"
        "package = types.ModuleType('pessimal'); package.__path__ = [str(root)]; sys.modules['pessimal'] = package\n"
        + code
        + "print(sorted(third))\nimport pessimal.kernel.check\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'flint', 'rich', 'tyro', 'plotly', 'jinja2'}))"
    ).splitlines() == ["[]", "['flint']"]


PROVE = """
import sys
import pessimal as ps
from pathlib import Path
from pessimal.proving import covering
w = ps.load_weights(sys.argv[1] if len(sys.argv) > 1 else {path!r})
task, _ = ps.task_of(w)
for name in [*covering(), "layer-cake"]:
    data = ps.prove(w, task, ps.STRATEGIES[name](), claim=ps.STRATEGIES[name].claims[-1]).data
    for arithmetic in ("float64", "arb"):
        print(name, data.hex(), ps.check(data, w, arithmetic=arithmetic).line())
bad = data[:-1] + bytes([data[-1] ^ 1])
print(ps.check(bad, w).line(), ps.check(data[:-1], w).line())
"""


def test_two_processes_threads_and_optimisation_give_the_same_bytes_and_verdicts(model):
    """Byte-identical certificates and verdicts for 1 and 2 threads, hash seeds, and `python -O`."""
    code = PROVE.format(path=str(model))
    runs = {
        python(code, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", PYTHONHASHSEED="1"),
        python(code, OMP_NUM_THREADS="2", OPENBLAS_NUM_THREADS="2", PYTHONHASHSEED="2"),
        python(code, "-O", PYTHONHASHSEED="3"),
    }
    assert len(runs) == 1
    assert "VERIFIED" in runs.pop()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A shared library that changes the processor's float mode."""
    if shutil.which("gcc") is None or os.uname().machine != "x86_64":
        pytest.skip("needs gcc on x86-64")
    folder = tmp_path_factory.mktemp("c")
    (folder / "mode.c").write_text(FLUSH)
    library = folder / "mode.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(folder / "mode.c")], check=True)
    return library


@pytest.mark.parametrize("mode", ["flush", "upward", "downward", "truncate_all"])
def test_a_hostile_float_environment_is_detected_and_refused(model, hostile, mode):
    """Flush-to-zero and every rounding mode but to-nearest: rejected, not silently wrong."""
    code = f"""
import ctypes
import pessimal as ps
w = ps.load_weights({str(model)!r})
task, _ = ps.task_of(w)
data = ps.prove(w, task, ps.Cubic()).data
print(ps.check(data, w).verified)
getattr(ctypes.CDLL({str(hostile)!r}), {mode!r})()
print(ps.check(data, w).line())
try:
    ps.prove(w, task, ps.Cubic())
except ps.Rejected as refusal:
    print(refusal.reason)
"""
    expected = ["True", "s REJECTED reason=arithmetic-environment", "arithmetic-environment"]
    assert python(code).splitlines() == expected
