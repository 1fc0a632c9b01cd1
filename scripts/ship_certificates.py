"""Prove every shipped model again and write the certificates that the tests check.

python scripts/ship_certificates.py
"""

from pathlib import Path

import pessimal as ps

ROOT = Path(__file__).resolve().parents[1]
# Brute force enumerates, so K = 4 only; the Arb re-check of R1 takes ten seconds a model, so two of them.
WANTED = {
    "cubic": lambda _stem: True,
    "exponential-moment": lambda _stem: True,
    "brute-force": lambda stem: stem.startswith("max4_"),
    "position-minima": lambda stem: stem in {"max4_v64_seed50", "max4_v64_seed104"},
}


def main() -> None:
    """Write `certificates/<model>.<strategy>.cert`."""
    for path in sorted((ROOT / "weights").glob("*.safetensors")):
        weights = ps.load_weights(path)
        task, _ = ps.task_of(weights)
        for name, wanted in WANTED.items():
            if wanted(path.stem):
                proof = ps.prove(weights, task, ps.STRATEGIES[name]())
                ps.save_certificate(proof, ROOT / "certificates" / f"{path.stem}.{name}.cert")
                print(path.stem, name, float(proof.claim.accuracy))


if __name__ == "__main__":
    main()
