"""Every certificate in `certificates/` verifies, in both arithmetics, against the weights in `weights/`."""

from pathlib import Path

import pytest

import pessimal as ps

ROOT = Path(__file__).resolve().parents[2]
CERTIFICATES = sorted((ROOT / "certificates").glob("*.cert"))
SLOW_IN_ARB = ("brute-force", "position-minima")


def cases():
    for path in CERTIFICATES:
        for arithmetic in ("float64", "arb"):
            if arithmetic == "arb" and path.stem.startswith(
                ("max4_v64_h2", "max100", "max4_v64_seed104.exact-float32", "max4_v256")
            ):
                continue  # ten million exponentials or undecided sequences: two to ten minutes
            slow = path.stem.endswith("brute-force") or (arithmetic == "arb" and path.stem.endswith(SLOW_IN_ARB))
            slow = slow or path.stem.endswith(("position-minima", "exact-float32")) or path.stem.startswith("max4_v256")
            name = f"{path.stem}-{arithmetic}"
            yield pytest.param(path, arithmetic, id=name, marks=[pytest.mark.slow] if slow else [])


def test_there_are_certificates_for_every_shipped_model():
    stems = {path.stem for path in (ROOT / "weights").glob("*.safetensors")}
    assert len(stems) == 27
    assert {path.name.split(".")[0] for path in CERTIFICATES} == stems


@pytest.mark.parametrize(("path", "arithmetic"), list(cases()))
def test_a_shipped_certificate_verifies(path, arithmetic):
    weights = ps.load_weights(ROOT / "weights" / f"{path.name.split('.')[0]}.safetensors")
    verdict = ps.check(path, weights, arithmetic=arithmetic)
    assert verdict.verified, verdict.detail


def test_bounds_of_a_model_never_exceed_its_exact_count():
    """Where brute force is shipped, no other certificate of the model claims more."""
    claims = {}
    for path in CERTIFICATES:
        stem, strategy, _ = path.name.split(".")
        header = path.read_bytes()[8:65536]
        claims.setdefault(stem, {})[strategy] = int(header.split(b'"correct":"')[1].split(b'"')[0])
    exact = {stem: of["brute-force"] for stem, of in claims.items() if "brute-force" in of}
    assert len(exact) == 11
    assert all(max(claims[stem].values()) == count for stem, count in exact.items())
