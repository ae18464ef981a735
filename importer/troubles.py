"""What fails now, how long it is left alone, and what the log says of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from drsyncer import log
from drsyncer.errors import ClusterUnreachable, DrSyncerError
from drsyncer.retry import Schedule
from drsyncer.service.backoff import Backoff
from drsyncer.service.repeats import Repeats
from importer.observing import Failure, Observer


@dataclass(frozen=True, slots=True)
class Patience:
    """How long what failed is left alone. `grace`: seconds that a run has, once told to stop, to end by itself."""

    remote: Schedule = field(default_factory=lambda: Schedule(initial=1.0, maximum=30.0))
    cluster: Schedule = field(default_factory=lambda: Schedule(initial=1.0, maximum=6.0))
    objects: Schedule = field(default_factory=lambda: Schedule(initial=15.0, maximum=300.0))
    refusal: Schedule = field(default_factory=lambda: Schedule(initial=60.0, maximum=3600.0))
    grace: float = 4.0

    def bounded(self, *, objects: float) -> Patience:
        """Return the same with objects left alone for at most so many seconds."""
        return replace(self, objects=replace(self.objects, maximum=min(self.objects.maximum, objects)))


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that fails now: in a sentence, with what a person can do."""

    failure: Failure
    text: str
    hint: str


# As the log names them: "the DR cluster: no answer from …", "the DR cluster works again".
SUBJECTS: Mapping[Failure, str] = {
    Failure.REMOTE: "the recovery repository",
    Failure.FETCH: "fetching from the recovery repository",
    Failure.CLUSTER: "the DR cluster",
    Failure.REVISION: "finding what is followed",
    Failure.REFUSED: "importing the newest recovery point",
    Failure.GUARD: "deleting what left Git",
    Failure.BLOCKED: "importing every object",
    Failure.DRIFT: "looking for drift",
}


class Troubles:
    """The failures of one importer, each kind with a back-off of its own. Safe to use from several threads."""

    def __init__(self, patience: Patience, observer: Observer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._observer = observer
        self._repeats = Repeats(log.get(__name__), clock=clock)
        schedules = {
            Failure.REMOTE: patience.remote,
            Failure.FETCH: patience.remote,
            Failure.REVISION: patience.remote,
            Failure.CLUSTER: patience.cluster,
            Failure.REFUSED: patience.refusal,
            Failure.GUARD: patience.refusal,
            Failure.BLOCKED: patience.objects,
            Failure.DRIFT: patience.objects,
        }
        self._backoffs = {failure: Backoff(schedule, clock=clock) for failure, schedule in schedules.items()}
        self._now: dict[Failure, Trouble] = {}
        self._lock = threading.Lock()

    def failed(self, failure: Failure, error: DrSyncerError) -> None:
        """Leave alone for a while, and ever longer, what failed; tell of it."""
        self._backoffs[failure].failed(failure)
        text = str(error)
        with self._lock:
            if isinstance(error, ClusterUnreachable) and failure in self._now:
                text = self._now[failure].text  # which request went without an answer does not matter
            self._now[failure] = Trouble(failure, text, error.hint)
        self._repeats.failed(SUBJECTS[failure], f"{SUBJECTS[failure]}: {text}")
        self._observer.failure(failure, text)

    def worked(self, *failures: Failure) -> None:
        """These work, for what is known."""
        for failure in failures:
            self._backoffs[failure].worked(failure)
            with self._lock:
                before = self._now.pop(failure, None)
            self._repeats.worked(SUBJECTS[failure])
            if before is not None:
                self._observer.recovered(failure)

    def again(self, *failures: Failure) -> None:
        """Something changed: these may be tried again at once."""
        for failure in failures:
            self._backoffs[failure].worked(failure)

    def waits(self, failure: Failure) -> bool:
        """Return whether it is to be left alone now."""
        return self._backoffs[failure].wait(failure) > 0

    def is_failing(self, failure: Failure) -> bool:
        """Return whether it failed when it was last tried."""
        return failure in self._now

    def now(self) -> tuple[Trouble, ...]:
        """Return what fails now, in the order of `Failure`."""
        with self._lock:
            return tuple(self._now[failure] for failure in Failure if failure in self._now)
