"""Certificates and tokens are changed in the year that a service runs: it takes up the new ones by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.cluster.certificates import Authority
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.flags import token_of
from tests.integration.recovery import Recovery, configmap, namespace
from tests.integration.services import Services, until

APP = "/api/v1/namespaces/shop/configmaps/app"


def test_a_new_authority_and_a_new_token_are_taken_up_without_a_restart(
    clean_source: ControlPlane,
    clean_dr: ControlPlane,
    recovery: Recovery,
    services: Services,
    fault_proxy: Callable[[ControlPlane], FaultProxy],
    tmp_path: Path,
) -> None:
    clean_source.apply([namespace("dr-syncer"), namespace("shop"), configmap("shop", "app", colour="red")])
    clean_dr.apply([namespace("dr-syncer")])
    before, after = token_of("admin"), token_of("replica-0")
    proxies = {"exporter": fault_proxy(clean_source), "importer": fault_proxy(clean_dr)}
    manner = {
        "exporter": {"quietPeriod": "500ms", "maxDelay": "2s"},
        "importer": {"interval": "1s", "drift": {"interval": "2s"}},
    }
    sides = {"exporter": clean_source, "importer": clean_dr}
    running = {
        side: services.start(
            side,
            sides[side],
            server={"leaderElection": True},
            kubeconfig=str(proxy.kubeconfig),
            **manner[side],
        )
        for side, proxy in proxies.items()
    }
    until(lambda: clean_dr.exists(APP), "the first import")

    for side, proxy in proxies.items():
        authority = Authority(tmp_path / side, name=f"the next of the {side}'s cluster")
        proxy.change_authority(authority)
        until(lambda log=running[side].log: "CERTIFICATE_VERIFY_FAILED" in log.read_text(), f"the {side}'s refusal")
        until(lambda service=running[side]: service.metric("dr_syncer_leader") == 0, f"the {side} to stop leading")
        proxy.clear()
        renewed = proxy.kubeconfig.read_text().replace(before, after)
        proxy.kubeconfig.write_text(renewed.replace(str(sides[side].authority.file), str(authority.file)))
    clean_source.apply([configmap("shop", "app", colour="blue")])

    until(lambda: clean_dr.get(APP)["data"] == {"colour": "blue"}, "the change to be in DR", patience=90.0)
    for side, proxy in proxies.items():
        assert {seen.headers.get("authorization") for seen in proxy.requests} == {f"Bearer {after}"}, side
        assert running[side].metric("dr_syncer_leader") == 1
        assert "Traceback" not in running[side].log.read_text()
        assert running[side].end() == 0
