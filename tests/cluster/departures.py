"""When the namespace controller may be deleting what lies in a namespace whose name has been taken again meanwhile.

It looks at a name five seconds after a namespace of that name was deleted. Should one be ending just then, which need
not be the same, it deletes all that lies in it, type by type, by name. A harness that finishes the deletion by itself
and lets the next test make a namespace of that name would see the next test's objects vanish.
"""

from __future__ import annotations

from collections.abc import Iterable

LOOKS_AFTER = 5.0  # seconds: `namespaceDeletionGracePeriod` of kube-controller-manager
TAKES = 2.0  # seconds that it deletes for, at most, when nothing is left
SLACK = 0.3  # seconds of clocks and queues


class Departures:
    """Times are in seconds of one clock."""

    def __init__(self) -> None:
        self._deleted: dict[str, list[tuple[float, float]]] = {}

    def note(self, name: str, earliest: float, latest: float) -> None:
        """A namespace of that name was deleted at some time between the two."""
        self._deleted.setdefault(name, []).append((earliest, latest))

    def busy_until(self, ending: Iterable[tuple[str, float]], now: float) -> float:
        """Given the namespaces that are gone now and since when each was ending, return when all is over.

        That is 0 when the controller has looked at none of them meanwhile.
        """
        over = 0.0
        for name, since in ending:
            kept = [at for at in self._deleted.get(name, []) if at[1] + LOOKS_AFTER + TAKES > since]
            self._deleted[name] = kept
            for earliest, latest in kept:
                looks, at_last = earliest + LOOKS_AFTER - SLACK, latest + LOOKS_AFTER + SLACK
                if looks <= now and since <= at_last:
                    over = max(over, min(at_last, now) + TAKES)
        return over if over > now else 0.0
