"""Standby: parked, remembered, brought back."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.manifest import ObjectRef
from transforms.settings import Settings, Standby, Subject, TransformFailed
from transforms.standby import SCALED, backends, park, standby, unpark, wake

REPLICAS = "dr-syncer.io/replicas"
SUSPEND = "dr-syncer.io/suspend"
OVERRIDE = "dr-syncer.io/scale-override"
IDEMPOTENT = "dr-syncer.io/idempotent"
WIDGETS = "widgets.example.com"


def workload(spec, *, labels=None, annotations=None):
    metadata = {"name": "web", "namespace": "shop"}
    if labels:
        metadata["labels"] = labels
    if annotations:
        metadata["annotations"] = annotations
    return {"metadata": metadata, "spec": spec}


# -- replicas


@pytest.mark.parametrize("type_key", sorted(SCALED))
def test_a_workload_is_parked_at_zero_and_remembered(type_key):
    original = workload({"replicas": 3}, annotations={"note": "x"})

    result = park(original, type_key=type_key)

    assert result.manifest == workload({"replicas": 0}, annotations={"note": "x", REPLICAS: "3"})
    assert unpark(result.manifest, type_key=type_key) == original


def test_an_unset_count_is_the_servers_default_of_one():
    parked = park(workload({}), type_key="deployments.apps").manifest

    assert parked == workload({"replicas": 0}, annotations={REPLICAS: "1"})
    assert unpark(parked, type_key="deployments.apps") == workload({"replicas": 1})


def test_an_original_zero_stays_zero():
    parked = park(workload({"replicas": 0}), type_key="deployments.apps").manifest

    assert parked == workload({"replicas": 0}, annotations={REPLICAS: "0"})
    assert unpark(parked, type_key="deployments.apps") == workload({"replicas": 0})


def test_what_the_parked_source_remembers_is_carried_forward():
    fenced = workload({"replicas": 0}, annotations={REPLICAS: "3"})

    assert park(fenced, type_key="deployments.apps").manifest is fenced
    assert wake(fenced, type_key="deployments.apps").manifest == workload({"replicas": 3})


def test_a_stale_memory_loses_against_a_running_count():
    stale = workload({"replicas": 5}, annotations={REPLICAS: "3"})

    assert park(stale, type_key="deployments.apps").manifest == workload({"replicas": 0}, annotations={REPLICAS: "5"})
    assert wake(stale, type_key="deployments.apps").manifest == workload({"replicas": 5})


@pytest.mark.parametrize("setting", [Standby(), None])
def test_an_override_is_the_count_in_dr_whatever_the_state(setting):
    manifest = workload({"replicas": 5}, labels={OVERRIDE: "2"})
    subject = Subject(ObjectRef("deployments.apps", "shop", "web"), Settings(standby=setting))

    result = standby(manifest, subject).manifest

    assert result == workload({"replicas": 2}, labels={OVERRIDE: "2"})
    assert unpark(result, type_key="deployments.apps") == result


def test_an_override_of_true_keeps_the_sources_count():
    manifest = workload({"replicas": 5}, labels={OVERRIDE: "true"})
    fenced = workload({"replicas": 0}, labels={OVERRIDE: "true"}, annotations={REPLICAS: "5"})

    assert park(manifest, type_key="deployments.apps").manifest is manifest
    assert park(fenced, type_key="deployments.apps").manifest == manifest


@pytest.mark.parametrize("value", ["", "two", "-1", "1.5", "false", "007", "99999999999", 2])
def test_an_override_that_is_no_count_blocks_the_object(value):
    with pytest.raises(TransformFailed, match=r'dr-syncer.io~1scale-override: .*a replica count or "true"'):
        park(workload({"replicas": 1}, labels={OVERRIDE: value}), type_key="deployments.apps")


def test_an_override_means_nothing_on_a_type_that_does_not_run():
    manifest = workload({}, labels={OVERRIDE: "two"})

    assert park(manifest, type_key="configmaps").manifest is manifest


@pytest.mark.parametrize("count", ["3", True, -1, 2.5, [1], 2**31])
def test_a_count_that_is_none_blocks_the_object(count):
    with pytest.raises(TransformFailed, match=r"standby: /spec/replicas: .*expected a replica count"):
        park(workload({"replicas": count}), type_key="deployments.apps")


@pytest.mark.parametrize("memory", ["three", "", "-1", ".spec.replicas", "null"])
def test_a_memory_that_is_none_blocks_the_object(memory):
    manifest = workload({"replicas": 0}, annotations={REPLICAS: memory})

    for act in (park, wake):
        with pytest.raises(TransformFailed, match=r"dr-syncer.io~1replicas: .*expected a replica count"):
            act(manifest, type_key="deployments.apps")


# -- autoscaling


def test_replicas_belong_to_the_autoscaler_once_active():
    manifest = workload({"replicas": 5, "paused": False})

    assert wake(manifest, type_key="deployments.apps", autoscaled=True).manifest == workload({"paused": False})
    fenced = workload({"replicas": 0}, annotations={REPLICAS: "5"})
    assert wake(fenced, type_key="deployments.apps", autoscaled=True).manifest == workload({})


def test_standby_keeps_an_autoscaled_workload_at_zero():
    parked = park(workload({"replicas": 5}), type_key="deployments.apps", autoscaled=True).manifest

    assert parked == workload({"replicas": 0}, annotations={REPLICAS: "5"})


def test_an_autoscaler_switched_off_by_zero_stays_off():
    manifest = workload({"replicas": 0})

    assert wake(manifest, type_key="deployments.apps", autoscaled=True).manifest is manifest


def test_an_override_against_an_autoscaler_is_noted():
    result = wake(workload({"replicas": 5}, labels={OVERRIDE: "2"}), type_key="deployments.apps", autoscaled=True)

    assert "replicas" not in result.manifest["spec"]
    assert result.notes == ("dr-syncer.io/scale-override=2 has no effect: the autoscaler decides the replicas",)


# -- custom resources with a scale subresource


def test_a_custom_resource_is_parked_by_its_scale_path():
    original = workload({"pool": {"size": 4}})

    parked = park(original, type_key=WIDGETS, scale_path=".spec.pool.size").manifest

    assert parked == workload({"pool": {"size": 0}}, annotations={REPLICAS: "4"})
    assert unpark(parked, type_key=WIDGETS, scale_path=".spec.pool.size") == original
    assert park(original, type_key=WIDGETS).manifest is original


@pytest.mark.parametrize(
    ("spec", "memory"),
    [
        ({"pool": {"other": 1}}, ".spec.pool.size"),
        ({"pool": {}}, ".spec.pool.size"),
        ({"other": 1}, ".spec.pool"),
        ({}, ".spec.pool"),
        ({"pool": {"size": None}}, "null"),
    ],
)
def test_a_custom_resource_without_a_count_comes_back_as_it_was(spec, memory):
    original = workload(spec)

    result = park(original, type_key=WIDGETS, scale_path=".spec.pool.size")

    assert result.manifest["spec"]["pool"]["size"] == 0
    assert result.manifest["metadata"]["annotations"][REPLICAS] == memory
    assert len(result.notes) == 1
    assert park(result.manifest, type_key=WIDGETS, scale_path=".spec.pool.size").manifest is result.manifest
    assert unpark(result.manifest, type_key=WIDGETS, scale_path=".spec.pool.size") == original


def test_waking_takes_out_no_more_than_parking_made():
    filled = workload({"pool": {"size": 0, "image": "x"}}, annotations={REPLICAS: ".spec.pool"})

    assert unpark(filled, type_key=WIDGETS, scale_path=".spec.pool.size") == workload({"pool": {"image": "x"}})


@pytest.mark.parametrize("memory", [".metadata", ".spec.other", ".", ".spec.pool.size.x"])
def test_a_memory_can_not_remove_anything_but_the_count(memory):
    manifest = workload({"pool": {"size": 0}}, annotations={REPLICAS: memory})

    with pytest.raises(TransformFailed):
        unpark(manifest, type_key=WIDGETS, scale_path=".spec.pool.size")


# -- suspend


@pytest.mark.parametrize("suspend", [True, False])
def test_a_cron_job_is_suspended_and_remembered(suspend):
    original = workload({"suspend": suspend, "schedule": "* * * * *"})

    parked = park(original, type_key="cronjobs.batch").manifest

    assert parked == workload({"suspend": True, "schedule": "* * * * *"}, annotations={SUSPEND: str(suspend).lower()})
    assert unpark(parked, type_key="cronjobs.batch") == original


def test_a_cron_job_of_a_parked_source_runs_again_when_active():
    fenced = workload({"suspend": True}, annotations={SUSPEND: "false"})

    assert park(fenced, type_key="cronjobs.batch").manifest is fenced
    assert wake(fenced, type_key="cronjobs.batch").manifest == workload({"suspend": False})


def test_a_cron_job_marked_true_stays_live_in_standby():
    manifest = workload({"suspend": False}, labels={OVERRIDE: "true"})

    assert park(manifest, type_key="cronjobs.batch").manifest is manifest


def test_a_count_on_a_type_without_replicas_does_not_keep_it_awake():
    assert park(workload({}, labels={OVERRIDE: "2"}), type_key="cronjobs.batch").manifest["spec"]["suspend"] is True


@pytest.mark.parametrize("bad", ["true", 1, {}])
def test_a_suspend_that_is_no_boolean_blocks_the_object(bad):
    for type_key in ("cronjobs.batch", "jobs.batch"):
        with pytest.raises(TransformFailed, match="/spec/suspend"):
            park(workload({"suspend": bad}), type_key=type_key)
        with pytest.raises(TransformFailed, match="/spec/suspend"):
            wake(workload({"suspend": bad}), type_key=type_key)


def test_a_job_never_runs_twice():
    job = workload({"suspend": False})

    active = wake(job, type_key="jobs.batch")
    parked = park(job, type_key="jobs.batch").manifest

    assert active.manifest == workload({"suspend": True})
    assert len(active.notes) == 1
    assert parked == workload({"suspend": True}, annotations={SUSPEND: "false"})
    assert unpark(parked, type_key="jobs.batch") == active.manifest


def test_an_override_does_not_let_a_job_run_twice():
    job = workload({"suspend": False}, labels={OVERRIDE: "true"})

    assert park(job, type_key="jobs.batch").manifest["spec"]["suspend"] is True


def test_an_idempotent_job_waits_in_standby_and_runs_when_active():
    job = workload({"suspend": False}, annotations={IDEMPOTENT: "true"})

    parked = park(job, type_key="jobs.batch").manifest

    assert parked["spec"]["suspend"] is True
    assert unpark(parked, type_key="jobs.batch") == job
    assert wake(job, type_key="jobs.batch").manifest is job


# -- DaemonSets, Pods


def daemon_set(**pod):
    return workload({"template": {"spec": {"containers": [], **pod}}})


@pytest.mark.parametrize("pod", [{}, {"nodeSelector": {"disk": "ssd"}}])
def test_a_daemon_set_is_parked_on_nodes_that_do_not_exist(pod):
    original = daemon_set(**pod)

    parked = park(original, type_key="daemonsets.apps", daemon_sets="park").manifest

    selector = parked["spec"]["template"]["spec"]["nodeSelector"]
    assert selector == {**pod.get("nodeSelector", {}), "dr-syncer.io/parked": "true"}
    assert unpark(parked, type_key="daemonsets.apps") == original


def test_a_daemon_set_is_left_alone_when_told_to_keep():
    original = daemon_set()

    assert park(original, type_key="daemonsets.apps", daemon_sets="keep").manifest is original


def test_a_bare_pod_is_held_in_standby_only():
    pod = workload({"containers": []})

    assert "would run" in park(pod, type_key="pods").held
    assert wake(pod, type_key="pods").held == ""
    assert park(workload({}, labels={OVERRIDE: "true"}), type_key="pods").held == ""


# -- what holds for all of them

COUNTS = st.integers(0, 9)
META = {
    "labels": st.sampled_from([None, None, {"app": "x"}, {OVERRIDE: "2"}, {OVERRIDE: "true"}, {OVERRIDE: "0"}]),
    "annotations": st.sampled_from(
        [None, {"note": "x"}, {IDEMPOTENT: "true"}, {REPLICAS: "3"}, {SUSPEND: "false", "note": "x"}]
    ),
}
CASES = st.one_of(
    st.tuples(
        st.sampled_from(sorted(SCALED)),
        st.none(),
        st.builds(workload, st.fixed_dictionaries({"replicas": COUNTS}), **META),
    ),
    st.tuples(
        st.just(WIDGETS),
        st.just(".spec.pool.size"),
        st.builds(
            workload,
            st.fixed_dictionaries(
                {}, optional={"pool": st.fixed_dictionaries({}, optional={"size": COUNTS, "x": COUNTS})}
            ),
            **META,
        ),
    ),
    st.tuples(
        st.sampled_from(["cronjobs.batch", "jobs.batch"]),
        st.none(),
        st.builds(workload, st.fixed_dictionaries({"suspend": st.booleans()}), **META),
    ),
    st.tuples(
        st.just("daemonsets.apps"), st.none(), st.sampled_from([daemon_set(), daemon_set(nodeSelector={"a": "b"})])
    ),
    st.tuples(st.sampled_from(["pods", "configmaps"]), st.none(), st.builds(workload, st.just({}), **META)),
)
DAEMON_SETS = st.sampled_from(["keep", "park"])


@given(CASES, DAEMON_SETS)
def test_parking_twice_changes_nothing_more(case, daemon_sets):
    type_key, scale, manifest = case
    once = park(manifest, type_key=type_key, scale_path=scale, daemon_sets=daemon_sets).manifest

    again = park(once, type_key=type_key, scale_path=scale, daemon_sets=daemon_sets)

    assert again.manifest is once
    assert again.applied == ()


@given(CASES, DAEMON_SETS)
def test_activation_gives_what_an_import_into_an_active_cluster_gives(case, daemon_sets):
    type_key, scale, manifest = case
    before = copy.deepcopy(manifest)
    parked = park(manifest, type_key=type_key, scale_path=scale, daemon_sets=daemon_sets).manifest

    active = unpark(parked, type_key=type_key, scale_path=scale)

    assert active == wake(manifest, type_key=type_key, scale_path=scale).manifest
    assert unpark(active, type_key=type_key, scale_path=scale) == active
    assert manifest == before


@given(CASES, DAEMON_SETS)
def test_parking_and_unparking_gives_the_original(case, daemon_sets):
    type_key, scale, manifest = case
    annotations = manifest["metadata"].get("annotations", {})
    fenced = {REPLICAS, SUSPEND} & annotations.keys()
    counted = manifest["metadata"].get("labels", {}).get(OVERRIDE, "true") != "true"
    if fenced or counted or (type_key == "jobs.batch" and IDEMPOTENT not in annotations):
        return  # these are meant to come back otherwise: see the tests that name them

    parked = park(manifest, type_key=type_key, scale_path=scale, daemon_sets=daemon_sets).manifest

    assert unpark(parked, type_key=type_key, scale_path=scale) == manifest


# -- what must not be live while its backend sleeps


def test_the_backends_of_webhooks_are_named_once():
    service = {"namespace": "ops", "name": "hook", "path": "/v"}
    manifest = {
        "webhooks": [
            {"clientConfig": {"service": service}},
            {"clientConfig": {"url": "https://hook.example.com"}},
            {"clientConfig": {"service": service}},
            {"clientConfig": {"service": {"namespace": "ops", "name": "other"}}},
        ]
    }
    ref = ObjectRef("validatingwebhookconfigurations.admissionregistration.k8s.io", "", "x")

    assert backends(manifest, ref) == (("ops", "hook"), ("ops", "other"))


def test_the_backend_of_an_aggregated_api():
    ref = ObjectRef("apiservices.apiregistration.k8s.io", "", "v1.example.com")

    assert backends({"spec": {"service": {"namespace": "ops", "name": "api"}}}, ref) == (("ops", "api"),)
    assert backends({"spec": {"service": None}}, ref) == ()
    with pytest.raises(TransformFailed, match="/spec/service"):
        backends({"spec": {"service": {"name": "api"}}}, ref)


def test_other_types_stand_on_no_backend():
    assert backends({"spec": {"service": {"namespace": "a", "name": "b"}}}, ObjectRef("services", "a", "b")) == ()
