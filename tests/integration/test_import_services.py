"""Services in DR: headless ones stay headless, and a node port that somebody holds is no riddle."""

from __future__ import annotations

from drsyncer.errors import ExitCode
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, actions, configmap, namespace, problems
from tests.integration.written import result_of, service, write

FRONT = "/api/v1/namespaces/shop/services/front"
PORT = 30123


def on_node_port(where: str, name: str) -> dict[str, object]:
    port = {"name": "http", "port": 80, "protocol": "TCP", "nodePort": PORT}
    return service(where, name, type="NodePort", ports=[port])


def test_a_headless_service_stays_headless(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, namespace("shop"), service("shop", "db", clusterIP="None"), service("shop", "web"))

    assert problems(recovery.import_into(clean_dr)) == {}
    write(recovery, service("shop", "db", clusterIP="None", publishNotReadyAddresses=True))
    assert actions(recovery.import_into(clean_dr)) == {"shop/services/db": Action.UPDATE}

    assert clean_dr.get("/api/v1/namespaces/shop/services/db")["spec"]["clusterIP"] == "None"
    assert clean_dr.get("/api/v1/namespaces/shop/services/web")["spec"]["clusterIP"].startswith("127.")


def test_a_service_that_is_no_longer_headless_is_not_left_headless_in_silence(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    path = "/api/v1/namespaces/shop/services/db"
    write(recovery, namespace("shop"), service("shop", "db", clusterIP="None"))
    recovery.import_into(clean_dr)
    write(recovery, service("shop", "db"))

    outcome = recovery.import_into(clean_dr)

    assert "clusterIP" in problems(outcome)["shop/services/db"]
    recreated = recovery.import_into(clean_dr, config={"immutable": "recreate"})
    assert actions(recreated) == {"shop/services/db": Action.RECREATE}
    assert clean_dr.get(path)["spec"]["clusterIP"] != "None"


def test_a_taken_node_port_is_reported_with_its_holder_or_left_to_dr(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    clean_dr.apply([namespace("theirs"), on_node_port("theirs", "gateway")])
    write(recovery, namespace("shop"), on_node_port("shop", "front"), configmap("shop", "app", a="b"))

    reported = recovery.import_into(clean_dr)

    assert reported.exit_code is ExitCode.PARTIAL
    assert f"node port {PORT} is held by Service theirs/gateway" in problems(reported)["shop/services/front"]
    assert actions(reported)["shop/configmaps/app"] is Action.CREATE
    assert not clean_dr.exists(FRONT)

    dropped = recovery.import_into(clean_dr, config={"nodePorts": "drop"})

    assert actions(dropped) == {"shop/services/front": Action.CREATE}
    assert dropped.exit_code is ExitCode.DONE
    notes = result_of(dropped, "shop/services/front").notes
    assert notes == (f"node port left to DR: node port {PORT} is held by Service theirs/gateway",)
    given = clean_dr.get(FRONT)["spec"]["ports"][0]["nodePort"]
    assert given not in (0, PORT)

    write(
        recovery,
        {**on_node_port("shop", "front"), "metadata": {"name": "front", "namespace": "shop", "labels": {"a": "b"}}},
    )
    assert actions(recovery.import_into(clean_dr, config={"nodePorts": "drop"})) == {
        "shop/services/front": Action.UPDATE
    }
    assert clean_dr.get(FRONT)["spec"]["ports"][0]["nodePort"] == given
    assert clean_dr.get("/api/v1/namespaces/theirs/services/gateway")["spec"]["ports"][0]["nodePort"] == PORT
