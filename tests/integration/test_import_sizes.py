"""Large objects, long names, odd text, and very many objects of one type."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable

from drsyncer.errors import ExitCode
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, actions, configmap, namespace
from tests.integration.written import path_of, write

LONG = ".".join(["n" * 63] * 3 + ["m" * 61])  # 253 bytes, the longest name of a ConfigMap
# Twenty pages of a LIST and several shards of records; a machine in a hurry may take fewer.
MANY = int(os.environ.get("DR_SYNCER_TEST_OBJECTS", "10000"))
PAGE = 500
ODD = {
    "emoji.txt": "Grüße, 世界 👩‍🚀\u200b\u2028end\n",
    "windows.ini": "[a]\r\nb=c\r\n",
    "tabs": "\ta\t\n\n  trailing  \n\n",
    "template": "{{ .Values.x }} {% raw %}",
    "no-newline": "last line",
    "control": "\x07bell\x7f\u0085\ufeff",
    "yes": "yes",
    "empty": "",
}


def test_large_long_and_odd_objects_arrive_as_they_left(clean_dr: ControlPlane, recovery: Recovery) -> None:
    assert len(LONG) == 253
    large = "".join(f"{number:08d} line of a large file\n" for number in range(900_000 // 29 + 1))
    binary = configmap("shop", "binary") | {"binaryData": {"all": base64.b64encode(bytes(range(256))).decode()}}
    del binary["data"]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "shop:readers of ~things:größe"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }
    sent = [
        configmap("shop", "large", file=large),
        configmap("shop", LONG, a="b"),
        configmap("shop", "odd", **ODD),
        binary,
        role,
    ]
    write(recovery, namespace("shop"), *sent)

    outcome = recovery.import_into(clean_dr)

    assert outcome.exit_code is ExitCode.DONE
    assert set(actions(outcome).values()) == {Action.CREATE}
    assert len(large) > 900_000
    for manifest in sent:
        there = clean_dr.get(clean_dr.api.path_of(manifest))
        for part in ("data", "binaryData", "rules"):
            assert there.get(part) == manifest.get(part), path_of(manifest)
    assert actions(recovery.import_into(clean_dr)) == {}
    write(recovery, gone=sent[1:2])
    assert actions(recovery.import_into(clean_dr)) == {f"shop/configmaps/{LONG}": Action.PRUNE}


def _name(number: int) -> str:
    return f"application-{number:0100d}"


def test_thousands_of_objects_of_one_type_cost_one_list_when_nothing_changed(
    fresh_cluster: Callable[..., ControlPlane], recovery: Recovery
) -> None:
    # A cluster of its own: to end it is faster than to empty it.
    dr = fresh_cluster("dr", controllers=False)
    many = [configmap(f"shop-{number % 4}", _name(number), number=str(number)) for number in range(MANY)]
    write(recovery, *(namespace(f"shop-{number}") for number in range(4)), *many)

    first = recovery.import_into(dr)

    assert first.summary == {"create": MANY + 4}
    assert first.exit_code is ExitCode.DONE
    last = MANY - 1
    assert dr.get(f"/api/v1/namespaces/shop-{last % 4}/configmaps/{_name(last)}")["data"] == {"number": str(last)}
    dr.audit.mark()

    second = recovery.import_into(dr)

    assert second.summary == {"unchanged": MANY + 4}
    assert dr.audit.writes() == []
    asked = [event for event in dr.audit.requests() if event.type == "configmaps" and event.namespace != "dr-syncer"]
    assert {event.verb for event in asked} == {"list"}
    assert len(asked) in (MANY // PAGE, MANY // PAGE + 1)
    assert len(dr.list("/api/v1/namespaces/dr-syncer/configmaps?labelSelector=dr-syncer.io/records-of=prod")) > 1
