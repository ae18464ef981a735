"""Bad weather: what goes wrong around the two services, one thing after the other, in an order that a seed gives."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable

from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.tcp_fault_proxy import TcpFaultProxy
from tests.integration.recovery import Recovery

_EXPIRED = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410}
_GONE = json.dumps({"type": "ERROR", "object": _EXPIRED}) + "\n"
_BUSY = {"Retry-After": "1"}
STRANGER = "notes/somebody-else.md"


class Weather:
    """Everything at least once when the block lasts long enough. `pause` is the seconds between two blows."""

    def __init__(
        self,
        *,
        clusters: dict[str, ControlPlane],
        proxies: dict[str, FaultProxy],
        line: TcpFaultProxy,
        recovery: Recovery,
        seed: int,
        pause: float,
        hang: float,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._clusters, self._proxies, self._line, self._recovery = clusters, proxies, line, recovery
        self._rng = random.Random(seed)  # repeatable
        self._pause, self._hang = pause, hang
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._errors: list[BaseException] = []
        self._blows: dict[str, Callable[[], object]] = {
            "the source's API server restarts": lambda: self._restart("source"),
            "DR's API server restarts": lambda: self._restart("dr"),
            "watches are cut": lambda: self._proxies["source"].cut(path="watch=true", after=300, times=20),
            "histories are gone": self._expire,
            "the source is busy": lambda: self._busy("source", "GET"),
            "DR is busy": lambda: self._busy("dr", "PATCH|DELETE|GET"),
            "DR loses answers": lambda: self._proxies["dr"].cut(method="PATCH|DELETE", times=5),
            "somebody else pushes": self._push,
            "the remote hangs": lambda: self._line.hang(self._hang, times=2),
            "the remote hangs up": lambda: self._line.cut(after=500, times=4),
        }

    def __enter__(self) -> Weather:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for proxy in self._proxies.values():
            proxy.clear()
        self._line.clear()
        self.check()

    def check(self) -> None:
        """Raise what ended it before its time."""
        if self._errors:
            raise self._errors[0]

    def missing(self) -> set[str]:
        """Return what did not happen."""
        return self._blows.keys() - self.counts.keys()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                order = list(self._blows)
                self._rng.shuffle(order)
                for name in order:
                    if self._stop.wait(self._pause):
                        return
                    self._blows[name]()
                    self.counts[name] += 1
                for proxy in self._proxies.values():
                    proxy.clear()  # requests of a whole night are not to be kept
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self._errors.append(error)

    def _restart(self, name: str) -> None:
        self._clusters[name].stop_api()
        self._stop.wait(1.0)
        self._clusters[name].start_api()

    def _expire(self) -> None:
        proxy = self._proxies["source"]
        proxy.status(200, path="watch=true", body=_GONE, times=5)
        proxy.cut(path="watch=true", after=300, times=5)

    def _busy(self, name: str, method: str) -> None:
        self._proxies[name].status(429, method=method, headers=_BUSY, times=10)

    def _push(self) -> None:
        for _ in range(5):
            try:
                self._recovery.commit({STRANGER: f"{self._rng.random()}\n"}, message="a note")
            except RuntimeError:  # the exporter was faster
                continue
            return
