"""The services as pods run them: they work, tell how they are, follow their file, and end when they are told to."""

from __future__ import annotations

import hmac
import json
import signal
import socket
import time

from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, configmap, namespace
from tests.integration.services import Services, until
from tests.integration.written import write

LEASE = "/apis/coordination.k8s.io/v1/namespaces/dr-syncer/leases/dr-syncer-exporter-prod"
FAST = {"quietPeriod": "500ms", "maxDelay": "2s"}


def test_an_exporter_brings_changes_to_git_and_tells_how_it_is(
    clean_source: ControlPlane, recovery: Recovery, services: Services
) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app", colour="red")])
    service = services.start("exporter", clean_source, **FAST)
    until(lambda: service.ask("/readyz") == (200, "working\n"), "the service to be ready")
    until(recovery.head, "the first export")
    before = recovery.head()
    until(lambda: service.metric('dr_syncer_watches{state="connected"}') > 10, "the watches")

    clean_source.apply([configmap("shop", "app", colour="blue")])
    until(lambda: recovery.head() != before, "the change to be pushed")

    assert "colour: blue" in recovery.file("namespaces/shop/configmaps/app.yaml")
    until(lambda: service.metric("dr_syncer_commits_total") == 2, "both commits to be counted")
    assert service.metric('dr_syncer_changes_total{verb="updated"}') == 1
    assert service.metric("dr_syncer_last_success_timestamp_seconds") > time.time() - 60
    assert service.metric("dr_syncer_leader") == 1
    assert service.metric('dr_syncer_api_requests_total{code="200",verb="GET"}') > 20
    assert service.ask("/healthz") == (200, "ok\n")
    begun = time.monotonic()
    assert service.end() == 0
    assert time.monotonic() - begun < 10


def test_a_changed_file_takes_effect_and_a_faulty_one_does_not(
    clean_source: ControlPlane, recovery: Recovery, services: Services
) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app", colour="red")])
    service = services.start("exporter", clean_source, mode="manual")
    until(lambda: service.ask("/readyz")[0] == 200, "the service to be ready")
    time.sleep(1.0)
    assert recovery.head() == ""  # nobody asked for an export

    service.process.send_signal(signal.SIGUSR1)
    until(recovery.head, "the export that was asked for")

    good = service.config.read_bytes()
    service.config.write_bytes(good.replace(b"mode: manual", b"mode: sometimes"))
    until(lambda: "stays in force" in service.log.read_text(), "the fault to be told")
    assert "exporter.mode" in service.log.read_text()

    service.config.write_bytes(good.replace(b"mode: manual", b"mode: continuous\n  quietPeriod: 500ms"))
    until(lambda: service.metric('dr_syncer_watches{state="connected"}') > 10, "the continuous mode")
    before = recovery.head()
    clean_source.apply([configmap("shop", "app", colour="blue")])
    until(lambda: recovery.head() != before, "the change to be pushed")
    assert service.end(signal.SIGINT) == 0


def test_of_two_exporters_one_works_and_the_other_takes_over_when_it_is_killed(
    clean_source: ControlPlane, recovery: Recovery, services: Services
) -> None:
    clean_source.apply([namespace("dr-syncer"), namespace("shop"), configmap("shop", "app", colour="red")])
    elected = {"leaderElection": True}
    first = services.start("exporter", clean_source, server=elected, **FAST)
    until(lambda: first.ask("/readyz") == (200, "working\n"), "the first to work")
    second = services.start("exporter", clean_source, server=elected, **FAST)
    until(lambda: second.ask("/readyz") == (200, "standing by\n"), "the second to stand by")
    until(recovery.head, "the first export")
    assert second.metric("dr_syncer_leader") == 0

    first.process.kill()
    clean_source.apply([configmap("shop", "app", colour="blue")])
    begun = time.monotonic()
    until(lambda: second.ask("/readyz") == (200, "working\n"), "the second to take over")
    assert time.monotonic() - begun < 20
    until(lambda: "colour: blue" in recovery.file("namespaces/shop/configmaps/app.yaml"), "what was missed")

    third = services.start("exporter", clean_source, server=elected, **FAST)
    until(lambda: third.ask("/readyz") == (200, "standing by\n"), "the third to stand by")
    assert second.end() == 0
    begun = time.monotonic()
    until(lambda: third.ask("/readyz") == (200, "working\n"), "the third to work")
    assert time.monotonic() - begun < 8  # a lead that was given back is free at once
    assert json.dumps(clean_source.get(LEASE)["spec"]["holderIdentity"]) != '""'


def test_what_happens_in_the_source_happens_in_dr_with_both_services_at_work(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery, services: Services
) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app", colour="red"), configmap("shop", "old")])
    services.start("exporter", clean_source, **FAST)
    until(recovery.head, "the first export")
    importer = services.start("importer", clean_dr, interval="1s")
    path = "/api/v1/namespaces/shop/configmaps/{}".format
    until(lambda: clean_dr.exists(path("old")), "the first import")

    clean_source.apply([configmap("shop", "app", colour="blue"), configmap("shop", "new")])
    clean_source.delete(path("old"))

    until(lambda: clean_dr.exists(path("new")) and not clean_dr.exists(path("old")), "the changes to be in DR")
    until(lambda: clean_dr.get(path("app"))["data"] == {"colour": "blue"}, "the change of a value to be in DR")
    until(lambda: importer.metric('dr_syncer_writes_total{action="prune"}') == 1, "the run to be counted")
    assert importer.metric("dr_syncer_recovery_point_timestamp_seconds") > time.time() - 120
    assert importer.ask("/healthz") == (200, "ok\n")
    assert [service.end() for service in services.started] == [0, 0]


def test_a_signed_call_of_the_git_server_brings_a_commit_to_dr_at_once(
    clean_dr: ControlPlane, recovery: Recovery, services: Services
) -> None:
    write(recovery, namespace("shop"), configmap("shop", "app", colour="red"))
    secret = recovery.folder / "secret"
    secret.write_text("0123456789abcdef\n")
    hook = {"webhook": {"secretFile": str(secret)}}
    service = services.start("importer", clean_dr, server=hook, interval="1h")
    path = "/api/v1/namespaces/shop/configmaps/app"
    until(lambda: clean_dr.exists(path), "the first import")

    write(recovery, configmap("shop", "app", colour="blue"))
    body = b'{"ref": "refs/heads/main"}'
    forged = hmac.new(b"fedcba9876543210", body, "sha256").hexdigest()
    assert service.call(body, {"X-Hub-Signature-256": f"sha256={forged}"}) == 403
    assert service.call(body, {}) == 401
    time.sleep(1.0)
    assert clean_dr.get(path)["data"] == {"colour": "red"}

    genuine = hmac.new(b"0123456789abcdef", body, "sha256").hexdigest()
    assert service.call(body, {"X-Hub-Signature-256": f"sha256={genuine}"}) == 202
    until(lambda: clean_dr.get(path)["data"] == {"colour": "blue"}, "the commit to be in DR")
    assert service.metric('dr_syncer_webhook_calls_total{verdict="wrong"}') == 1
    assert service.end() == 0


def test_a_port_that_is_taken_or_a_missing_section_is_an_error_at_the_start(
    clean_source: ControlPlane, services: Services
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = services.start("exporter", clean_source, server={"port": server.getsockname()[1]})
        assert taken.process.wait(timeout=30) == 2
        assert "nothing can listen at 127.0.0.1" in taken.log.read_text()
