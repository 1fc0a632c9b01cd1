"""The tasks, one file each."""

from pessimal.spec.task import AbstractTask, TaskError
from pessimal.spec.tasks.max_of_k import MaxOfK

TASKS: dict[str, type[MaxOfK]] = {MaxOfK.name: MaxOfK}


def task_from_record(record: object) -> AbstractTask:
    """Rebuild a task from its certificate record; `TaskError` if it is not exactly one."""
    if not isinstance(record, dict) or set(record) != {"name", "k", "d_vocab"}:
        raise TaskError("a task record has exactly the keys name, k, d_vocab")
    name, k, d_vocab = record["name"], record["k"], record["d_vocab"]
    if not isinstance(name, str) or name not in TASKS:
        raise TaskError(f"unknown task; known: {', '.join(sorted(TASKS))}")
    if type(k) is not int or type(d_vocab) is not int:
        raise TaskError("k and d_vocab are integers")
    return TASKS[name](k=k, d_vocab=d_vocab)


__all__ = ["TASKS", "MaxOfK", "task_from_record"]
