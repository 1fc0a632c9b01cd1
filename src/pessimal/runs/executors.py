"""Where independent units of work run: processes of this machine, or a Dask cluster, behind one interface.

Results are taken in whatever order they come. A unit whose worker died is handed out again; what its worker had
delivered is kept. A unit that fails for good does not stop the others: what they find is delivered first, then the
failure is raised. An interrupt (Ctrl-C) ends the workers at once, delivers what had arrived, and is raised then.

Contents:
    ENGINES — `local` and `dask`.
    run_units — results of a function over units, as they come.
    EngineError — a cluster that cannot be used, a unit that keeps killing its worker.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from pessimal.runs import cluster, processes
from pessimal.runs.interrupts import Interrupts
from pessimal.runs.work import ATTEMPTS, EngineError, Failures, Result, Unit, Work, no_rest

__all__ = ["ATTEMPTS", "ENGINES", "EngineError", "run_units"]

Engine = Callable[[Work[Any, Any], int, str | None, Interrupts], Iterator[tuple[Any, Any]]]
ENGINES: dict[str, Engine] = {"local": processes.results, "dask": cluster.results}


def run_units(
    work: Callable[[Unit], Iterable[Result]],
    units: Sequence[Unit],
    *,
    engine: str = "local",
    workers: int = 2,
    scheduler: str | None = None,
    rest: Callable[[Unit, Result], Unit] = no_rest,
) -> Iterator[tuple[Unit, Result]]:
    """Yield (unit, result) for every result of `work(unit)`, as results arrive.

    On this machine results arrive one by one; from a cluster, those of a unit together.

    Args:
        work: a function at the top of a module, so that other processes can import it; what it yields is picklable.
        units: picklable arguments.
        engine: one of `ENGINES`.
        workers: processes; ignored when a scheduler is named.
        scheduler: address of a running Dask scheduler.
        rest: what is left of a unit once a result of it has arrived: that is handed out again if the worker dies.

    Raises:
        EngineError: unknown engine, no cluster, or a unit that killed its worker three times in a row.
        KeyboardInterrupt: the process was interrupted.
    """
    if engine not in ENGINES:
        raise EngineError(f"unknown engine {engine!r}; known: {', '.join(ENGINES)}")
    if workers < 1:
        raise EngineError(f"{workers} workers cannot do anything; give at least 1")
    if engine == "local" and scheduler is not None:
        raise EngineError("--scheduler is for --engine dask")
    if not units:
        return
    asked = Work(work, list(units), rest, Failures())
    with Interrupts() as interrupts:
        yield from ENGINES[engine](asked, min(workers, len(units)), scheduler, interrupts)
    if interrupts.asked:
        raise KeyboardInterrupt
    asked.failures.throw()
