"""What a check may take: every table and every loop is asked for before it is made.

Contents:
    Budget — steps and bytes that are left.
"""

from certificate import Rejected

MAX_WORK = 2**30
MAX_MEMORY = 2**29
# Of a Python integer and the place that refers to it.
ENTRY_BYTES = 36


class Budget:
    """Steps and bytes that are left; a million steps take about a second."""

    def __init__(self, steps: int = MAX_WORK, memory: int = MAX_MEMORY) -> None:
        self.steps, self.memory = steps, memory

    def spend(self, steps: int) -> None:
        """Take steps, or raise `Rejected(resources)`."""
        self.require(steps)
        self.steps -= steps

    def require(self, steps: int) -> None:
        """Raise `Rejected(resources)` if there are fewer steps left."""
        if steps > self.steps:
            raise Rejected("resources", f"the check takes {_many(steps)} steps; {_many(self.steps)} are left")

    def hold(self, entries: int, bits: int) -> None:
        """Take memory for integers of so many bits, or raise `Rejected(resources)`."""
        needed = entries * (ENTRY_BYTES + bits // 7)
        if needed > self.memory:
            raise Rejected("resources", f"the check takes {_many(needed)} bytes; {_many(self.memory)} are left")
        self.memory -= needed


def _many(number: int) -> str:
    return str(number) if abs(number) < 10**12 else f"2**{number.bit_length() - 1} or more"
