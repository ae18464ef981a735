"""Services that have nothing to do do nothing, and those that can do nothing try ever more seldom."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, configmap, deployment, namespace
from tests.integration.services import Service, Services, until

QUIET = 30.0  # seconds
MINUTE = 60.0
IDLE = 0.02  # of one core
APP = "/api/v1/namespaces/shop/configmaps/app"
FAST = {"quietPeriod": "500ms", "maxDelay": "2s"}
ELECTED = {"leaderElection": True}
WELL = [(200, "ok\n"), (200, "ok\n")]
DEAD = 20.0  # seconds
BACK = 10.0  # seconds until what came back is noticed, and what it missed is there
CLUSTER_FAILURES = 'dr_syncer_failures_total{reason="cluster"}'


def requests(cluster: ControlPlane, since: int) -> list[str]:
    """What the services asked the API server, apart from watches and leases."""
    found = cluster.audit_events(since)
    return [f"{one.verb} {one.uri}" for one in found if one.verb != "watch" and one.resource != "leases"]


def both(
    services: Services,
    source: ControlPlane,
    dr: ControlPlane,
    *,
    interval: str = "30s",
    server: dict[str, Any] | None = None,
) -> tuple[Service, Service]:
    """Both services, with everything that there is in Git and in DR."""
    exporter = services.start("exporter", source, server=server, **FAST)
    until(services.recovery.head, "the first export")
    until(lambda: exporter.metric('dr_syncer_watches{state="connected"}') > 10, "the watches")
    until(lambda: exporter.metric('dr_syncer_watches{state="lost"}') == 0, "all watches")
    importer = services.start("importer", dr, server=server, interval=interval)
    until(lambda: importer.metric('dr_syncer_runs_total{result="done"}') > 0, "the first import")
    return exporter, importer


def test_while_nothing_changes_nothing_is_committed_written_or_asked_and_no_cpu_is_used(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery, services: Services
) -> None:
    for cluster in (clean_source, clean_dr):
        cluster.apply([namespace("dr-syncer")])
    clean_source.apply([namespace("shop"), configmap("shop", "app", colour="red"), deployment("shop", "web")])
    clean_source.settle()
    pair = both(services, clean_source, clean_dr, server=ELECTED)
    for cluster in (clean_source, clean_dr):
        cluster.settle()
    until(lambda: clean_dr.exists(APP), "the import")
    time.sleep(3.0)  # what came with the first runs ends

    head, logs = recovery.head(), [len(service.said()) for service in pair]
    marks = [cluster.audit.mark() for cluster in (clean_source, clean_dr)]
    versions = clean_dr.resource_versions()
    cpu = [service.cpu() for service in pair]
    begun = time.monotonic()
    time.sleep(QUIET)
    minutes = (time.monotonic() - begun) / MINUTE
    used = [(service.cpu() - before) / (minutes * MINUTE) for service, before in zip(pair, cpu, strict=True)]

    assert recovery.head() == head
    for cluster, mark in zip((clean_source, clean_dr), marks, strict=True):
        asked = requests(cluster, mark)
        assert len(asked) < 5 * max(minutes, 1.0), asked
        assert [one for one in cluster.audit.writes(since=mark) if one.resource != "leases"] == []
    assert {key: version for key, version in clean_dr.resource_versions().items() if versions.get(key) != version} == {}
    assert [len(service.said()) for service in pair] == logs
    print("share of a core:", used)
    assert max(used) < IDLE, used
    assert [service.end() for service in pair] == [0, 0]


def test_what_is_dead_is_asked_ever_more_seldom_told_once_and_caught_up_with_when_it_is_back(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery, services: Services
) -> None:
    clean_source.apply([namespace("dr-syncer"), namespace("shop"), configmap("shop", "app", colour="red")])
    exporter, importer = both(services, clean_source, clean_dr, interval="1s")
    until(lambda: clean_dr.exists(APP), "the first import")
    told = Told(exporter, importer)

    # The remote: both go on, and nothing is lost.
    away = Path(f"{recovery.remote}.away")
    recovery.remote.rename(away)
    clean_source.apply([configmap("shop", "app", colour="blue")])
    until(lambda: told.of(exporter) and told.of(importer), "the remote's failure to be told")
    time.sleep(5.0)
    assert healths(exporter, importer) == WELL
    away.rename(recovery.remote)
    until(lambda: clean_dr.get(APP)["data"] == {"colour": "blue"}, "the change in DR", patience=60.0)
    until(lambda: "works again" in told.of(importer)[-1], "the remote's end to be told")
    assert len(told.of(importer)) <= 4, told.of(importer)
    assert len(told.of(exporter)) <= 4, told.of(exporter)

    # Both clusters: no restart of a service would bring them back.
    told = Told(exporter, importer)
    clean_dr.stop_api()
    head = recovery.head()
    clean_source.apply([configmap("shop", "app", colour="green")])
    until(lambda: recovery.head() != head, "the change in Git")
    clean_source.stop_api()
    until(lambda: told.of(exporter) and told.of(importer), "the clusters' failure to be told")
    time.sleep(DEAD / 2)
    failures = importer.metric(CLUSTER_FAILURES)
    time.sleep(DEAD / 2)
    late = importer.metric(CLUSTER_FAILURES) - failures
    assert healths(exporter, importer) == WELL
    print(f"{late:.0f} tries in the last {DEAD / 2:g} s; told: {told.of(exporter)} {told.of(importer)}")
    assert 1 <= late <= 5
    assert len(told.of(exporter)) <= 3, told.of(exporter)
    assert len(told.of(importer)) <= 3, told.of(importer)

    clean_dr.start_api()
    begun = time.monotonic()
    until(lambda: clean_dr.get(APP)["data"] == {"colour": "green"}, "the change in DR")
    recovered = time.monotonic() - begun
    clean_source.start_api()
    clean_source.apply([configmap("shop", "app", colour="white")])
    until(lambda: clean_dr.get(APP)["data"] == {"colour": "white"}, "the next change in DR")
    print(f"recovered after {recovered:.1f} s")
    assert recovered < BACK
    for service in (exporter, importer):
        until(lambda one=service: "works again" in told.of(one)[-1], "the end to be told")
        assert service.end() == 0


class Told:
    """The warnings and errors since it was made."""

    def __init__(self, *services: Service) -> None:
        self._before = {service.port: len(service.complaints()) for service in services}

    def of(self, service: Service) -> list[str]:
        return service.complaints()[self._before[service.port] :]


def healths(*services: Service) -> list[tuple[int, str]]:
    return [service.ask("/healthz") for service in services]
