"""Archives damaged at random are read, or refused in one sentence, within bounded time and memory."""

import random
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from pessimal.conversion import convert_bytes
from pessimal.spec import WeightsError, read_weights
from support.state_dicts import hooked
from support.torch_files import Ordered, Pickler, archive, torch_file

SECONDS, MEBIBYTES = 10, 256


def mutants(count, seed):
    """Bits flipped, stretches cut, doubled, moved and filled, in archives and in their pickles."""
    rng = random.Random(seed)  # noqa: S311 - not secret
    model = hooked()
    value = {"model_state_dict": Ordered(model), "cfg": {"n_heads": 2}, "epoch": 3}
    wholes = [torch_file(value, method=method) for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)]
    pickler = Pickler()
    pickle = b"\x80\x02" + pickler.write(value) + b"."
    for number in range(count):
        inside = number % 3
        data = bytearray(pickle if inside else wholes[number // 3 % 2])
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            at, length = rng.randrange(len(data)), rng.choice((1, 2, 4, 8, 40))
            match rng.randrange(5):
                case 0:
                    data[at] ^= 1 << rng.randrange(8)
                case 1:
                    del data[at : at + length]
                case 2:
                    data[at:at] = data[at : at + length]
                case 3:
                    data[at : at + length] = bytes(rng.randrange(256) for _ in range(length))
                case 4:
                    data[at : at + length] = bytes([rng.choice((0, 255, 127, 128))]) * length
        yield archive(bytes(data), pickler.arrays) if inside else bytes(data)


def outcome(data):
    """Read, or one sentence."""
    try:
        read_weights(convert_bytes(data).data)
    except WeightsError as error:
        text = str(error)
        assert text
        assert len(text.splitlines()) == 1
        assert len(text) < 500
        return False
    return True


def judge(count, seed):
    read = 0
    for data in mutants(count, seed):
        started = time.process_time()
        read += outcome(data)
        assert time.process_time() - started < SECONDS
    return read


def test_damaged_archives_are_read_or_refused_in_one_sentence():
    assert 0 < judge(600, 1) < 300


@pytest.mark.slow
def test_ten_thousand_damaged_archives_are_read_or_refused_in_one_sentence():
    assert 0 < judge(10_000, 2) < 5_000


def cost(path):
    """What refusing a file costs a process, its imports included: seconds, mebibytes, the sentence."""
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from pessimal.conversion import convert_bytes\n"
        "from pessimal.spec import WeightsError, read_weights\n"
        "try:\n    read_weights(convert_bytes(Path(sys.argv[1]).read_bytes()).data); print('read')\n"
        "except WeightsError as error:\n    print(error)\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(used.ru_utime + used.ru_stime, int(peak.split()[1]) >> 10)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    sentence, numbers = done.stdout.splitlines()
    seconds, mebibytes = map(float, numbers.split())
    return seconds, mebibytes, sentence


def zeros():
    """A model of 33 million bytes in 33 thousand."""
    sizes = {name: np.zeros_like(array) for name, array in hooked(v=1 << 16, m=63, d=2, h=1).items()}
    return torch_file(sizes, method=zipfile.ZIP_DEFLATED)


def packed(pickle):
    return archive(b"\x80\x02" + pickle, method=zipfile.ZIP_DEFLATED)


DEAR = {
    "containers": lambda: packed(b"](" + b"}q\x01" * 330_000 + b"e."),
    "memo": lambda: packed(b"".join(b"]r" + n.to_bytes(4, "little") for n in range(499_000)) + b"."),
    "strings": lambda: packed(b"](" + (b"X\x00\x00\x10\x00" + b"a" * (1 << 20)) * 15 + b"e."),
    "dictionaries": lambda: packed(b"](" + b"}NNs" * 249_000 + b"e."),
    "zeros": zeros,
    "entries": lambda: archive(b"\x80\x02}.", extra=[(f"{n}", b"") for n in range(20_000)]),
}


@pytest.mark.parametrize("name", DEAR)
def test_small_files_that_ask_for_much_cost_little(name, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(DEAR[name]())
    seconds, mebibytes, sentence = cost(path)
    assert seconds < SECONDS
    assert mebibytes < MEBIBYTES
    assert sentence
