"""Environment variables that are other ones in DR."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from drsyncer.config.rules import Transforms
from tests.unit.configured import pod_of, pod_template, transformed
from transforms.settings import TransformFailed

FROM_SECRET = {"secretKeyRef": {"name": "db", "key": "url"}}
API = {"types": ["deployments.apps"]}


def pod() -> dict[str, Any]:
    return pod_template(
        {
            "containers": [
                {"name": "app", "env": [{"name": "SITE", "value": "prod"}, {"name": "DB", "valueFrom": FROM_SECRET}]},
                {"name": "side", "envFrom": [{"configMapRef": {"name": "all"}}]},
            ],
            "initContainers": [{"name": "init", "env": [{"name": "SITE"}]}],
        }
    )


def envs(done: Any) -> dict[str, Any]:
    spec = pod_of(done)
    return {one["name"]: one.get("env") for part in ("containers", "initContainers") for one in spec[part]}


def test_a_variable_is_set_where_it_is_stated_and_nowhere_else() -> None:
    source = pod()
    before = copy.deepcopy(source)

    done = transformed("deployments.apps", source, env=[{"set": {"SITE": "dr", "DB": "none"}}])

    assert envs(done) == {
        "app": [{"name": "SITE", "value": "dr"}, {"name": "DB", "value": "none"}],
        "side": None,
        "init": [{"name": "SITE", "value": "dr"}],
    }
    assert source == before
    assert done.applied == (
        "env: /spec/template/spec/containers/0/env/0 SITE set",
        "env: /spec/template/spec/containers/0/env/1 DB set",
        "env: /spec/template/spec/initContainers/0/env/0 SITE set",
    )


def test_add_states_it_where_it_is_missing_in_the_containers_named() -> None:
    done = transformed(
        "deployments.apps", pod(), env=[{"match": API, "containers": ["s*"], "set": {"A": "1"}, "add": True}]
    )

    assert envs(done)["side"] == [{"name": "A", "value": "1"}]
    assert envs(done)["app"] == pod()["spec"]["template"]["spec"]["containers"][0]["env"]


def test_about_one_variable_of_one_container_the_first_entry_decides() -> None:
    entries = [
        {"containers": ["app"], "set": {"SITE": "dr-app"}},
        {"set": {"SITE": "dr", "DB": "x"}},
        {"set": {"NOWHERE": "1"}},
    ]

    done = transformed("deployments.apps", pod(), env=entries)

    assert envs(done)["app"] == [{"name": "SITE", "value": "dr-app"}, {"name": "DB", "value": "x"}]
    assert envs(done)["init"] == [{"name": "SITE", "value": "dr"}]
    assert done.used == {"env[0]", "env[1]"}


def test_a_variable_that_is_stated_twice_is_set_twice() -> None:
    twice = pod_template({"containers": [{"name": "app", "env": [{"name": "A", "value": "1"}, {"name": "A"}]}]})

    done = transformed("pods", {"spec": twice["spec"]["template"]["spec"]}, env=[{"set": {"A": "2"}}])

    assert done.manifest["spec"]["containers"][0]["env"] == [{"name": "A", "value": "2"}] * 2


def test_no_value_is_ever_reported() -> None:
    done = transformed("deployments.apps", pod(), env=[{"set": {"SITE": "canary-new"}}])

    assert not any("canary-new" in line or "prod" in line for line in (*done.applied, *done.notes))


@pytest.mark.parametrize("env", ["x", [1], {"a": 1}])
def test_a_malformed_environment_blocks_the_object(env: Any) -> None:
    with pytest.raises(TransformFailed, match="/spec/template/spec/containers/0/env"):
        transformed(
            "deployments.apps", pod_template({"containers": [{"name": "a", "env": env}]}), env=[{"set": {"A": "1"}}]
        )


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"set": {"A": "1"}, "add": True}, "needs a match"),
        ({"set": {}}, "at least 1"),
        ({"set": {"A=B": "1"}}, "name of an environment variable"),
        ({"set": {"A": 1}}, "valid string"),
    ],
)
def test_entries_that_make_no_sense_are_refused(entry: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Transforms.model_validate({"env": [entry]})
