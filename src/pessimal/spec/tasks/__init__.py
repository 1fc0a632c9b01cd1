"""The tasks, one file each."""

from dataclasses import fields

from pessimal.spec.task import AbstractTask, TaskError
from pessimal.spec.tasks.constant import Constant
from pessimal.spec.tasks.contains_token import ContainsToken
from pessimal.spec.tasks.custom import CustomTask, custom_from_record
from pessimal.spec.tasks.first_of_k import FirstOfK
from pessimal.spec.tasks.flagged_element import FlaggedElement
from pessimal.spec.tasks.last_of_k import LastOfK
from pessimal.spec.tasks.max_of_k import MaxOfK
from pessimal.spec.tasks.min_of_k import MinOfK
from pessimal.spec.tasks.modular_addition import ModularAddition
from pessimal.spec.tasks.modular_addition_equals import ModularAdditionEquals
from pessimal.spec.tasks.second_largest import SecondLargest

TASKS: dict[str, type[AbstractTask]] = {
    task.name: task
    for task in (
        MaxOfK,
        MinOfK,
        FirstOfK,
        LastOfK,
        SecondLargest,
        ContainsToken,
        FlaggedElement,
        Constant,
        ModularAddition,
        ModularAdditionEquals,
    )
}


def task_from_record(record: object) -> AbstractTask:
    """Rebuild a task from its certificate record; `TaskError` if it is not exactly one."""
    if isinstance(record, dict) and record.get("name") == CustomTask.name:
        return custom_from_record(record)
    if not isinstance(record, dict) or not isinstance(record.get("name"), str) or record["name"] not in TASKS:
        raise TaskError(f"unknown task; known: {', '.join(sorted([*TASKS, CustomTask.name]))}")
    kind = TASKS[record["name"]]
    numbers = {key: value for key, value in record.items() if key != "name"}
    names = [field.name for field in fields(kind)]
    if set(numbers) != set(names):
        raise TaskError(f"a {kind.name} record has exactly the keys name, {', '.join(names)}")
    if not all(type(value) is int for value in numbers.values()):
        raise TaskError(f"{', '.join(names)} are integers")
    return kind(**numbers)


__all__ = [
    "TASKS",
    "Constant",
    "ContainsToken",
    "CustomTask",
    "FirstOfK",
    "FlaggedElement",
    "LastOfK",
    "MaxOfK",
    "MinOfK",
    "ModularAddition",
    "ModularAdditionEquals",
    "SecondLargest",
    "task_from_record",
]
