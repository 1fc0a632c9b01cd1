"""The Python interface: what the command line does, under the same names; run folders are in `run_folders`.

Contents:
    prove, best, within, save_certificate, check — the main job.
    read_certificate — the bytes of a certificate, at most as many as may be checked.
    info — what a weights file holds.
    train — models from seeds.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pessimal.analysis import sampled_accuracy
from pessimal.display import give_displays
from pessimal.given import Given, GivenStrategy, GivenTask, as_asked, as_strategy, as_task, as_weights
from pessimal.inputs import ConvertedWeights, load_distribution, task_of
from pessimal.kernel.certificate import MAX_HEADER_BYTES
from pessimal.kernel.check import Asked, Limits
from pessimal.kernel.check import check as kernel_check
from pessimal.kernel.rules.interface import Progress, no_progress
from pessimal.kernel.verdict import Verdict
from pessimal.mismatch import with_reason
from pessimal.proving import Best, Proof, prove_within
from pessimal.proving import best as best_of
from pessimal.proving import within as within_it
from pessimal.proving.suggestions import did_you_mean
from pessimal.proving.words import read_budget
from pessimal.runs import write_atomic
from pessimal.runs.inputs import read_at_most
from pessimal.runs.notices import notice
from pessimal.runs.training import TrainingLog
from pessimal.spec import AbstractDistribution, AbstractTask, Weights, WeightsError
from pessimal.spec.claim import ACCURACY, LOSS, MEAN_PROBABILITY
from pessimal.spec.distribution import usual_distribution
from pessimal.spec.semantics import REAL

if TYPE_CHECKING:
    from pessimal.train import ModularConfig, TrainConfig

__all__ = ["best", "check", "info", "prove", "read_certificate", "save_certificate", "train", "within"]


QUANTITIES = (ACCURACY, MEAN_PROBABILITY, LOSS)

give_displays()


def prove(  # noqa: PLR0913 - the words of a question, of a budget and of the run
    weights: Given,
    task: GivenTask = None,
    strategy: GivenStrategy | None = None,
    *,
    budget: int | str | None = None,
    seconds: int | float | None = None,
    distribution: AbstractDistribution | Path | str | None = None,
    claim: str = ACCURACY,
    semantics: str = REAL,
    limits: Limits | None = None,
    progress: Progress = no_progress,
) -> Proof:
    """Prove a bound on the accuracy of a model.

    Args:
        weights: the model, or the path of its file.
        task: what it should compute: a task, its name, a file with a machine; None for what the file states.
        strategy: how to prove it: a strategy, its class, its name, or `name option=value ..`; left out, the best of all
            (`best`).
        budget: largest number of flops of the proof (left out: as long as the strategy makes it; without a strategy
            2**24 for the exact count, otherwise 2**21, and more where nothing is that short).
        seconds: after this time the search stops; what it has found by then is proved, and it is told.
        distribution: how often every input occurs (default: the task's own, all alike for most), or its file.
        claim: what to bound: `accuracy`, `mean-probability` or `loss`.
        semantics: `real`, or `float32` for every float32 execution (`docs/float32.md`).
        limits: what the proof may cost to check.
        progress: called with (done, total).

    Raises:
        Rejected: the rule does not cover the model, or there is no proof within the budget, the time or the limits.
        TaskError: the task does not fit the model.
        DistributionError: the distribution does not fit the task.
        StrategyError: the strategy cannot be used so.
        ValueError: unknown semantics.
    """
    model = as_weights(weights)
    asked = as_task(task, model)
    _require_claim(claim)
    words: dict[str, Any] = {
        "budget": None if budget is None else read_budget(str(budget)),
        "seconds": seconds,
        "distribution": _distribution(distribution),
        "claim": claim,
        "semantics": semantics,
        "limits": limits,
        "progress": progress,
    }
    if strategy is None:
        return best(model, asked, **words).proof
    how = as_strategy(strategy)
    proof, stopped = prove_within(model, asked, how, **words)
    if stopped:
        notice(f"stopped after {seconds} s: the best that {how.name} had found")
    return proof


def best(  # noqa: PLR0913 - likewise
    weights: Given,
    task: GivenTask = None,
    *,
    budget: int | str | None = None,
    seconds: int | float | None = None,
    distribution: AbstractDistribution | Path | str | None = None,
    claim: str = ACCURACY,
    semantics: str = REAL,
    limits: Limits | None = None,
    progress: Progress = no_progress,
    tell: Callable[[str], None] = notice,
) -> Best:
    """The best short proof over all strategies, with the runners-up: what `prove` does without a strategy.

    Args:
        weights: as for `prove`.
        task: as for `prove`.
        budget: largest number of flops; left out, 2**24 for the exact count, otherwise 2**21, then 2**23, 2**25 ..
            until something is found that says more than guessing would.
        seconds: after this time the search stops, and the best proof so far is it.
        distribution: as for `prove`.
        claim: as for `prove`.
        semantics: as for `prove`.
        limits: as for `prove`.
        progress: called with (done, total), for each budget anew.
        tell: takes a sentence when a longer proof is tried, or the time was up.

    Raises:
        Rejected: there is no proof within the budget, the time or the limits.
        TaskError: the task does not fit the model.
        DistributionError: the distribution does not fit the task.
    """
    model = as_weights(weights)
    _require_claim(claim)
    found = best_of(
        model,
        as_task(task, model),
        budget=None if budget is None else read_budget(str(budget)),
        seconds=seconds,
        distribution=_distribution(distribution),
        claim=claim,
        semantics=semantics,
        limits=limits,
        progress=progress,
        tell=tell,
    )
    if found.stopped:
        tell(f"stopped after {seconds} s: the best proof found by then")
    return found


def within(
    weights: Given,
    task: GivenTask,
    budget: int | str,
    *,
    distribution: AbstractDistribution | Path | str | None = None,
    semantics: str = REAL,
    limits: Limits | None = None,
    progress: Progress = no_progress,
) -> Proof:
    """The proof with the largest bound of at most `budget` flops, over all strategies; the other words as in `prove`.

    Raises:
        Rejected: no strategy has a proof that short.
        ValueError: as in `prove`.
    """
    model = as_weights(weights)
    return within_it(
        model,
        as_task(task, model),
        read_budget(str(budget)),
        distribution=_distribution(distribution),
        semantics=semantics,
        limits=limits,
        progress=progress,
    )


def _distribution(given: AbstractDistribution | Path | str | None) -> AbstractDistribution | None:
    """A distribution, or the one of a file."""
    return load_distribution(given) if isinstance(given, Path | str) else given


def _require_claim(claim: str) -> None:
    """Refuse a claim that nobody knows."""
    if claim not in QUANTITIES:
        raise ValueError(f"claim {claim!r}{did_you_mean(str(claim), QUANTITIES)} is not one of {', '.join(QUANTITIES)}")


def save_certificate(proof: Proof, path: Path | str) -> Path:
    """Write a certificate in one step: an interrupt leaves the old file or none, never a part.

    Devices and pipes are written into, and links followed; see `runs.outputs`.
    """
    path = Path(path)
    write_atomic(path, proof.data)
    return path


def check(
    certificate: Proof | bytes | Path | str,
    weights: Given,
    *,
    arithmetic: str = "float64",
    limits: Limits | None = None,
    asked: Asked | GivenTask = None,
    strict: bool = False,
    progress: Progress = no_progress,
) -> Verdict:
    """Check a certificate: bytes, a path, or a `Proof`, whose bytes are decoded like any other's.

    Args:
        certificate: what to check.
        weights: the model, or the path of its file.
        arithmetic: `float64`, or `arb` as a second opinion.
        limits: what the check may cost.
        asked: the question that the certificate has to answer, or its task; without it, any question.
        strict: whether a model that had to be converted is refused.
        progress: called with (done, total).

    Raises:
        OSError: the path of the certificate cannot be read. Nothing its bytes hold raises.
        ValueError: the weights cannot be read, or something else stands in the place of the certificate.
    """
    limits = limits or Limits()
    if not isinstance(limits, Limits):
        raise ValueError(f"limits are ps.Limits(...), not an object of type {type(limits).__name__}")  # noqa: TRY004
    if isinstance(certificate, Weights):
        raise ValueError("weights stand where the certificate belongs: check(certificate, weights)")  # noqa: TRY004
    model = as_weights(weights)
    asked = as_asked(asked, model)
    if strict and model.converted:
        raise WeightsError(
            f"strict: the weights were converted ({model.converted}), and only safetensors files as the trusted reader"
            " reads them are checked; pessimal convert writes one"
        )
    if isinstance(certificate, Proof):
        data = certificate.data
    elif isinstance(certificate, bytes):
        data = certificate
    elif isinstance(certificate, Path | str):
        data = read_certificate(Path(certificate), limits)
    else:
        kind = type(certificate).__name__
        raise ValueError(  # noqa: TRY004 - every expected error is a ValueError
            f"a certificate is a proof, the bytes or the path of its file, not an object of type {kind}"
        )
    found = kernel_check(data, model, arithmetic=arithmetic, limits=limits, asked=asked, progress=progress)
    return with_reason(found, model)


def read_certificate(path: Path, limits: Limits | None = None) -> bytes:
    """The bytes of a certificate, at most one more than may be checked.

    Raises:
        OSError: it cannot be read.
    """
    return read_at_most(path, (limits or Limits()).max_bytes + 1, _may_be_certificate)


def _may_be_certificate(head: bytes) -> bool:
    """Whether a file may be a certificate by its first bytes; an endless device is not read to the limit."""
    return int.from_bytes(head[:8], "little") <= MAX_HEADER_BYTES and head[8:9] in {b"{", b""}


def info(weights: Given, *, task: GivenTask = None, samples: int = 20_000) -> dict[str, Any]:
    """What a weights file holds: sizes, architecture, digest, accuracy on random inputs (an estimate).

    Args:
        weights: the model, or the path of its file.
        task: as in `prove`.
        samples: random inputs for the estimate, at least one.

    Raises:
        ValueError: the model, the task or the number cannot be used; one sentence.
    """
    if samples < 1:
        raise ValueError(f"samples={samples}: an estimate needs at least one random sequence")
    weights = as_weights(weights)
    asked, assumed = (
        (task, []) if isinstance(task, AbstractTask) else task_of(weights, None if task is None else str(task))
    )
    asked.require_fits(weights.architecture)
    distribution = usual_distribution(asked)
    converted = {}
    if isinstance(weights, ConvertedWeights):
        converted = {"converted": weights.converted, "source_sha256": weights.source_sha256, "notes": weights.notes}
    return {
        "weights_sha256": weights.sha256,
        **converted,
        "architecture": weights.architecture.record(),
        "parameters": sum(int(array.size) for array in weights.tensors.values()),
        "tensors": {name: [*array.shape, array.dtype.name] for name, array in sorted(weights.tensors.items())},
        "metadata": dict(weights.metadata),
        "task": asked.name,
        "total": str(distribution.total(asked)),
        "distribution": distribution.name,
        "assumptions": [*map(str, weights.architecture.assumed), *assumed],
        "sampled_accuracy": sampled_accuracy(weights, asked, samples),
        "samples": samples,
    }


def train(
    config: "TrainConfig | ModularConfig",
    seeds: Sequence[int],
    out: Path | str,
    on_step: Callable[[int, int, float], None] | None = None,
) -> Iterator[Path]:
    """Train one model per seed and yield each file: first those that are there, then each as it is written.

    Run again to resume: files that the same configuration wrote are kept. Needs torch (extra `train`).

    Raises:
        RunFolderError: a file is in the way that was trained otherwise, or nothing says how.
    """
    from pessimal.train import ModularConfig, save_models, train_in_stacks, train_modular
    from pessimal.train.save import file_digest, files_of, training_record

    log = TrainingLog(Path(out))
    there: list[Path] = []
    left = []
    for seed in seeds:
        asked = files_of(config, seed)
        found = [path for name, record in asked.items() if (path := log.finished(name, record)) is not None]
        if len(found) < len(asked):
            left.append(seed)
        else:
            there += found
    if there:
        notice(f"{len(there)} files are there already, trained as asked; they are kept")
    yield from there
    if not left:
        return
    train = train_modular if isinstance(config, ModularConfig) else train_in_stacks
    for models in train(config, left, on_step):
        for model in models:
            # The note first: a file without one is nobody's.
            log.note(*file_digest(model), training_record(model))
            yield from save_models([model], Path(out))
