"""Every task at tiny sizes, for tests by enumeration."""

from pessimal.spec import TASKS, TaskError
from pessimal.spec.task import AbstractTask

PARAMETERS = {"contains-token": ({"token": 0}, {"token": 1}), "constant": ({"output": 0}, {"output": 1})}


def _tiny() -> list[AbstractTask]:
    found = []
    for name, kind in TASKS.items():
        for k, v in ((1, 2), (2, 4), (2, 5), (3, 6), (4, 4), (5, 3)):
            for more in PARAMETERS.get(name, ({},)):
                try:
                    found.append(kind(k=k, d_vocab=v, **more))
                except TaskError:
                    continue
    return found


TINY_TASKS = _tiny()
# One task of every name, more than one position.
WIDE = [task for task in TINY_TASKS if 1 < task.k < 5]
TASKS_ONCE = [next(task for task in WIDE[::-1] if task.name == name) for name in dict.fromkeys(t.name for t in WIDE)]
