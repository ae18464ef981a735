"""Whether a run may go on. A service loses its leadership or is told to stop in the middle of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from drsyncer.errors import Abandoned


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Mandate:
    """Asked between objects, from several threads. A run without one goes on to its end.

    `goes_on` says whether another object may be begun; `holds` whether anything may be written at all: a run that was
    told to stop still writes down what it did, one that lost its leadership does not.
    """

    goes_on: Callable[[], bool] = _always
    holds: Callable[[], bool] = _always

    def check(self) -> None:
        """Raise Abandoned when the run may not go on."""
        if not self.goes_on():
            raise Abandoned("the import was abandoned: told to stop")


ALWAYS = Mandate()
