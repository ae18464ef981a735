"""Two imports of one importer at the same time: each notices the other, and nothing is lost or believed wrongly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from drsyncer.cluster import connect
from drsyncer.errors import DrSyncerError, ExitCode, Refused
from drsyncer.manifest import ObjectRef
from importer.memory import Memory
from importer.outcome import OVERLAPPED, Outcome
from importer.plan import Action
from importer.records import Record
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import FaultProxy
from tests.integration.recovery import Recovery, actions, configmap, deployment, namespace, problems
from tests.integration.written import PARENT, write

MakeProxy = Callable[[ControlPlane], FaultProxy]
KINDS = "applyset.kubernetes.io/contains-group-kinds"
APP = "/api/v1/namespaces/shop/configmaps/app"
FILLING = [configmap("shop", f"n{number}") for number in range(6)]


@contextmanager
def import_in_the_middle_of(
    method: str, path: str, *, recovery: Recovery, dr: ControlPlane, proxy: FaultProxy
) -> Iterator[list[Outcome | DrSyncerError]]:
    """Run the block while an import waits for the answer to one request; then give what became of that import."""
    second = Recovery(remote=recovery.remote, folder=recovery.folder / "other-machine")
    second.folder.mkdir(exist_ok=True)
    waiting = proxy.delay(8.0, method=method, path=path, times=1)
    found: list[Outcome | DrSyncerError] = []

    def run() -> None:
        try:
            found.append(second.import_into(dr, kubeconfig=proxy.kubeconfig))
        except DrSyncerError as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        dr.wait_for(lambda: waiting.hits, what="the import to be in the middle")
        yield found
    finally:
        thread.join()


def test_imports_that_overlap_say_so_and_the_next_one_makes_sure(
    clean_dr: ControlPlane, recovery: Recovery, fault_proxy: MakeProxy
) -> None:
    write(recovery, namespace("shop"), *FILLING, configmap("shop", "app", version="a"), deployment("shop", "web"))
    slow = import_in_the_middle_of(
        "PATCH", "/configmaps/app", recovery=recovery, dr=clean_dr, proxy=fault_proxy(clean_dr)
    )
    with slow as older:
        write(recovery, configmap("shop", "app", version="b"), gone=[deployment("shop", "web")])
        newer = recovery.import_into(clean_dr)
    assert newer.exit_code is ExitCode.DONE
    (outcome,) = older
    assert isinstance(outcome, Outcome)
    assert outcome.exit_code is ExitCode.PARTIAL
    assert OVERLAPPED in outcome.warnings
    # The older one wrote last, and made an object of a type that the newer one knows nothing of.
    assert clean_dr.get(APP)["data"] == {"version": "a"}
    assert clean_dr.exists("/apis/apps/v1/namespaces/shop/deployments/web")
    assert "Deployment.apps" in clean_dr.get(PARENT)["metadata"]["annotations"][KINDS]

    after = recovery.import_into(clean_dr)

    assert actions(after) == {"shop/configmaps/app": Action.UPDATE, "shop/deployments.apps/web": Action.PRUNE}
    assert clean_dr.get(APP)["data"] == {"version": "b"}
    clean_dr.audit.mark()
    assert actions(recovery.import_into(clean_dr)) == {}
    assert clean_dr.audit.writes() == []


@pytest.mark.parametrize(
    ("before", "method", "path"),
    [
        (True, "GET", "/apis"),
        (False, "GET", "/apis"),
        # Between the last look at the inventory and the write itself.
        (True, "PATCH", "/configmaps/dr-syncer-prod[?]"),
        (False, "POST", "/namespaces/dr-syncer/configmaps"),
    ],
)
def test_an_import_whose_plan_was_overtaken_changes_nothing(
    before: bool, method: str, path: str, clean_dr: ControlPlane, recovery: Recovery, fault_proxy: MakeProxy
) -> None:
    write(recovery, namespace("shop"), *FILLING, configmap("shop", "app", version="a"))
    if before:
        recovery.import_into(clean_dr)
        write(recovery, configmap("shop", "app", version="b"))
    slow = import_in_the_middle_of(method, path, recovery=recovery, dr=clean_dr, proxy=fault_proxy(clean_dr))
    with slow as older:
        write(recovery, configmap("shop", "app", version="c"))
        recovery.import_into(clean_dr)
        there = clean_dr.settle()

    (refused,) = older
    assert isinstance(refused, Refused)
    assert "another one is at work" in str(refused)
    assert "Run it again" in refused.hint
    assert clean_dr.settle() == there
    assert clean_dr.get(APP)["data"] == {"version": "c"}
    assert actions(recovery.import_into(clean_dr)) == {}


def test_an_import_that_was_overtaken_prunes_nothing(
    clean_dr: ControlPlane, recovery: Recovery, fault_proxy: MakeProxy
) -> None:
    write(recovery, namespace("shop"), *FILLING, configmap("shop", "app", version="a"), configmap("shop", "back"))
    recovery.import_into(clean_dr)
    write(recovery, configmap("shop", "app", version="b"), gone=[configmap("shop", "back")])
    slow = import_in_the_middle_of(
        "PATCH", "/configmaps/app", recovery=recovery, dr=clean_dr, proxy=fault_proxy(clean_dr)
    )
    with slow as older:
        write(recovery, configmap("shop", "back", version="again"))
        recovery.import_into(clean_dr)

    (outcome,) = older
    assert isinstance(outcome, Outcome)
    assert problems(outcome) == {
        "shop/configmaps/back": "not deleted: another import of this importer has begun meanwhile"
    }
    assert clean_dr.get("/api/v1/namespaces/shop/configmaps/back")["data"] == {"version": "again"}


def test_an_activation_during_an_import_stays(
    clean_dr: ControlPlane, recovery: Recovery, fault_proxy: MakeProxy
) -> None:
    write(recovery, namespace("shop"), *FILLING, configmap("shop", "app", version="a"))
    recovery.import_into(clean_dr)
    write(recovery, configmap("shop", "app", version="b"))
    slow = import_in_the_middle_of(
        "PATCH", "/configmaps/app", recovery=recovery, dr=clean_dr, proxy=fault_proxy(clean_dr)
    )
    with slow as older:
        clean_dr.patch(PARENT, {"data": {"state": "active"}})

    (outcome,) = older
    assert isinstance(outcome, Outcome)
    assert OVERLAPPED in outcome.warnings
    assert clean_dr.get(PARENT)["data"]["state"] == "active"


def test_an_import_that_changed_nothing_leaves_the_records_to_the_one_at_work(clean_dr: ControlPlane) -> None:
    cluster = connect(kubeconfig=str(clean_dr.kubeconfig))
    idle, busy, later = (Memory(cluster, namespace="dr-syncer", importer="prod") for _ in range(3))
    inventory, _ = idle.load()
    record = Record("source", ObjectRef("configmaps", "shop", "app"), "desired", "entry")
    busy.load()
    claimed = busy.claim(inventory, writes=True)
    assert busy.settle(claimed, {"a.yaml": record})

    assert idle.settle(inventory, {"b.yaml": record})

    assert later.load() == (claimed, {"a.yaml": record})
    # But what one is to write of the parent itself is refused, with or without writes.
    with pytest.raises(Refused):
        idle.claim(replace(inventory, head="1234"), writes=False)
    cluster.close()


@pytest.mark.parametrize(("method", "again"), [("POST", False), ("PATCH", True)], ids=["first", "later"])
def test_an_answer_that_is_lost_is_no_other_import(
    method: str, again: bool, clean_dr: ControlPlane, recovery: Recovery, fault_proxy: MakeProxy
) -> None:
    write(recovery, namespace("shop"), configmap("shop", "app", version="a"))
    if again:
        recovery.import_into(clean_dr)
        write(recovery, configmap("shop", "app", version="b"))
    proxy = fault_proxy(clean_dr)
    lost = proxy.cut(after=0, method=method, path="/namespaces/dr-syncer/configmaps", times=1)

    outcome = recovery.import_into(clean_dr, kubeconfig=proxy.kubeconfig)

    assert lost.hits == 1
    assert (outcome.exit_code, OVERLAPPED in outcome.warnings) == (ExitCode.DONE, False)
    clean_dr.audit.mark()
    assert actions(recovery.import_into(clean_dr)) == {}
    assert clean_dr.audit.writes() == []
