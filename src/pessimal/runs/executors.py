"""Where independent units of work run: processes of this machine, or a Dask cluster, behind one interface.

Both are `concurrent.futures` executors, so the loop that hands out work and takes results is one. A unit whose worker
died is handed out again; results are taken in whatever order they come.

Contents:
    ENGINES — `local` and `dask`.
    run_units — results of a function over units, as they come.
    EngineError — a cluster that cannot be used, a unit that keeps killing its worker.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

Unit = TypeVar("Unit")
Result = TypeVar("Result")
ATTEMPTS = 3
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class EngineError(ValueError):
    """The work cannot be run as asked; the message is one sentence."""


def _one_thread_each() -> None:
    """One thread per worker; the processes inherit it."""
    for name in THREADS:
        os.environ.setdefault(name, "1")


@contextmanager
def _local(workers: int, scheduler: str | None) -> Iterator[Executor]:
    if scheduler is not None:
        raise EngineError("--scheduler is for --engine dask")
    _one_thread_each()
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _dask(workers: int, scheduler: str | None) -> Iterator[Executor]:
    try:
        from distributed import Client, LocalCluster  # noqa: PLC0415 - an extra
    except ImportError:
        raise EngineError("--engine dask needs the extra `cluster`: pip install 'pessimal[cluster]'") from None
    _one_thread_each()
    if scheduler is None:
        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            yield client.get_executor(pure=False)
        return
    try:
        client = Client(scheduler, timeout=20)
    except (OSError, ValueError) as error:
        raise EngineError(f"no Dask scheduler answers at {scheduler}: {error}") from None
    with client:
        yield client.get_executor(pure=False)


ENGINES = {"local": _local, "dask": _dask}


def run_units(
    work: Callable[[Unit], Result],
    units: Sequence[Unit],
    *,
    engine: str = "local",
    workers: int = 2,
    scheduler: str | None = None,
) -> Iterator[tuple[Unit, Result]]:
    """Yield (unit, `work(unit)`) as results arrive.

    Args:
        work: a function at the top of a module, so that other processes can import it.
        units: picklable arguments.
        engine: one of `ENGINES`.
        workers: processes; ignored when a scheduler is named.
        scheduler: address of a running Dask scheduler.

    Raises:
        EngineError: unknown engine, no cluster, or a unit that killed its worker three times.
    """
    if engine not in ENGINES:
        raise EngineError(f"unknown engine {engine!r}; known: {', '.join(ENGINES)}")
    left = dict.fromkeys(range(len(units)), ATTEMPTS)
    while left:
        with ENGINES[engine](min(workers, len(left)), scheduler) as executor:
            futures = {executor.submit(work, units[index]): index for index in left}
            try:
                yield from _collect(futures, units, left)
            except BrokenProcessPool:
                # The pool is gone with everything it held; a new one takes what is left.
                for index in _running(futures, left):
                    left[index] -= 1
                    if left[index] == 0:
                        raise EngineError(f"the worker died {ATTEMPTS} times on {units[index]}") from None


def _collect(
    futures: dict["Future[Result]", int], units: Sequence[Unit], left: dict[int, int]
) -> Iterator[tuple[Unit, Result]]:
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            result = future.result()
            index = futures[future]
            del left[index]
            yield units[index], result


def _running(futures: dict["Future[Result]", int], left: dict[int, int]) -> list[int]:
    """Units that may have been running when the pool broke: all that are left, as the pool does not say."""
    return [index for index in futures.values() if index in left]
