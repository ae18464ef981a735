"""What does not work at the moment in a continuous export: told once, tried again ever later, and told when it is over.

For several threads.
"""

from __future__ import annotations

from drsyncer import log
from drsyncer.errors import ClusterError, ClusterUnreachable, DrSyncerError, ServerFailed, Throttled
from drsyncer.retry import Schedule
from drsyncer.service.backoff import Backoff
from drsyncer.service.repeats import Repeats
from exporter.observing import Observer

SOURCE = "the source cluster"
# A cluster that was away is to be noticed soon; all else, and a single type, is left alone ever longer.
_SOON = Schedule(initial=0.5, factor=2.0, maximum=6.0, jitter=0.3)
_SELDOM = Schedule(initial=0.5, factor=2.0, maximum=60.0, jitter=0.3)
_log = log.get(__name__)


class Troubles:
    """Pieces of work, types, and the source cluster as a whole. `types` maps types to why they are incomplete."""

    def __init__(self, repeats: Repeats, observer: Observer) -> None:
        self._repeats = repeats
        self._observer = observer
        self._asking = Backoff(_SOON)
        self._work = Backoff(_SELDOM)
        self._types = Backoff(_SELDOM)
        self._source = ""
        self.types: dict[str, str] = {}

    # Pieces of work

    def may(self, name: str) -> bool:
        """Return whether a piece of work is not to be left alone now."""
        return self._work.wait(name) == 0 and self._asking.wait(name) == 0

    def hurry(self, name: str) -> None:
        """Somebody wants a piece of work to be tried now."""
        self._work.worked(name)
        self._asking.worked(name)

    def worked(self, name: str) -> None:
        """A piece of work was done."""
        self.hurry(name)
        self._repeats.worked(name)

    def failed(self, name: str, error: Exception) -> None:
        """A piece of work failed, and will be tried again. To be called where the exception is handled."""
        first = self._work.failures(name) == 0
        (self._asking if isinstance(error, ClusterError) else self._work).failed(name)
        if isinstance(error, ClusterUnreachable | ServerFailed | Throttled):
            self.source_failed(str(error))
        elif isinstance(error, DrSyncerError):
            self._repeats.failed(name, f"{name}: {error}")
            self._observer.failed("cluster" if isinstance(error, ClusterError) else "commit")
        else:
            if first:
                _log.exception("an error in the program; the work goes on")
            self._repeats.failed(name, f"{name}: {sentence(error)}")
            self._observer.failed("internal")

    # The source cluster

    def source_failed(self, text: str) -> None:
        """A cluster that does not answer has one voice, whoever asked it what."""
        self._source = self._source or text
        self._repeats.failed(SOURCE, self._source)
        self._observer.failed("cluster")

    def source_works(self) -> None:
        """The cluster answers."""
        self._source = ""
        self._repeats.worked(SOURCE)

    # Types

    def delay(self, key: str) -> float:
        """A type failed once more: return the seconds after which to try it again."""
        return self._types.failed(key)

    def again(self, key: str) -> bool:
        """Return whether a type has failed before, without having worked since."""
        return self._types.failures(key) > 0

    def lasted(self, key: str) -> None:
        """A type worked for long enough to count."""
        self._types.worked(key)

    def incomplete(self, key: str, reason: str) -> None:
        """A type is not as in the cluster."""
        self.types[key] = reason
        if self._types.failures(key) > 1:  # the first moments of an API server are full of refusals
            self._repeats.failed(key, f"{key}: {reason}")
            self._observer.failed("type")

    def complete(self, key: str) -> None:
        """A type is as in the cluster, or gone."""
        self.types.pop(key, None)
        self._repeats.worked(key)

    def gone(self, key: str) -> None:
        """A type is followed no more."""
        self.lasted(key)
        self.complete(key)


def sentence(error: Exception) -> str:
    """Return what a person may be told: other libraries' words might hold anything."""
    return str(error) if isinstance(error, DrSyncerError) else f"an error in the program ({type(error).__name__})"
