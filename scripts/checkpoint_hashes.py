"""Digests of a folder of checkpoints, one line each: what the committed hash lists hold.

Usage: python scripts/checkpoint_hashes.py experiments/checkpoints/max4_v64 > experiments/hashes/max4_v64.txt
"""

import sys
from pathlib import Path

import pessimal as ps


def main() -> int:
    """Print `<digest>  <file>` for every safetensors file."""
    for path in sorted(Path(sys.argv[1]).glob("*.safetensors")):
        print(f"{ps.load_weights(path).sha256}  {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
