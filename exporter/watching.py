"""One thread and one connection per watch, for as many types as are followed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from drsyncer.cluster import Cluster
from drsyncer.cluster.watch import Event, Watch
from drsyncer.manifest import ResourceType
from drsyncer.retry import Schedule
from drsyncer.service.circuit import Circuit

# Of a watch that fails by itself. While nobody answers at all, the circuit says who tries, and when.
SCHEDULE = Schedule(initial=0.5, factor=2.0, maximum=6.0, jitter=0.3)
_PARTING = 5.0  # seconds for threads to end


@dataclass(frozen=True, slots=True)
class Ended:
    """A watch that ended by itself, what it ended with, and how many seconds it had lasted."""

    type_: ResourceType
    error: Exception
    lasted: float


class _Line:
    """A watch and its thread. Once `off`, it tells nothing any more."""

    def __init__(self, watch: Watch, told: Callable[[ResourceType, Event], None], ended: Callable[[Ended], None]):
        self.watch = watch
        self._told = told
        self._ended = ended
        self._begun = time.monotonic()
        self.off = threading.Event()
        self.thread = threading.Thread(target=self._run, name=f"watch {watch.type.key}", daemon=True)

    @property
    def failing(self) -> bool:
        return self.watch.failures >= 2 or self.watch.waits or not self.thread.is_alive()

    def _run(self) -> None:
        try:
            for event in self.watch.events():
                if self.off.is_set():
                    return
                self._told(self.watch.type, event)
        except Exception as error:  # noqa: BLE001 - whoever ends for whatever reason, his type must be listed again
            if not self.off.is_set():
                self._ended(Ended(self.watch.type, error, time.monotonic() - self._begun))


class Watching:
    """The open watches. Its methods are for one thread; `told` and `ended` are called by the watches' own."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        circuit: Circuit,
        told: Callable[[ResourceType, Event], None],
        ended: Callable[[Ended], None],
    ) -> None:
        self._cluster = cluster
        self._circuit = circuit
        self._told = told
        self._ended = ended
        self._lines: dict[str, list[_Line]] = {}
        self._parting: list[_Line] = []

    def start(self, type_: ResourceType, versions: Mapping[str, str]) -> None:
        """Watch a type from `versions` on: namespace → resourceVersion, with "" for all namespaces."""
        self.stop([type_.key])
        lines = [
            _Line(
                Watch(
                    self._cluster,
                    type_,
                    resource_version=version,
                    namespace=where,
                    schedule=SCHEDULE,
                    circuit=self._circuit,
                ),
                self._told,
                self._ended,
            )
            for where, version in versions.items()
        ]
        self._lines[type_.key] = lines
        for line in lines:
            line.thread.start()

    def stop(self, keys: list[str] | None = None) -> None:
        """End the watches of these types, or all. When it returns, they tell nothing any more."""
        ending = [line for key in (list(self._lines) if keys is None else keys) for line in self._lines.pop(key, [])]
        for line in ending:
            line.off.set()
            line.watch.stop()
        self._parting += ending
        self._join(_PARTING)

    def close(self) -> int:
        """End everything; return how many threads could not be ended."""
        self.stop()
        self._join(_PARTING)
        return len(self._parting)

    def types(self) -> dict[str, ResourceType]:
        """Return what is watched, and in which version."""
        return {key: lines[0].watch.type for key, lines in self._lines.items() if lines}

    def positions(self) -> dict[str, dict[str, str]]:
        """Return per type and namespace the resourceVersion up to which everything was told."""
        return {
            key: {line.watch.namespace: line.watch.resource_version for line in lines}
            for key, lines in self._lines.items()
        }

    def connected(self) -> tuple[int, int]:
        """Return how many watches are connected, and how many there are."""
        lines = [line for lines in self._lines.values() for line in lines]
        return sum(line.watch.connected for line in lines), len(lines)

    def failing(self) -> list[str]:
        """Return the types that are not watched: the watch has ended, or could not be opened for several tries."""
        return [key for key, lines in self._lines.items() if any(line.failing for line in lines)]

    def _join(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        for line in self._parting:
            line.thread.join(max(0.0, end - time.monotonic()))
        self._parting = [line for line in self._parting if line.thread.is_alive()]
