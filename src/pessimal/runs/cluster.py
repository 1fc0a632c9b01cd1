"""The engine `dask`: workers of a Dask cluster, started here or running already. Needs the extra `cluster`.

As many units are out as there are workers, so that a worker that dies takes no unit with it that it was not at.

Contents:
    results — (unit, result) as they come, all results of a unit together.
"""

import contextlib
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pessimal.runs.interrupts import LOOK_SECONDS, Interrupts, blocked
from pessimal.runs.notices import notice
from pessimal.runs.work import ATTEMPTS, EngineError, Work, one_thread_each

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

PATIENCE = 10.0
GOODBYE = 2.0


def results(
    work: Work[Any, Any], workers: int, scheduler: str | None, interrupts: Interrupts
) -> Iterator[tuple[Any, Any]]:
    """See `executors.run_units`."""
    with _client(workers, scheduler, interrupts) as client:
        tasks = _Tasks(work, client)
        while tasks.at_work() and not interrupts.stop():
            yield from tasks.news(LOOK_SECONDS)
        yield from tasks.news(0.0)
        if scheduler is not None:
            tasks.cancel()


class _Tasks:
    """Units that wait, units that are out, and what comes back."""

    def __init__(self, work: Work[Any, Any], client: "Client") -> None:
        self.work, self.client = work, client
        self.waiting: deque[tuple[Any, int]] = deque((unit, ATTEMPTS) for unit in work.units)
        self.out: dict[Future, tuple[Any, int]] = {}
        self.alone_since: float | None = None

    def at_work(self) -> bool:
        """Keep every worker busy; whether there is anything to wait for."""
        width = sum(self.client.ncores().values())
        self._mind_absence(width)
        while self.waiting and len(self.out) < width:
            unit, lives = self.waiting.popleft()
            self.out[self.client.submit(_all_of, self.work.function, unit, pure=False)] = unit, lives
        return bool(self.waiting or self.out)

    def news(self, seconds: float) -> Iterator[tuple[Any, Any]]:
        """What arrives within some seconds."""
        from distributed import KilledWorker  # noqa: PLC0415 - an extra

        end = time.monotonic() + seconds
        while not any(future.done() for future in self.out) and time.monotonic() < end:
            time.sleep(min(0.02, seconds))
        for future in [one for one in self.out if one.done()]:
            unit, lives = self.out.pop(future)
            if future.cancelled():
                raise EngineError("the Dask cluster went away; finished results are kept")
            error = future.exception() if future.status == "error" else None
            if isinstance(error, KilledWorker):
                if lives > 1:
                    self.waiting.appendleft((unit, lives - 1))
                else:
                    self.work.failures.died(unit)
            elif error is not None:
                self.work.failures.add(unit, error)
            else:
                found, failure = future.result()
                for result in found:
                    yield unit, result
                if failure is not None:
                    self.work.failures.add(unit, failure)

    def cancel(self) -> None:
        """Nobody wants the rest."""
        if self.out:
            self.client.cancel(list(self.out), force=True)

    def _mind_absence(self, width: int) -> None:
        """Say when there has been no worker for some time: they may be on their way, or never come."""
        now = time.monotonic()
        if width:
            self.alone_since = None
        elif self.alone_since is None:
            self.alone_since = now
        elif 0 < PATIENCE < now - self.alone_since:
            self.alone_since = float("inf")
            notice("the Dask cluster has no worker; waiting for one")


def _all_of(function: Callable[[Any], Iterable[Any]], unit: Any) -> tuple[list[Any], Exception | None]:
    """The results of a unit, and what ended them early; runs in a worker."""
    found: list[Any] = []
    try:
        for result in function(unit):
            found.append(result)  # noqa: PERF402 - an error must not take along what came before it
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent decides
        return found, error
    return found, None


@contextmanager
def _client(workers: int, scheduler: str | None, interrupts: Interrupts) -> Iterator["Client"]:
    """A client of the named cluster, or of one of its own."""
    try:
        import dask  # noqa: PLC0415 - an extra
        from distributed import Client, LocalCluster  # noqa: PLC0415
    except ImportError:
        raise EngineError("--engine dask needs the extra `cluster`: pip install 'pessimal[cluster]'") from None
    one_thread_each()
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=20)
        except (OSError, ValueError) as error:
            raise EngineError(f"no Dask scheduler answers at {scheduler}: {error}") from None
        with client:
            yield client
        return
    # A death is counted here, not by the scheduler too.
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        with blocked():
            cluster = LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None)
            client = Client(cluster)
        try:
            yield client
        finally:
            if interrupts.asked:
                _kill_workers(cluster)
            with contextlib.suppress(TimeoutError, OSError):
                client.close(timeout=GOODBYE)
                cluster.close(timeout=GOODBYE)


def _kill_workers(cluster: "LocalCluster") -> None:
    """End the workers of an own cluster now: asked to close, they finish what they are at first."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    pids = []
    for nanny in list(cluster.workers.values()):
        nanny.auto_restart = False
        if nanny.process is not None and nanny.process.pid is not None:
            pids.append(nanny.process.pid)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
