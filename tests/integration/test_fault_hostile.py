"""A recovery repository that somebody tampered with: each bad file is named and blocked, all the rest goes in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from drsyncer.errors import ExitCode, InvalidManifest, Refused
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.integration import crafted
from tests.integration.recovery import Recovery, actions, configmap, namespace, problems
from tests.integration.written import write

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: shop\n"
FOLDER = "namespaces/shop/configmaps"
SECONDS = 30.0  # no bomb may stop a recovery


@dataclass(frozen=True)
class Attack:
    """What is put in the place of a good file, and what the report says about it."""

    content: bytes
    said: str
    line: int = 0  # 0: the whole file is at fault


def text(name: str, rest: str) -> bytes:
    return (HEAD.format(name=name) + rest).encode()


def aliases(name: str) -> bytes:
    """The billion laughs."""
    lines = ["a: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"b{n}: &a{n + 1} [{', '.join(f'*a{n}' for _ in range(9))}]" for n in range(9)]
    return text(name, "\n".join(lines) + "\n")


ATTACKS = {
    "alias-bomb": Attack(aliases("alias-bomb"), "anchors and aliases are not allowed", line=6),
    "merge-key": Attack(text("merge-key", "data:\n  <<: {a: b}\n"), "", line=7),
    "duplicate": Attack(text("duplicate", "data:\n  a: b\n  a: c\n"), "second time; the first is on line 7", line=8),
    "deep": Attack(text("deep", "data: " + "[" * 100_000), "nested deeper than", line=6),
    "wide": Attack(text("wide", "data: [" + "a," * 900_000 + "]\n"), "more than 200,000 keys and values", line=6),
    "large": Attack(text("large", "data:\n  a: " + "x" * 50_000_000), "the most that one object may have"),
    "garbage": Attack(b"\x00\x01\x02\xff\xfe garbage \x80", "not UTF-8", line=1),
    "nul": Attack(text("nul", "data:\n  a: x\0y\n"), "U+0000 is not allowed", line=7),
    "escape": Attack(text("escape", "data:\n  a: \x1b[31m\n"), "U+001B is not allowed", line=7),
    "empty": Attack(b"", "holds no object", line=1),
    "list": Attack(b"- a\n- b\n", "holds no mapping", line=1),
    "two": Attack(text("two", "---\n") + text("two", ""), "a second document starts here", line=6),
    "tagged": Attack(text("tagged", "data: !!python/object/apply:os.system [id]\n"), "tag", line=6),
    "directive": Attack(b"%YAML 1.1\n---\n" + text("directive", ""), "directives are not allowed", line=1),
    "half": Attack(text("half", "data:\n  a: [1, 2\n"), "not YAML"),
    "other-name": Attack(text("web", "data:\n  a: b\n"), f"whose place is {FOLDER}/web.yaml", line=4),
    "other-namespace": Attack(
        text("other-namespace", "").replace(b"namespace: shop", b"namespace: kube-system"),
        "whose place is namespaces/kube-system/configmaps/other-namespace.yaml",
        line=4,
    ),
    "no-namespace": Attack(
        text("no-namespace", "").replace(b"  namespace: shop\n", b""), "whose place is cluster/configmaps", line=4
    ),
    "other-kind": Attack(
        text("other-kind", "data: {a: YQ==}\n").replace(b"ConfigMap", b"Secret"), "expected ConfigMap of v1", line=2
    ),
    "other-group": Attack(
        text("other-group", "").replace(b"apiVersion: v1", b"apiVersion: rbac.authorization.k8s.io/v1"), "of v1", line=2
    ),
    "bad-labels": Attack(
        b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: bad-labels\n  namespace: shop\n  labels: 5\n",
        "metadata.labels is no mapping",
        line=6,
    ),
    "bad-metadata": Attack(b"apiVersion: v1\nkind: ConfigMap\nmetadata: 5\n", "calls itself ''", line=3),
    "bad-data": Attack(text("bad-data", "data: 5\n"), "data"),
    "odd-name": Attack(text('"a\\u001b[2Jb"', ""), ""),
}
POINTERS = ("link", "submodule")
GOOD = ("good", "better")


def path(name: str) -> str:
    return f"{FOLDER}/{name}.yaml"


@pytest.fixture
def imported(clean_dr: ControlPlane, recovery: Recovery) -> Recovery:
    """A recovery point that is in DR: one ConfigMap for each attack to come, and two that stay good."""
    names = [*ATTACKS, *POINTERS, *GOOD]
    write(recovery, namespace("shop"), namespace("victim"), *(configmap("shop", name, a="b") for name in names))
    assert recovery.import_into(clean_dr).exit_code is ExitCode.DONE
    return recovery


def test_each_hostile_file_is_named_and_blocked_and_the_rest_goes_in(
    clean_dr: ControlPlane, imported: Recovery
) -> None:
    before = clean_dr.objects()
    crafted.commit(
        imported,
        {
            **{path(name): attack.content for name, attack in ATTACKS.items()},
            path("link"): crafted.link(imported, "/etc/passwd"),
            path("submodule"): crafted.submodule(),
            path("good"): text("good", "data:\n  a: changed\n"),
            path("new"): text("new", "data:\n  a: b\n"),
            "cluster/namespaces/victim.yaml": b"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: kube-system\n",
            "cluster/namespaces/kube-public.yaml": b"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
            f"{FOLDER}/../../../outside.yaml": text("outside", ""),
            "../above.yaml": text("above", ""),
            "namespaces/../configmaps/up.yaml": text("up", ""),
            "namespaces/shop/../up.yaml": text("up", ""),
        },
    )

    outcome = imported.import_into(clean_dr)

    found = problems(outcome)
    blocked = {f"shop/configmaps/{name}" for name in (*ATTACKS, *POINTERS)}
    assert found.keys() == blocked | {"namespaces/victim", "namespaces/kube-public"}
    for name, attack in ATTACKS.items():
        reason = found[f"shop/configmaps/{name}"]
        assert attack.said in reason, (name, reason)
        place = f"{path(name)}:{attack.line}: " if attack.line else path(name) if name != "bad-data" else ""
        assert reason.startswith(place), (name, reason)
        assert len(reason) < 1_000, name
    assert f"{path('link')}: is a symbolic link" in found["shop/configmaps/link"]
    assert f"{path('submodule')}: is no regular file" in found["shop/configmaps/submodule"]
    assert "holds namespaces/kube-system" in found["namespaces/victim"]
    assert "holds namespaces/shop" in found["namespaces/kube-public"]

    assert {name: action for name, action in actions(outcome).items() if action is not Action.BLOCKED} == {
        "shop/configmaps/good": Action.UPDATE,
        "shop/configmaps/new": Action.CREATE,
    }
    assert outcome.exit_code is ExitCode.PARTIAL
    assert outcome.seconds < SECONDS
    after = clean_dr.objects()
    assert before.keys() - after.keys() == set()
    assert {name for name in after.keys() - before.keys() if not name.startswith("dr-syncer/")} == {
        "shop/configmaps/new"
    }
    for name in (*ATTACKS, *POINTERS):
        key = f"shop/configmaps/{name}"
        assert after[key]["metadata"]["resourceVersion"] == before[key]["metadata"]["resourceVersion"], name
    # What is no object's file is not read, and not passed over in silence either.
    (strays,) = [warning for warning in outcome.warnings if warning.startswith("not read")]
    assert "'../above.yaml', 'namespaces/../configmaps/up.yaml', " in strays
    assert strays.endswith(" and 1 more")


def test_the_report_of_hostile_files_cannot_write_to_the_terminal(clean_dr: ControlPlane, imported: Recovery) -> None:
    crafted.commit(
        imported,
        {
            path("odd-name"): ATTACKS["odd-name"].content,
            path("escape"): ATTACKS["escape"].content,
            "cluster/namespaces/\x1b]0;owned\x07.yaml": b"x",
            path("bad-data"): text("bad-data", 'data: "\\u001b[2J"\n'),
        },
    )

    said = imported.cli("import", cluster=clean_dr)
    assert said.returncode == ExitCode.PARTIAL, said.stderr
    assert path("escape") in said.stdout
    assert not {char for char in said.stdout + said.stderr if not char.isprintable() and char != "\n"}

    in_json = imported.cli("import", "-o", "json", cluster=clean_dr)
    assert in_json.returncode == ExitCode.PARTIAL
    blocked = [found["name"] for found in json.loads(in_json.stdout)["objects"] if found["action"] == "blocked"]
    assert sorted(blocked) == ["bad-data", "escape", "odd-name"]


SHAPES: dict[str, Any] = {
    "no-spec": {"spec": None},
    "text-spec": {"spec": "text"},
    "list-spec": {"spec": [1, 2]},
    "text-containers": {"spec": {"template": {"spec": {"containers": "text"}}}},
    "odd-replicas": {"spec": {"replicas": {"a": "b"}}},
    "odd-annotations": {"metadata": {"annotations": {"a": {"b": "c"}}}},
}


def test_objects_of_an_impossible_shape_block_only_themselves(clean_dr: ControlPlane, recovery: Recovery) -> None:
    made = []
    for name, wrong in SHAPES.items():
        for api_version, kind in (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("batch/v1", "Job")):
            meta = {"name": name, "namespace": "shop", **wrong.get("metadata", {})}
            made.append({"apiVersion": api_version, "kind": kind, **wrong, "metadata": meta})
    for kind in ("Service", "PersistentVolumeClaim"):
        made.append({"apiVersion": "v1", "kind": kind, "metadata": {"name": "x", "namespace": "shop"}, "spec": "text"})
    hpa = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "spec": {"scaleTargetRef": []}}
    made.append({**hpa, "metadata": {"name": "x", "namespace": "shop"}})
    write(recovery, namespace("shop"), configmap("shop", "good", a="b"), *made)
    # A definition that is none, and an object that would be of its type.
    recovery.commit(
        {
            "cluster/customresourcedefinitions.apiextensions.k8s.io/widgets.example.com.yaml": (
                "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
                "metadata: {name: widgets.example.com}\n"
                "spec: {group: [x], scope: 5, names: {plural: [a], kind: {b: c}}, conversion: 7,"
                " versions: [{name: v1, served: true, subresources: 3}]}\n"
            ),
            "namespaces/shop/widgets.example.com/one.yaml": (
                "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: one, namespace: shop}\n"
            ),
        }
    )

    outcome = recovery.import_into(clean_dr)

    assert outcome.exit_code is ExitCode.PARTIAL
    assert clean_dr.exists("/api/v1/namespaces/shop/configmaps/good")
    created = {name for name, action in actions(outcome).items() if action is Action.CREATE}
    assert created == {"namespaces/shop", "shop/configmaps/good"}
    assert len(problems(outcome)) == len(made) + 2
    assert all(problems(outcome).values())


@pytest.mark.parametrize("what", ["gone", "link", "submodule", "garbage", "large", "newer", "self"])
def test_a_recovery_point_that_does_not_say_whose_it_is_changes_nothing(
    what: str, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    write(recovery, namespace("shop"), configmap("shop", "app", a="b"))
    uid = clean_dr.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
    head = "apiVersion: dr-syncer.io/v1\nkind: RecoveryRepository\n"
    entries: dict[str, bytes | crafted.Entry] = {
        "link": crafted.link(recovery, "namespaces/shop/configmaps/app.yaml"),
        "submodule": crafted.submodule(),
        "garbage": b"\xff\xfe",
        "large": b"a: " + b"x" * 11_000_000,
        "newer": f"{head}format: 99\ncluster: {{name: prod, uid: x}}\n".encode(),
        "self": f"{head}format: 1\ncluster: {{name: prod, uid: {uid}}}\n".encode(),
    }
    if what == "gone":
        recovery.commit({"dr-syncer.yaml": None})
    else:
        crafted.commit(recovery, {"dr-syncer.yaml": entries[what]})
    clean_dr.audit.mark()

    with pytest.raises((Refused, InvalidManifest)) as caught:
        recovery.import_into(clean_dr)

    assert caught.value.exit_code is (ExitCode.FAILED if what in ("garbage", "large") else ExitCode.REFUSED)
    assert "dr-syncer.yaml" in str(caught.value) or what == "self"
    assert clean_dr.audit.writes() == []
