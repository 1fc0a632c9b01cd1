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
