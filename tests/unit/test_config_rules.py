"""`importer.transforms.rules` and `transforms/*.yaml`: what is wrong with them is said at load, all at once."""

# ruff: noqa: E501 - a message is easier to compare in one piece

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drsyncer.config import rule_file
from drsyncer.config.load import parse
from drsyncer.config.rules import Transforms
from drsyncer.errors import ConfigurationError, Fault
from importer.rulebook import in_order, names_of, parsed
from transforms.steps import Merge, Patch, Remove, Set, Template

HEAD = "apiVersion: dr-syncer.io/v1\nrepository: {url: /srv/git}\nimporter:\n  cluster: dr\n  transforms:\n"
FILE = "apiVersion: dr-syncer.io/v1\n"


def faults(rules: str) -> list[Fault]:
    text = HEAD + "    rules:\n" + "".join(f"      {line}\n" for line in rules.splitlines())
    try:
        parse(text.encode(), file="f.yaml", folder=Path("/"))
    except ConfigurationError as error:
        return error.faults
    return []


def step(text: str) -> list[tuple[str, str]]:
    found = faults(f"- name: a\n  steps:\n    - {text}\n")
    assert all(fault.line == 9 for fault in found)
    return [
        (fault.path.removeprefix("importer.transforms.rules[0].steps[0]").lstrip("."), fault.message) for fault in found
    ]


def test_every_step_of_the_design_is_read() -> None:
    text = """\
- name: smaller-heap
  match: {types: [deployments.apps], namespaces: [shop], names: ["api-*"], labels: "", annotations: {}}
  when:
    - {path: /spec/replicas, equals: 3}
    - {path: /spec/x, exists: false}
    - {path: spec.host, matches: "*.prod"}
  steps:
    - set: {path: "/spec/template/spec/containers[name=api]/env[name=HEAP]/value", value: 512m}
    - remove: {path: /spec/template/spec/nodeSelector}
    - merge: {metadata: {labels: {site: dr, old: null}}}
    - jsonPatch: [{op: test, path: /spec/replicas, value: 3}, {op: move, from: /spec/a, path: /spec/b}]
    - template: {path: "/spec/rules/0/host", value: "{{ object.metadata.name }}.{{ values.domain }}", type: string}
    - set: {path: /spec/null, value: null}
"""
    assert faults(text) == []
    (rule,) = in_order(parsed([("t.yaml", (FILE + "rules:\n" + text).encode())]), Transforms())
    assert [type(one) for one in rule.steps] == [Set, Remove, Merge, Patch, Template, Set]
    assert [one.says for one in rule.when] == [
        "/spec/replicas equals 3",
        "/spec/x is not there",
        "spec.host matches *.prod",
    ]
    assert rule.origin == "t.yaml"
    assert not rule.uses_commit


WHO = "it would change who the object is (apiVersion, kind, metadata.name or metadata.namespace)"
OURS = "it would change keys under dr-syncer.io/ or applyset.kubernetes.io/, which are DR-Syncer's own"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", [("", "expected exactly one of set, remove, merge, jsonPatch and template in a step")]),
        ("{remove: {path: /a}, merge: {a: 1}}", [("", "expected exactly one of set, remove, merge, jsonPatch and template in a step")]),
        ("{sett: {path: /a}}", [("sett", "unknown key; did you mean `set`?")]),
        ("{jsonpatch: []}", [("jsonpatch", "unknown key; did you mean `jsonPatch`?")]),
        ("{set: {path: /a}}", [("set.value", "this key is required and missing; for example `value: 512m`")]),
        ("{set: {pth: /a, value: 1}}", [("set.path", "this key is required and missing; for example `path: /spec/replicas`"), ("set.pth", "unknown key; did you mean `path`?")]),
        ("{set: {path: 'a[b', value: 1}}", [("set.path", "path 'a[b': expected a key, [0], [*], [name=web] or [\"a.key\"] at '[b'")]),
        ("{set: {path: /kind, value: 1}}", [("set.path", f"no rule may go there: {WHO}")]),
        ("{set: {path: /metadata/labels, value: {dr-syncer.io/x: y}}}", [("set", f"no rule may go there: {OURS}")]),
        ("{set: {path: /a, value: .inf}}", []),
        ("{remove: {path: /metadata}}", [("remove.path", f"no rule may go there: {WHO}")]),
        ("{remove: {path: metadata.labels.name, why: x}}", [("remove.why", "unknown key; known here: path")]),
        ("{merge: {}}", [("merge", "expected what to merge, such as {metadata: {labels: {site: dr}}}")]),
        ("{merge: [a]}", [("merge", "expected a mapping, such as {metadata: {labels: {site: dr}}}")]),
        ("{merge: {metadata: {name: x}}}", [("merge", f"no rule may merge this: {WHO}")]),
        ("{jsonPatch: []}", [("jsonPatch", "expected a list such as [{op: add}] with at least one entry")]),
        ("{jsonPatch: [{op: tset, path: /a, value: 1}]}", [("jsonPatch[0].op", "expected one of add, remove, replace, move, copy, test; did you mean `test`?")]),
        ("{jsonPatch: [{op: add, path: /a}]}", [("jsonPatch[0]", "add needs `value`")]),
        ("{jsonPatch: [{op: remove, path: /a, value: 1}]}", [("jsonPatch[0]", "remove has no `value`")]),
        ("{jsonPatch: [{op: move, path: /a}]}", [("jsonPatch[0]", "move needs `from`")]),
        ("{jsonPatch: [{op: move, path: /a, from: }]}", [("jsonPatch[0]", "move needs `from`")]),
        ("{jsonPatch: [{op: copy, from: /kind, path: /spec/a}]}", []),
        ("{jsonPatch: [{op: move, from: /kind, path: /spec/a}]}", [("jsonPatch[0]", f"no rule may go there: {WHO}")]),
        ("{jsonPatch: [{op: add, path: '/a[b=c]', value: 1}]}", [("jsonPatch[0]", "the path of add ends with a key, an index or `-`")]),
        ("{jsonPatch: [{op: test, path: /kind, value: Job}]}", []),
        ("{jsonPatch: [{op: replace, path: /kind, value: Job}]}", [("jsonPatch[0]", f"no rule may go there: {WHO}")]),
        ("{template: {path: /a, value: '{{ x }}'}}", [("template.value", "there is no variable `x` in a template; there are object, cluster, values, commit")]),
        ("{template: {path: /a, value: '{{'}}", [("template.value", "not a template: unexpected 'end of template' (line 1)")]),
        ("{template: {path: /a, value: a, type: int}}", [("template.type", "expected one of string, integer, number, boolean; did you mean `integer`?")]),
        ("{template: {path: /a, value: 5}}", [("template.value", "expected a template such as \"{{ object.metadata.name }}.{{ values.domain }}\", found a number; put it in quotes")]),
    ],
)  # fmt: skip
def test_a_wrong_step_says_what_is_right(text: str, expected: list[tuple[str, str]]) -> None:
    assert step(text) == expected


def test_all_faults_of_all_rules_come_at_once_each_with_its_line() -> None:
    found = faults(
        "- name: A\n  steps: [{remove: {path: /a}}]\n- name: b\n  macth: {}\n  steps: []\n"
        "- name: c\n  when:\n    - {path: /a}\n    - {path: a, exists: 1}\n  steps:\n    - remove: {path: /a}\n"
        "    - remove: {path: /kind}\n"
    )

    assert [(fault.line, fault.path.removeprefix("importer.transforms.rules")) for fault in found] == [
        (7, "[0].name"),
        (10, "[1].macth"),
        (11, "[1].steps"),
        (14, "[2].when[0]"),
        (15, "[2].when[1].exists"),
        (18, "[2].steps[1].remove.path"),
    ]


@pytest.mark.parametrize(
    "condition", ["{path: /a}", "{path: /a, exists: }", "{path: /a, matches: }", "{path: /a, exists: true, equals: 1}"]
)
def test_a_condition_asks_exactly_one_question(condition: str) -> None:
    (found,) = faults(f"- name: a\n  when: [{condition}]\n  steps: [{{remove: {{path: /a}}}}]\n")

    assert found.message == "expected exactly one of exists, equals and matches beside the path"


def test_a_condition_may_ask_for_null() -> None:
    assert faults("- name: a\n  when: [{path: /a, equals: }]\n  steps: [{remove: {path: /a}}]\n") == []


def test_two_rules_of_one_name_are_refused() -> None:
    one = "- name: a\n  steps: [{remove: {path: /a}}]\n"

    assert [fault.message for fault in faults(one + one)] == [
        "two rules are called a; reports could not tell them apart"
    ]


def file_faults(text: str) -> list[str]:
    try:
        rule_file.parse(text.encode(), file="transforms/a.yaml")
    except ConfigurationError as error:
        return [str(fault) for fault in error.faults]
    return []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FILE + "rules: []\n", []),
        ("rules: []\n", ["transforms/a.yaml:1: apiVersion: this key is required and missing; for example `apiVersion: dr-syncer.io/v1`"]),
        ("", ["transforms/a.yaml:1: holds no object. The file is empty, or only comments."]),
        ("- a\n", ["transforms/a.yaml:1: holds no mapping. An object starts with apiVersion and kind."]),
        (FILE + "rules:\n  - name: a\n    steps: &x []\n", ["transforms/a.yaml:4: anchors and aliases are not allowed. Write the value out wherever it is needed."]),
        (FILE + "rules: !!python/object:os.system []\n", ["transforms/a.yaml:2: a tag that Kubernetes objects have no use for. Remove the tag."]),
        (FILE + "rules: [}\n", ["transforms/a.yaml:2: not YAML: while parsing a flow node did not find expected node content"]),
        (FILE + "rules:\n  - name: a\n    name: b\n", ["transforms/a.yaml:4: the key 'name' is here a second time; the first is on line 3"]),
        (FILE + "rules:\n  - {name: a, steps: [{set: {path: /a, value: no}}]}\n", None),
        (FILE + "values: {a: b}\nrules: []\n", ["transforms/a.yaml:2: values: unknown key; known here: apiVersion, rules"]),
        (FILE + "rules:\n  - name: a\n    steps:\n      - remove: {path: /a}\n      - remov: {path: /a}\n", ["transforms/a.yaml:6: rules[0].steps[1].remov: unknown key; did you mean `remove`?"]),
        ("a: b\n---\nc: d\n", ["transforms/a.yaml:2: a second document starts here. Give each object its own file."]),
    ],
)  # fmt: skip
def test_a_file_of_the_repository_is_read_strictly(text: str, expected: list[str] | None) -> None:
    found = file_faults(text)

    assert found == expected if expected is not None else len(found) == 1


def test_a_file_of_the_repository_is_bounded() -> None:
    assert file_faults(FILE + "# " + "a" * 300_000) == ["transforms/a.yaml: larger than 262,144 bytes"]
    deep = FILE + "rules: " + "[" * 200 + "]" * 200
    assert file_faults(deep) == ["transforms/a.yaml:2: nested deeper than 50 levels"]


def test_which_files_hold_rules_and_in_which_order_they_apply() -> None:
    there = ["transforms/b.yaml", "transforms/a.yaml", "transforms/tests/c.yaml", "transforms/README.md", "a.yaml",
             "transforms/.hidden.yaml", "x/transforms/a.yaml", "transforms/d.yml"]  # fmt: skip

    assert names_of(there) == ["transforms/a.yaml", "transforms/b.yaml"]


def test_the_repository_comes_before_the_configuration() -> None:
    one: dict[str, Any] = {"name": "mine", "steps": [{"remove": {"path": "/a"}}]}
    files = [
        (f"{name}.yaml", f"{FILE}rules: [{{name: {name}, steps: [{{remove: {{path: /a}}}}]}}]\n".encode())
        for name in "ab"
    ]

    rules = in_order(parsed(files), Transforms.model_validate({"rules": [one]}))

    assert [(rule.name, rule.origin) for rule in rules] == [
        ("a", "a.yaml"), ("b", "b.yaml"), ("mine", "configuration"),
    ]  # fmt: skip


def test_faults_of_all_files_come_at_once() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        parsed([("a.yaml", b"x: 1\n"), ("b.yaml", b"- 1\n"), ("c.yaml", (FILE + "rules: []\n").encode())])

    assert {fault.file for fault in refusal.value.faults} == {"a.yaml", "b.yaml"}
    assert "fromRepository" in refusal.value.hint


@pytest.mark.parametrize("page", ["write-a-rule.md", "template-a-host.md"])
def test_the_examples_of_the_how_tos_are_rules(page: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / "how-to" / page).read_text()
    seen = 0
    for block in (part.partition("```")[0] for part in text.split("```yaml\n")[1:]):
        if block.startswith("- "):
            steps = block.startswith("- template")
            lines = "".join(f"{'      ' if steps else '  '}{line}\n" for line in block.splitlines())
            head = "rules:\n  - name: a\n    steps:\n" if steps else "rules:\n"
            assert file_faults(FILE + head + lines) == []
            seen += 1
    assert seen
