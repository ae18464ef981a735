"""Health: a loop that really hangs is unhealthy and says which; a remote that hangs makes nobody unhealthy."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, configmap, namespace
from tests.integration.services import Service, Services, until
from tests.integration.written import write

STUCK_AFTER = 4.0  # seconds
SERVER = {"stuckAfter": "4s"}
WELL = (200, "ok\n")
APP = "/api/v1/namespaces/shop/configmaps/app"


@contextmanager
def hanging(link: Path) -> Iterator[None]:
    """Let whoever reads the file behind `link` hang, as on a network drive that is away, until the block ends."""
    file, pipe = link.readlink(), link.with_name("pipe")
    os.mkfifo(pipe)
    point(link, pipe)
    try:
        yield
    finally:
        point(link, file)
        with pipe.open("wb") as stream:  # whoever hangs gets what was to be read
            stream.write(file.read_bytes())


def point(link: Path, file: Path) -> None:
    fresh = link.with_name("fresh")
    fresh.symlink_to(file)
    fresh.replace(link)


def linked(link: Path, content: bytes) -> Path:
    """Put `content` behind a link, as Kubernetes mounts files."""
    file = link.with_name(f"{link.name}.real")
    file.write_bytes(content)
    point(link, file)
    return link


def stuck(service: Service, loop: str) -> None:
    """See that the service says that `loop` is stuck."""
    until(lambda: service.ask("/healthz")[0] == 503, f"the stuck loop to be told: {loop}")
    assert service.ask("/healthz")[1].startswith(f"{loop} has not turned for ")
    assert len(service.ask("/healthz")[1].splitlines()) == 1


def test_a_loop_that_hangs_is_told_by_name_and_is_well_again_when_it_goes_on(
    clean_dr: ControlPlane, recovery: Recovery, services: Services
) -> None:
    write(recovery, namespace("shop"), configmap("shop", "app", colour="red"))
    token = linked(recovery.folder / "token", b"token-admin")
    kubeconfig = json.loads(clean_dr.kubeconfig_for("admin").read_text())
    kubeconfig["users"][0]["user"] = {"tokenFile": str(token)}
    file = recovery.folder / "kubeconfig"
    file.write_text(json.dumps(kubeconfig))
    service = services.start(
        "importer", clean_dr, kubeconfig=str(file), interval="1s", server={**SERVER, "events": False}
    )
    until(lambda: clean_dr.exists(APP), "the first import")
    assert service.ask("/healthz") == WELL

    with hanging(token):  # which each import reads anew
        write(recovery, configmap("shop", "app", colour="blue"))
        stuck(service, "import")
    until(lambda: service.ask("/healthz") == WELL, "it to be well again")
    until(lambda: clean_dr.get(APP)["data"] == {"colour": "blue"}, "the import that hung")

    linked(service.config, service.config.read_bytes())
    with hanging(service.config):
        service.process.send_signal(signal.SIGHUP)
        stuck(service, "service")
    until(lambda: service.ask("/healthz") == WELL, "it to be well again")
    assert service.end() == 0


def test_a_remote_that_hangs_makes_nobody_unhealthy(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery, services: Services
) -> None:
    clean_source.apply([namespace("shop"), configmap("shop", "app", colour="red")])
    exporter = services.start("exporter", clean_source, server=SERVER, quietPeriod="300ms", maxDelay="1s")
    until(recovery.head, "the first export")
    until(lambda: exporter.metric("dr_syncer_heartbeat_timestamp_seconds"), "the first push to be over")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        recovery.repository |= {"url": f"https://127.0.0.1:{silent.getsockname()[1]}/recovery.git"}
        importer = services.start("importer", clean_dr, server=SERVER, interval="1s")
        hook = recovery.remote / "hooks" / "pre-receive"
        hook.write_text("#!/bin/sh\nexec sleep 60\n")
        hook.chmod(0o755)
        clean_source.apply([configmap("shop", "app", colour="blue")])
        until(lambda: importer.ask("/readyz") == (200, "working\n"), "the importer to work")

        begun = time.monotonic()
        while time.monotonic() - begun < 2 * STUCK_AFTER:
            assert exporter.ask("/healthz") == WELL
            assert importer.ask("/healthz") == WELL
            time.sleep(0.2)
    assert [service.end() for service in services.started] == [0, 0]
