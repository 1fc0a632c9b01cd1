"""Kernel in both arithmetics, reference and extracted checker on seeded tiny models: the same line from all of them.

    python tests/differential.py --models 1000 --seed 0

Every model is of one of the formats and scales below; its certificates are made by the provers of all three rules that
the independent checkers cover, so every checker has to verify them, and print the same line but for the lengths of the
kernel's computation. Then the same with one byte changed, where verdict and reason have to be the same, and with a claim
of all sequences. The extracted checker may give no verdict on what it does not cover (`verified_checker.silent`).

A changed certificate may claim exactly what float64 finds, without the slack of a prover: there one checker may say
`bound-too-low` where another verifies, and such pairs are only counted.

Contents:
    case — model and question of one seed.
    proofs — certificates of the provers for it.
    compare — disagreements and counts of some seeds.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

import pessimal as ps
from pessimal.kernel.rejection import Rejected
from pessimal.spec import Uniform, read_weights
from pessimal.spec.question import Question
from pessimal.strategies import ExponentialMoment, GridCount
from pessimal.strategies.interface import StrategyError
from support import verified_checker
from support.counting_cases import NORMS, model_of
from support.distributions import KINDS as DISTRIBUTIONS
from support.distributions import some_distribution
from support.models import Sizes, build, planted_tensors, random_tensors
from support.reference_checker import STRATEGY, claiming, comparable, run, split, stored_exactly
from support.tasks import WIDE

# d_vocab, d_model, d_head, K of models of Max-of-K that the extracted checker covers.
PLAIN = ((2, 5, 3, 4), (3, 7, 2, 4), (5, 7, 2, 3), (5, 7, 3, 2), (7, 5, 3, 3), (2, 5, 7, 5))
# Exponents of two that weights are scaled by.
SCALES = {np.float32: (-140, 120), np.float64: (-1060, 200)}
TIES = ("none", "none", "none", "tokens", "outputs", "zeros", "negative zeros", "integers")


def _scaled(tensors, rng):
    """Tensors of an extreme format: all or one of them scaled, in single or in double precision."""
    dtype = (np.float32, np.float64)[int(rng.integers(2))]
    low, high = SCALES[dtype]
    alike = int(rng.integers(low, high + 1))
    kind, chosen = str(rng.choice(("each", "alike", "one"))), str(rng.choice(sorted(tensors)))
    found = {}
    for name, array in tensors.items():
        exponent = {"each": int(rng.integers(low, high + 1)), "alike": alike, "one": alike * (name == chosen)}[kind]
        scaled = np.ldexp(array.astype(np.float64), exponent)
        found[name] = np.clip(scaled, -np.finfo(dtype).max, np.finfo(dtype).max).astype(dtype)
    return found


def _tied(tensors, rng):
    """Two tokens or outputs alike, a tensor of zeros of either sign, or integers, of which many sums are alike."""
    kind = str(rng.choice(TIES))
    name = str(rng.choice(sorted(tensors)))
    if kind == "tokens":
        tensors["W_E"][1] = tensors["W_E"][0]
    elif kind == "outputs":
        tensors["W_U"][:, 1] = tensors["W_U"][:, 0]
    elif kind in ("zeros", "negative zeros"):
        tensors[name][...] = -0.0 if kind == "negative zeros" else 0.0
    elif kind == "integers":
        return {one: np.rint(2 * array).astype(np.float32) for one, array in tensors.items()}
    return tensors


def case(seed):
    """Model and question of one seed."""
    rng = np.random.default_rng(seed)
    if rng.integers(2):
        v, m, d, k = PLAIN[int(rng.integers(len(PLAIN)))]
        sizes, question = Sizes(v, v, m, d, k), Question(ps.MaxOfK(k, v), Uniform())
        shape = {"sharpness": float(rng.choice((1, 2, 4))), "gain": 1.0, "noise": float(rng.choice((0.02, 0.1)))}
        tensors = planted_tensors(sizes, seed=seed, **shape) if rng.integers(4) else random_tensors(sizes, seed)
        metadata = {"normalization_type": "none"} if rng.integers(2) else {}
    else:
        task, heads = WIDE[int(rng.integers(len(WIDE)))], int(rng.choice((1, 1, 2)))
        weights = model_of(task, seed, heads, NORMS[int(rng.integers(len(NORMS)))], bool(rng.integers(4)))
        kind = str(rng.choice(("uniform", *DISTRIBUTIONS)))
        chosen = Uniform() if kind == "uniform" else some_distribution(kind, task.k, task.d_vocab, seed)
        question = Question(task, chosen)
        tensors = {name: array.copy() for name, array in weights.tensors.items()}
        metadata = dict(weights.metadata)
    tensors = _tied(tensors, rng)
    return build(_scaled(tensors, rng) if rng.integers(2) else tensors, metadata), question


def proofs(weights, question, seed):
    """By rule, a certificate of the prover, where the rule covers the question."""
    rng = np.random.default_rng(seed + 1)
    one = weights.architecture.shape.n_heads == 1
    rival = str(rng.choice(("plain", "centred", "every") + ("joint",) * one))
    position = str(rng.choice(("each", "pessimal")))
    near = None if question.task.name != "max-of-k" else int(rng.integers(1, question.task.d_vocab + 1))
    moment = ExponentialMoment(rival, position) if near is None else ExponentialMoment(rival, position, near)
    grid = GridCount(rival, position, cells=int(rng.choice((8, 64))), negligible=0.0)
    found = {}
    for rule, strategy in {**STRATEGY, "exponential-moment": moment, "grid-count": grid}.items():
        try:
            proof = ps.prove(weights, question.task, strategy, distribution=question.distribution)
        except (Rejected, StrategyError) as error:
            found[rule] = str(error)
        else:
            found[rule] = proof.data
    return found


def _damaged(data, rng):
    place = int(rng.integers(len(data)))
    return bytes([*data[:place], data[place] ^ (1 << int(rng.integers(8))), *data[place + 1 :]])


def _kernel(raw, data, arithmetic):
    return comparable(ps.check(data, read_weights(raw), arithmetic=arithmetic).line())


def compare(folder, seeds, *, verified=True):
    """(disagreements, counts) over the certificates of some seeds; a disagreement is a seed and what everyone said."""
    pairs, about, counts, wrong = [], [], Counter(), []
    for seed in seeds:
        weights, question = case(seed)
        raw, rng = stored_exactly(weights), np.random.default_rng(seed + 2)
        for rule, data in proofs(weights, question, seed).items():
            if isinstance(data, str):
                counts["no proof"] += 1
                continue
            total = split(data)[0]["claim"]["total"]
            for kind, one in (("proof", data), ("damaged", _damaged(data, rng)), ("all", claiming(data, total))):
                pairs.append((raw, one))
                about.append((seed, rule, kind))
    floats, balls = ([_kernel(*pair, one) for pair in pairs] for one in ("float64", "arb"))
    reference = [line for line, _ in run(pairs)[0]]
    mine = [line for line, _ in verified_checker.run(folder, pairs)] if verified else reference
    for place, answers in enumerate(zip(floats, balls, reference, mine, strict=True)):
        pair, kind = pairs[place], about[place][2]
        covered = answers[3] != "" or not verified_checker.silent(*pair, answers[0])
        said = answers if covered else answers[:3]
        counts[kind, "verified" if said[0].startswith("s VERIFIED") else "rejected"] += 1
        counts["extracted"] += covered and verified
        if kind == "proof" and int(split(pair[1])[0]["claim"]["correct"]) > 0:
            counts["above nothing"] += 1
        if len(set(said)) == 1 and (kind != "proof" or said[0].startswith("s VERIFIED")):
            continue
        at_the_bound = {line.partition(" ")[2].partition(" ")[0] for line in said} == {"VERIFIED", "REJECTED"}
        if kind != "proof" and at_the_bound and all("VERIFIED" in one or "bound-too-low" in one for one in said):
            counts["no slack"] += 1
            continue
        wrong.append((*about[place], said))
    return wrong, counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=50)
    flags = parser.parse_args()
    start, wrong, counts = time.process_time(), [], Counter()
    last = flags.seed + flags.models
    for first in range(flags.seed, last, flags.batch):
        with tempfile.TemporaryDirectory() as folder:
            more, counted = compare(
                Path(folder), range(first, min(first + flags.batch, last)), verified=not verified_checker.MISSING
            )
        for one in more:
            sys.stderr.write("\n  ".join(map(str, (*one[:3], *one[3]))) + "\n")
        wrong, counts = wrong + more, counts + counted
    sys.stdout.write(
        f"differential seed={flags.seed} models={flags.models} proofs={counts['proof', 'verified']}"
        f" above-nothing={counts['above nothing']} damaged={counts['damaged', 'verified'] + counts['damaged', 'rejected']}"
        f" extracted={counts['extracted']} no-slack={counts['no slack']} disagreements={len(wrong)}"
        f" cpu={time.process_time() - start:.0f}s\n"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
