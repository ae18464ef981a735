"""Real manifests, from a folder of your own: `pytest tests/integration/test_corpus.py --corpus FOLDER`.

The folder holds folders of YAML files whose names begin with the order to apply them in: 00 namespaces, 10 CRDs, 20
built-in kinds, 60 custom resources, 85 what has a generateName, 90 webhooks, APIServices and admission policies. They
are applied to the source, exported, and imported into an empty DR cluster without standby; then every object of the
recovery point is compared with its original, field by field.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drsyncer.errors import ExitCode
from drsyncer.manifest import ObjectRef
from drsyncer.recovery import layout
from tests.cluster.control_plane import ControlPlane
from tests.integration.comparison import differences
from tests.integration.recovery import Recovery, actions, changed

ORDER = ("00", "10", "20", "60", "85", "90")

# What each API server gives an object by itself, and what its controllers write into it.
SERVER_METADATA = (
    *("uid", "resourceVersion", "generation", "managedFields", "creationTimestamp", "selfLink"),
    *("ownerReferences", "finalizers", "generateName"),
)
SERVER_ANNOTATIONS = (
    *("kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision"),
    *("deprecated.daemonset.template.generation", "pv.kubernetes.io/bound-by-controller"),
)
DEFAULT = ObjectRef("namespaces", "", "default")  # every cluster has it from the start
OURS = ("applyset.kubernetes.io/part-of",)
SERVER_FIELDS = (
    ("services", "/spec/clusterIP"),
    ("services", "/spec/clusterIPs/*"),
    ("services", "/spec/ports/*/nodePort"),
    ("services", "/spec/healthCheckNodePort"),
    ("services", "/spec/loadBalancerIP"),  # stays behind: an address of the source's site
    ("persistentvolumes", "/spec/claimRef/uid"),
    ("persistentvolumes", "/spec/claimRef/resourceVersion"),
    # Each cluster's admission gives the token volume a name of its own.
    ("pods", "/spec/volumes/*/name"),
    ("pods", "/spec/containers/*/volumeMounts/*/name"),
    ("pods", "/spec/initContainers/*/volumeMounts/*/name"),
    ("jobs.batch", "/spec/suspend"),  # a Job never runs twice
)


@pytest.fixture
def corpus(request: pytest.FixtureRequest) -> Path:
    given = request.config.getoption("--corpus")
    if not given:
        pytest.skip("no --corpus FOLDER given")
    return Path(given)


def test_every_object_arrives_equal_and_a_second_run_writes_nothing(
    corpus: Path, clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    load(clean_source, corpus)
    importing = {"standby": {"enabled": False}, "select": {"disable": ["infrastructure"]}}

    exported = recovery.export(clean_source)
    imported = recovery.import_into(clean_dr, config=importing)

    assert exported.exit_code is ExitCode.DONE, exported.incomplete
    assert imported.exit_code is ExitCode.DONE, [result for result in imported.results if result.error]
    different = dict(unlike(clean_source, clean_dr, recovery))
    assert different == {}

    before = clean_dr.settle()
    clean_dr.audit.mark()
    again = recovery.export(clean_source)
    unchanged = recovery.import_into(clean_dr, config=importing)

    assert (list(changed(again)), again.commit) == ([], "")
    assert actions(unchanged) == {}
    assert clean_dr.audit.writes() == []
    moved = {key for key, _ in set(before.items()) ^ set(clean_dr.resource_versions().items())}
    # The autoscaler's own controller looks every 15 s and notes what it sees in the status.
    assert {key for key in moved if "/horizontalpodautoscalers.autoscaling/" not in key} == set()


def load(source: ControlPlane, corpus: Path) -> None:
    """Apply the corpus in the order of its numbers, across its folders."""
    for number in ORDER:
        files = [str(file) for file in sorted(corpus.glob(f"*/{number}-*.yaml"))]
        if not files:
            continue
        listed = [argument for file in files for argument in ("-f", file)]
        if number == "85":
            source.kubectl("create", "--validate=warn", *listed)
        else:
            source.kubectl("apply", "--server-side", "--force-conflicts", "--validate=warn", *listed)
        if number == "10":
            source.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    source.settle(timeout=120.0)  # StatefulSets make their claims, and those travel


def unlike(source: ControlPlane, dr: ControlPlane, recovery: Recovery) -> Iterator[tuple[str, list[str]]]:
    """Yield each object of the recovery point that differs in DR, with the places."""
    here, there = source.objects(), dr.objects()
    for path in recovery.paths():
        place = layout.place_of(path)
        if place is None or place.ref is None or place.ref == DEFAULT:
            continue
        name = str(place.ref)
        if name not in here or name not in there:
            yield name, ["is missing"]
            continue
        found = list(not_assigned(place.type, plain(here[name]), plain(there[name])))
        if found:
            yield name, found


def plain(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return an object without what every API server adds."""
    meta = {key: value for key, value in manifest["metadata"].items() if key not in SERVER_METADATA}
    for part, dropped in (("annotations", SERVER_ANNOTATIONS), ("labels", OURS)):
        kept = {key: value for key, value in (meta.pop(part, None) or {}).items() if key not in dropped}
        meta |= {part: kept} if kept else {}
    return {key: value for key, value in manifest.items() if key != "status"} | {"metadata": meta}


def not_assigned(type_: str, here: dict[str, Any], there: dict[str, Any]) -> Iterator[str]:
    """Yield the places where two objects differ and may not."""
    for path, (one, other) in differences(here, there):
        pattern = "".join("/*" if isinstance(step, int) else f"/{step}" for step in path)
        if (type_, pattern) not in SERVER_FIELDS:
            yield f"{path}: {str(one)[:80]!r} became {str(other)[:80]!r}"
