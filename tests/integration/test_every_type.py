"""Every built-in type that people write, from one cluster into another: rich objects, compared field by field."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from drsyncer.errors import ExitCode
from drsyncer.manifest import ObjectRef
from drsyncer.recovery import layout
from tests.capture.types import EVERY_TYPE
from tests.cluster.api import Kind
from tests.cluster.control_plane import ControlPlane
from tests.cluster.git_servers import bare_repository
from tests.integration.comparison import compared, travelling
from tests.integration.recovery import Recovery, actions, problems
from tests.integration.rich import alpha_objects, objects
from transforms.select_checks import BUILT_IN as CHECKS

AS_IT_IS: dict[str, Any] = {"standby": {"enabled": False}, "select": {"disable": ["infrastructure"]}}
# What no person makes, or what must not travel; written down here again, apart from the product's own table.
NOT_WRITTEN = {
    *("events", "events.events.k8s.io", "nodes", "componentstatuses", "controllerrevisions.apps"),
    *("leases.coordination.k8s.io", "leasecandidates.coordination.k8s.io", "ipaddresses.networking.k8s.io"),
    *("csinodes.storage.k8s.io", "csistoragecapacities.storage.k8s.io", "volumeattachments.storage.k8s.io"),
    *("certificatesigningrequests.certificates.k8s.io", "podcertificaterequests.certificates.k8s.io"),
    *("resourceslices.resource.k8s.io", "resourcepoolstatusrequests.resource.k8s.io"),
    *("storageversions.internal.apiserver.k8s.io", "storageversionmigrations.storagemigration.k8s.io"),
}
# Each cluster signs its own tokens; all else arrives as it was.
TOKEN = "rich/secrets/token"
TOKEN_PARTS = {("data", "ca.crt"), ("data", "token"), ("metadata", "annotations", "kubernetes.io/service-account.uid")}


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[ControlPlane, ControlPlane]]:
    """Two clusters whose API servers serve every type that they can; the source has the rich objects."""
    with ExitStack() as stack:
        planes = [ControlPlane(name, api_flags=EVERY_TYPE) for name in ("every-source", "every-dr")]
        for plane in planes:
            stack.callback(plane.stop)
        with ThreadPoolExecutor(2) as pool:
            source, dr = pool.map(lambda plane: plane.start(), planes)
        certificate = source.authority.file.read_bytes()
        source.apply([*objects(certificate), *alpha_objects(certificate)])
        source.settle()
        yield source, dr


def test_the_rich_objects_are_of_every_type_that_can_exist_by_hand(pair: tuple[ControlPlane, ControlPlane]) -> None:
    source, _ = pair
    certificate = source.authority.file.read_bytes()
    written = {source.api.kind_of(found).type for found in (*objects(certificate), *alpha_objects(certificate))}
    served = {kind.type for kind in source.api.preferred() if _is_stored(kind)}
    assert served - NOT_WRITTEN == written


def _is_stored(kind: Kind) -> bool:
    return {"create", "list"} <= kind.verbs or kind.type == "componentstatuses"


def written(source: ControlPlane) -> set[str]:
    """The files of all rich objects."""
    found = set()
    certificate = source.authority.file.read_bytes()
    for manifest in (*objects(certificate), *alpha_objects(certificate)):
        kind, meta = source.api.kind_of(manifest), manifest["metadata"]
        found.add(layout.path_of(ObjectRef(kind.type, meta.get("namespace", ""), meta["name"])))
    return found


def test_every_object_arrives_equal_field_by_field_and_stays_so(
    pair: tuple[ControlPlane, ControlPlane], recovery: Recovery, tmp_path: Path
) -> None:
    source, dr = pair
    exported = recovery.export(source)
    assert set(exported.incomplete) == {"nobody.example.com/v1"}  # an aggregated API without a server
    # In Git is what people wrote and nothing that the cluster made for itself.
    assert set(recovery.paths()) == written(source) | {"cluster/namespaces/default.yaml", "dr-syncer.yaml"}

    imported = recovery.import_into(dr, config=AS_IT_IS)
    dr.settle()

    assert problems(imported) == {}
    found = compared(travelling(source), travelling(dr))
    assert found.pop(TOKEN).keys() == TOKEN_PARTS
    assert found == {}

    # Exported again from DR, every file is the same, byte for byte: nothing that was cleaned comes back.
    back = Recovery(remote=bare_repository(tmp_path / "back.git"), folder=tmp_path / "back")
    back.export(dr)
    there = set(back.paths())
    for path in recovery.paths():
        if layout.place_of(path) is not None:
            assert path in there, path
            assert back.file(path) == recovery.file(path), path

    # Once more, nothing changes on either side.
    dr.audit.mark()
    assert recovery.export(source).commit == ""
    again = recovery.import_into(dr, config=AS_IT_IS)
    assert (actions(again), dr.audit.writes(user="admin")) == ({}, [])
    assert again.exit_code is ExitCode.DONE


def test_the_checks_and_the_list_of_what_nobody_writes_agree() -> None:
    whole = {
        word
        for check in CHECKS
        if check.when is None
        for rule in check.matches
        if rule.by_type_only
        for word in rule.types
        if "*" not in word
    }
    assert whole == NOT_WRITTEN
