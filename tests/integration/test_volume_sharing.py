"""Those who add to a restic repository share it, and who prunes it is alone: by Leases on a real API server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from drsyncer.cluster import connect
from drsyncer.cluster.lease import Timing
from drsyncer.errors import Refused
from tests.cluster.control_plane import ControlPlane
from tests.integration.services import until
from volumes.sharing import Meeting, Presence, Watcher, exclusive, shared

SHORT = Timing(duration=3.0, deadline=2.0, renew=0.3)
RUN = "3f2c1a90-0000-4000-8000-00000000000"

MakeNamespace = Callable[..., str]


@pytest.fixture
def meeting(source: ControlPlane, make_namespace: MakeNamespace) -> Meeting:
    to = partial(connect, kubeconfig=str(source.kubeconfig), connections=4, timeout=5.0)
    return Meeting(to(), to, make_namespace(source, "dr-syncer"), "prod", patience=20.0, timing=SHORT)


def _leases(source: ControlPlane, meeting: Meeting) -> list[str]:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{meeting.namespace}/leases"
    return [one["metadata"]["name"] for one in source.list(path) if one["spec"].get("holderIdentity")]


def test_many_share_and_are_seen_to_live_until_they_go(source: ControlPlane, meeting: Meeting) -> None:
    with shared(meeting, RUN + "1") as one, shared(meeting, "4" + RUN) as other:
        assert one.holding()
        assert one.name != other.name
        assert Watcher(meeting.cluster).living(one.name)
    assert not Watcher(meeting.cluster).living(one.name)
    assert _leases(source, meeting) == []


def test_who_must_be_alone_waits_until_the_others_have_gone(meeting: Meeting) -> None:
    events: list[str] = []
    waits = threading.Event()

    def prune() -> None:
        with exclusive(replace(meeting, waits=lambda _: waits.set())):
            events.append("alone")

    with shared(meeting, RUN):
        thread = threading.Thread(target=prune)
        thread.start()
        assert waits.wait(20)
        events.append("shared")
    thread.join(30)

    assert events == ["shared", "alone"]


def test_who_comes_while_somebody_is_alone_waits_and_does_not_hold_him_up(meeting: Meeting) -> None:
    events: list[str] = []
    waits = threading.Event()

    def back_up() -> None:
        with shared(replace(meeting, waits=lambda _: waits.set()), RUN):
            events.append("shared")

    with exclusive(meeting):
        thread = threading.Thread(target=back_up)
        thread.start()
        assert waits.wait(20)
        events.append("alone")
    thread.join(30)

    assert events == ["alone", "shared"]


def test_nobody_waits_for_ever(meeting: Meeting) -> None:
    impatient = replace(meeting, patience=0.1)
    with exclusive(meeting), pytest.raises(Refused, match="must be alone"), shared(impatient, RUN):
        pass
    with shared(meeting, RUN), pytest.raises(Refused, match="in use"), exclusive(impatient):
        pass


def test_who_died_is_not_waited_for_and_his_lease_goes(source: ControlPlane, meeting: Meeting) -> None:
    dead = Presence(meeting, f"{meeting.name}-dead")
    dead.start(patience=0.0)
    # As a kill does it: renewals end, and nobody gives the Lease back.
    dead._election._release = lambda: None  # type: ignore[method-assign]
    dead.stop(delete=False)
    until(lambda: _leases(source, meeting) == [f"{meeting.name}-dead"], "the Lease of the dead")
    begun = time.monotonic()

    with exclusive(meeting) as alone:
        assert alone.holding()

    assert time.monotonic() - begun < 20
    assert _leases(source, meeting) == []


def test_a_namespace_that_is_missing_is_made(source: ControlPlane, meeting: Meeting) -> None:
    elsewhere = replace(meeting, namespace=f"{meeting.namespace}-new")
    with shared(elsewhere, RUN) as presence:
        assert presence.holding()
    source.delete(f"/api/v1/namespaces/{elsewhere.namespace}", wait=False)
