"""The engine `local`: processes of this machine that send every result as soon as they have it.

Each worker has a pipe of its own, so the parent knows which unit a dead worker was at. Workers do not see Ctrl-C and
end with their parent, however it ends.

Contents:
    results — (unit, result) as they come.
    Worker — one process and what it is at.
"""

import contextlib
import os
import pickle
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from pessimal.runs.interrupts import LOOK_SECONDS, Interrupts, blocked
from pessimal.runs.work import ATTEMPTS, EngineError, Work, one_thread_each

READY, RESULT, DONE, FAILED = range(4)
LAST_WORDS = 1.0
Job = tuple[Any, int]


class Worker:
    """One process and what it is at.

    Attributes:
        job: the unit it was given, less what has arrived, and how often it may still die at it; None if idle.
        ready: whether it ever answered.
    """

    def __init__(self, function: Callable[[Any], Iterable[Any]]) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(theirs, function), daemon=True)
        self.job: Job | None = None
        self.ready = False
        with blocked():
            self.process.start()
        theirs.close()

    def give(self, job: Job) -> None:
        """Hand out a unit; a worker that is gone is noticed by its pipe's end."""
        self.job = job
        with contextlib.suppress(OSError):
            self.pipe.send(job[0])

    def message(self) -> tuple[int, Any] | None:
        """The next message; None when it has ended, whatever part of one it left."""
        try:
            kind, value = self.pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return None
        return kind, value

    def end(self) -> None:
        """End it at once. What it had sent can still be read."""
        self.process.terminate()
        self.process.join(LAST_WORDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(LAST_WORDS)


def results(
    work: Work[Any, Any], workers: int, scheduler: str | None, interrupts: Interrupts
) -> Iterator[tuple[Any, Any]]:
    """See `executors.run_units`."""
    del scheduler
    one_thread_each()
    pool = _Pool(work, workers)
    try:
        while pool.at_work() and not interrupts.stop():
            yield from pool.news(LOOK_SECONDS)
        pool.end()
        yield from pool.last_words()
    finally:
        pool.end()


class _Pool:
    """Workers, the units that wait for one, and what comes back."""

    def __init__(self, work: Work[Any, Any], workers: int) -> None:
        self.work = work
        self.waiting: deque[Job] = deque((unit, ATTEMPTS) for unit in work.units)
        self.number = workers
        self.stillborn = 0
        self.workers: list[Worker] = []

    def at_work(self) -> bool:
        """Keep every worker busy; whether there is anything to wait for."""
        for worker in self.workers:
            if worker.job is None and self.waiting:
                worker.give(self.waiting.popleft())
        while self.waiting and len(self.workers) < self.number:
            self.workers.append(Worker(self.work.function))
            self.workers[-1].give(self.waiting.popleft())
        return any(worker.job is not None for worker in self.workers)

    def news(self, seconds: float) -> Iterator[tuple[Any, Any]]:
        """What arrives within some seconds."""
        by_pipe: dict[Any, Worker] = {worker.pipe: worker for worker in self.workers}
        for pipe in wait(list(by_pipe), seconds):
            worker = by_pipe[pipe]
            message = worker.message()
            if message is not None:
                yield from self._take(worker, *message)
                continue
            self.workers.remove(worker)
            worker.pipe.close()
            self._bury(worker)

    def last_words(self) -> Iterator[tuple[Any, Any]]:
        """What workers that have ended sent before: finished work like any other."""
        for worker in self.workers:
            while (message := worker.message()) is not None:
                yield from self._take(worker, *message)
            worker.pipe.close()
        self.workers.clear()

    def _take(self, worker: Worker, kind: int, value: Any) -> Iterator[tuple[Any, Any]]:
        worker.ready = True
        self.stillborn = 0
        if worker.job is None:
            return
        unit, _ = worker.job
        if kind == RESULT:
            # Dying is counted at one result: a worker that gets further each time is no hopeless case.
            worker.job = self.work.rest(unit, value), ATTEMPTS
            yield unit, value
        elif kind == DONE:
            worker.job = None
        elif kind == FAILED:
            worker.job = None
            self.work.failures.add(unit, value)

    def _bury(self, worker: Worker) -> None:
        """Hand out again what a dead worker was at, unless it died too often."""
        worker.process.join(LAST_WORDS)
        if not worker.ready:
            self.stillborn += 1
            if self.stillborn >= ATTEMPTS * self.number:
                raise EngineError(f"workers end before they begin (exit code {worker.process.exitcode})")
        if worker.job is None:
            return
        unit, lives = worker.job
        if not worker.ready:
            self.waiting.appendleft((unit, lives))
        elif lives > 1:
            self.waiting.appendleft((unit, lives - 1))
        else:
            self.work.failures.died(unit)

    def end(self) -> None:
        """End all workers at once."""
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.end()


def _serve(pipe: Connection, function: Callable[[Any], Iterable[Any]]) -> None:
    """The life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        pipe.send((READY, None))
        while True:
            unit = pipe.recv()
            try:
                for result in function(unit):
                    pipe.send((RESULT, result))
                pipe.send((DONE, None))
            except BrokenPipeError:
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, the parent decides
                pipe.send((FAILED, _sendable(error)))


def _sendable(error: Exception) -> Exception:
    """The error with its traceback as a note, or its words where it cannot be pickled."""
    if not isinstance(error, ValueError | OSError | MemoryError):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made two words before
    except Exception:  # noqa: BLE001 - anything may go wrong with a foreign class
        return EngineError(f"{type(error).__name__}: {error}")
    return error


def _end_with_parent() -> None:
    """Wait for the parent's end, then leave: nobody wants the result any more."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
