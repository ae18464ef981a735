"""Where pods may run in DR."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drsyncer.config.rules import Transforms
from tests.unit.configured import pod_of, pod_template, transformed
from transforms.pods import POD_SPECS
from transforms.settings import Standby, TransformFailed

ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def run(pod: dict[str, Any], **entry: Any) -> Any:
    return transformed("deployments.apps", pod_template(pod), scheduling=[entry])


def node_affinity(*expressions: Any) -> dict[str, Any]:
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": list(expressions)}]}}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


LABELS = {f"{ZONE}=eu-1a": f"{ZONE}=us-1a", f"{ZONE}=eu-1b": f"{ZONE}=us-1a", "old/pool": "new/pool", "a=b": "c=d"}


def test_labels_of_nodes_are_mapped_in_node_selectors() -> None:
    done = run({"nodeSelector": {ZONE: "eu-1a", "old/pool": "x", "a": "b", "kept": "1"}}, nodeLabels=LABELS)

    assert pod_of(done)["nodeSelector"] == {ZONE: "us-1a", "new/pool": "x", "c": "d", "kept": "1"}
    assert f"scheduling: /spec/template/spec/nodeSelector/{ZONE.replace('/', '~1')} eu-1a -> us-1a" in done.applied


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (expression(ZONE, "In", "eu-1a", "eu-1b", "x"), expression(ZONE, "In", "us-1a", "x")),
        (expression(ZONE, "NotIn", "eu-1b"), expression(ZONE, "NotIn", "us-1a")),
        (expression("old/pool", "In", "x"), expression("new/pool", "In", "x")),
        (expression("old/pool", "Exists"), expression("new/pool", "Exists")),
        (expression("a", "In", "b"), expression("c", "In", "d")),
        (expression("a", "Exists"), expression("a", "Exists")),
        (expression("cores", "Gt", "4"), expression("cores", "Gt", "4")),
    ],
)
def test_labels_of_nodes_are_mapped_in_affinity_and_volumes(before: Any, after: Any) -> None:
    preferred = {"nodeAffinity": {PREFERRED: [{"weight": 1, "preference": {"matchExpressions": [before]}}]}}
    volume = {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [before]}]}}}}

    assert pod_of(run({"affinity": node_affinity(before)}, nodeLabels=LABELS))["affinity"] == node_affinity(after)
    done = pod_of(run({"affinity": preferred}, nodeLabels=LABELS))["affinity"]["nodeAffinity"][PREFERRED]
    assert done[0]["preference"]["matchExpressions"] == [after]
    mapped = transformed("persistentvolumes", volume, scheduling=[{"nodeLabels": LABELS}]).manifest["spec"]
    assert mapped["nodeAffinity"]["required"]["nodeSelectorTerms"] == [{"matchExpressions": [after]}]


def test_topologies_and_topology_keys_are_mapped() -> None:
    topologies = {"allowedTopologies": [{"matchLabelExpressions": [{"key": ZONE, "values": ["eu-1a", "eu-1b"]}]}]}
    done = transformed("storageclasses.storage.k8s.io", topologies, scheduling=[{"nodeLabels": LABELS}])
    assert done.manifest["allowedTopologies"] == [{"matchLabelExpressions": [{"key": ZONE, "values": ["us-1a"]}]}]

    pod = {
        "affinity": {
            "podAntiAffinity": {REQUIRED: [{"topologyKey": "old/pool"}]},
            "podAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": {"topologyKey": "old/pool"}}]},
        },
        "topologySpreadConstraints": [{"topologyKey": "old/pool", "whenUnsatisfiable": "DoNotSchedule"}],
    }
    mapped = pod_of(run(pod, nodeLabels=LABELS))
    assert mapped["affinity"]["podAntiAffinity"][REQUIRED] == [{"topologyKey": "new/pool"}]
    assert mapped["affinity"]["podAffinity"][PREFERRED][0]["podAffinityTerm"] == {"topologyKey": "new/pool"}
    assert mapped["topologySpreadConstraints"][0]["topologyKey"] == "new/pool"


@pytest.mark.parametrize(
    "pod",
    [
        {"nodeSelector": {"a": "b", "c": "other"}},
        {"affinity": node_affinity(expression("a", "In", "b", "kept"))},
        {"nodeSelector": "x"},
        {"affinity": node_affinity("x")},
    ],
)
def test_what_would_mean_something_else_blocks_the_object(pod: Any) -> None:
    with pytest.raises(TransformFailed, match="scheduling: /spec/template/spec/"):
        run(pod, nodeLabels=LABELS)


def test_swapped_labels_are_swapped_and_never_chained() -> None:
    swap = {f"{ZONE}=a": f"{ZONE}=b", f"{ZONE}=b": f"{ZONE}=a"}

    done = run({"affinity": node_affinity(expression(ZONE, "In", "a", "b"))}, nodeLabels=swap)

    assert pod_of(done)["affinity"] == node_affinity(expression(ZONE, "In", "b", "a"))


POD = {
    "nodeName": "node-7",
    "nodeSelector": {"example.com/pool": "x", "disk": "ssd"},
    "affinity": {"nodeAffinity": {PREFERRED: []}, "podAffinity": {}, "podAntiAffinity": {}},
    "tolerations": [{"operator": "Exists"}, {"key": "dedicated", "value": "prod"}, {"key": "cloud/spot"}],
    "topologySpreadConstraints": [
        {"topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 1, "minDomains": 3},
        {"topologyKey": HOST, "whenUnsatisfiable": "ScheduleAnyway", "maxSkew": 1},
    ],
    "runtimeClassName": "gvisor",
    "overhead": {"cpu": "1"},
    "priorityClassName": "gold",
    "priority": 1000,
    "preemptionPolicy": "Never",
    "schedulerName": "volcano",
}


@pytest.mark.parametrize(
    ("entry", "changed", "gone"),
    [
        ({"dropNodeSelector": ["example.com/*"]}, {"nodeSelector": {"disk": "ssd"}}, []),
        ({"dropNodeSelector": ["*"]}, {}, ["nodeSelector"]),
        ({"nodeAffinity": "drop"}, {"affinity": {"podAffinity": {}, "podAntiAffinity": {}}}, ["nodeName"]),
        ({"podAffinity": "drop"}, {"affinity": {"nodeAffinity": {PREFERRED: []}}}, []),
        ({"nodeAffinity": "drop", "podAffinity": "drop"}, {}, ["affinity", "nodeName"]),
        ({"tolerations": {"drop": ["*"]}}, {}, ["tolerations"]),
        ({"tolerations": {"drop": ["cloud/*", "dedicated"]}}, {"tolerations": [{"operator": "Exists"}]}, []),
        (
            {"tolerations": {"drop": ["*"], "add": [{"key": "dedicated", "value": "dr", "effect": "NoSchedule"}]}},
            {"tolerations": [{"key": "dedicated", "operator": "Equal", "value": "dr", "effect": "NoSchedule"}]},
            [],
        ),
        ({"topologySpread": "drop"}, {}, ["topologySpreadConstraints"]),
        (
            {"topologySpread": "soften"},
            {
                "topologySpreadConstraints": [
                    {"topologyKey": ZONE, "whenUnsatisfiable": "ScheduleAnyway", "maxSkew": 1},
                    {"topologyKey": HOST, "whenUnsatisfiable": "ScheduleAnyway", "maxSkew": 1},
                ]
            },
            [],
        ),
        ({"runtimeClasses": {"gvisor": ""}}, {}, ["runtimeClassName", "overhead"]),
        ({"runtimeClasses": {"gvisor": "kata"}}, {"runtimeClassName": "kata"}, ["overhead"]),
        ({"priorityClasses": {"gold": "std"}}, {"priorityClassName": "std"}, ["priority", "preemptionPolicy"]),
        ({"schedulers": {"volcano": ""}}, {}, ["schedulerName"]),
        ({"schedulers": {"other": ""}}, {}, []),
    ],
)
def test_one_part_is_changed_and_the_rest_stays(entry: Any, changed: Any, gone: list[str]) -> None:
    before = copy.deepcopy(POD)

    done = run(POD, **entry)

    assert pod_of(done) == {key: value for key, value in (POD | changed).items() if key not in gone}
    assert before == POD


def test_softened_constraints_that_become_alike_are_one() -> None:
    alike = [
        {"topologyKey": ZONE, "whenUnsatisfiable": "ScheduleAnyway", "maxSkew": 2},
        {"topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 1},
    ]

    done = run({"topologySpreadConstraints": alike}, topologySpread="soften")

    assert pod_of(done)["topologySpreadConstraints"] == alike[:1]
    assert "two would be alike" in done.notes[0]


def test_a_toleration_that_is_there_is_not_added_twice() -> None:
    there = {"key": "dedicated", "operator": "Exists"}

    done = run({"tolerations": [there]}, tolerations={"add": [there]})

    assert pod_of(done)["tolerations"] == [there]


def test_a_parked_daemon_set_stays_parked() -> None:
    done = transformed(
        "daemonsets.apps",
        pod_template({"nodeSelector": {"disk": "ssd"}}),
        standby=Standby("park"),
        scheduling=[{"dropNodeSelector": ["*"], "nodeLabels": {"dr-syncer.io/parked": "x"}}],
    )

    assert pod_of(done)["nodeSelector"] == {"dr-syncer.io/parked": "true"}


def test_an_entry_has_no_say_about_what_is_never_scheduled() -> None:
    done = transformed("configmaps", {"data": {"a": "b"}}, scheduling=[{"nodeAffinity": "drop"}])

    assert done.used == set()


@pytest.mark.parametrize("type_key", POD_SPECS)
def test_every_pod_template_is_reached(type_key: str) -> None:
    pod: Any = {"nodeSelector": {"disk": "ssd"}, "containers": []}
    for key in reversed(POD_SPECS[type_key]):
        pod = {key: pod}

    done = transformed(type_key, pod, scheduling=[{"dropNodeSelector": ["disk"]}]).manifest

    for key in POD_SPECS[type_key]:
        done = done[key]
    assert done == {"containers": []}


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({}, "not what to change"),
        ({"match": {"names": ["web"]}, "tolerations": {}}, "not what to change"),
        ({"nodeLabels": {"a=b": "c"}}, "key=value on both sides"),
        ({"nodeLabels": {"a b": "c"}}, "key of a label"),
        ({"tolerations": {"add": [{"value": "x"}]}}, "needs the operator Exists"),
        ({"tolerations": {"add": [{"key": "a", "operator": "Exists", "value": "x"}]}}, "has no value"),
        ({"tolerations": {"add": [{"key": "a", "tolerationSeconds": 5}]}}, "needs the effect NoExecute"),
        ({"runtimeClasses": {"a": "B"}}, "name of a class"),
    ],
)
def test_entries_that_make_no_sense_are_refused(entry: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Transforms.model_validate({"scheduling": [entry]})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "a", "b", ZONE, "*"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["key", "values", "operator", "nodeAffinity", "podAffinity", REQUIRED, "topologyKey"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=15,
)


@example(pod={"topologySpreadConstraints": [{"topologyKey": []}]})
@given(pod=st.dictionaries(st.sampled_from([*POD, "containers"]), VALUES, max_size=5))
def test_whatever_a_pod_holds_it_is_changed_or_blocked_and_the_input_stays(pod: Any) -> None:
    before = copy.deepcopy(pod)
    entry = {
        "nodeLabels": {"a": "b", f"{ZONE}=a": f"{ZONE}=b"},
        "dropNodeSelector": ["a*"],
        "nodeAffinity": "drop",
        "topologySpread": "soften",
        "tolerations": {"drop": ["b"], "add": [{"key": "c"}]},
        "priorityClasses": {"a": ""},
    }
    try:
        done = run(pod, **entry)
    except TransformFailed:
        done = None
    assert pod == before
    if done is not None:
        assert "nodeName" not in pod_of(done) or pod["nodeName"] is None
