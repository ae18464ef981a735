"""Every fault is reported at once, with its line, in words that help, and never with a secret."""

# ruff: noqa: E501 - a message is easier to compare in one piece

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drsyncer.config.load import parse
from drsyncer.errors import ConfigurationError, Fault

HEAD = "apiVersion: dr-syncer.io/v1\nrepository: {url: /srv/git}\n"


def faults(text: str | bytes) -> list[Fault]:
    data = text.encode() if isinstance(text, str) else text
    try:
        parse(data, file="f.yaml", folder=Path("/etc"))
    except ConfigurationError as error:
        return error.faults
    return []


def only(text: str | bytes) -> Fault:
    found = faults(text)
    assert len(found) == 1, found
    return found[0]


def importer(line: str) -> str:
    return f"{HEAD}importer:\n  cluster: dr\n  {line}\n"


def exporter(line: str) -> str:
    chosen = "" if line.startswith("secrets") else "  secrets: {mode: omit}\n"
    return f"{HEAD}exporter:\n  cluster: prod\n{chosen}  {line}\n"


def test_all_faults_come_at_once_and_by_line() -> None:
    found = faults(
        "apiVersion: dr-syncer.io/v2\n"
        "repository:\n"
        "  url: http://git.example.com/x.git\n"
        "  brnch: main\n"
        "exporter:\n"
        "  workers: 0\n"
        "importer:\n"
        "  cluster: dr\n"
        "  select:\n"
        "    exclude:\n"
        "      - types: [events]\n"
        "      - labels: 'tier in'\n"
    )

    assert [(fault.line, fault.path) for fault in found] == [
        (1, "apiVersion"),
        (3, "repository.url"),
        (4, "repository.brnch"),
        (5, "exporter.cluster"),
        (5, "exporter.secrets"),
        (6, "exporter.workers"),
        (12, "importer.select.exclude[1].labels"),
    ]
    assert str(found[2]) == "f.yaml:4: repository.brnch: unknown key; did you mean `branch`?"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("standBy: {}", "standby"),
        ("state_namespace: x", "stateNamespace"),
        ("prunes: {}", "prune"),
        ("nodeport: drop", "nodePorts"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(written: str, meant: str) -> None:
    assert only(importer(written)).message == f"unknown key; did you mean `{meant}`?"


def test_an_unknown_key_like_no_other_names_all_that_are_known() -> None:
    assert (
        only(importer("prune: {zzz: 1}")).message
        == "unknown key; known here: enabled, maxDeletions, maxDeletionPercent"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (exporter("workers: '4'"), "expected a whole number from 1 to 256, found text; write it without quotes"),
        (exporter("workers: 4.5"), "expected a whole number from 1 to 256, found a number"),
        (exporter("workers: true"), "expected a whole number from 1 to 256, found true or false"),
        (exporter("workers: 1000"), "expected a whole number from 1 to 256; this number is too large"),
        (exporter("guard: {maxDeletionPercent: 101}"), "expected a percentage from 0 to 100; this number is too large"),
        (exporter("context: 5"), "expected text, found a number; put it in quotes"),
        (exporter("context:"), "expected text, found no value"),
        (exporter("select: [a]"), "expected keys such as include, found a list"),
        (exporter("retry: {factor: .inf}"), "expected a number from 1 to 10 such as 2, found text"),
        (exporter("retry: {initial: 1m, max: 1s}"), "max must not be shorter than initial"),
        (exporter("select: {include: [{types: configmaps}]}"), 'expected a list such as ["web-*"], found text; put it in brackets or behind a `-`'),
        (exporter("select: {exclude: [{}]}"), "entry [0] names nothing, so it would exclude every object; give types, namespaces, names, labels, namespaceLabels or annotations"),
        (exporter("select: {disable: ['a b']}"), 'expected a name or a glob such as "web-*", not empty and without blanks'),
        (exporter("clean: {strip: [{paths: []}]}"), "expected a list such as [/spec/replicas] with at least one entry"),
        (importer("prune: {}").replace("cluster: dr", "cluster: Prod"), "expected a name of lower-case letters, digits, `-` and `.`, at most 63 characters, with a letter or digit at both ends"),
        (importer("timeouts: {crds: 60}"), "expected a duration such as 30s; a number alone has no unit"),
        (importer("timeouts: {crds: 1 minute}"), "expected a duration such as 500ms, 30s, 5m or 1h30m"),
        (importer("timeouts: {crds: 25h}"), "expected more than 0s and at most 24h"),
        (importer("timeouts: {crds: 0s}"), "expected more than 0s and at most 24h"),
        (importer("adopt: alway"), "expected one of never, matching, always; did you mean `always`?"),
        (importer("adopt: [never]"), "expected one of never, matching, always, found a list"),
        (importer("standby: {enabled: yes}"), "expected true or false, found text"),
        (importer("revision: {branch: main, tag: v1}"), "expected only one of branch, tag, commit and semver"),
        (importer("revision: {commit: HEAD}"), "expected a commit: 7 to 64 hexadecimal digits (quote one that has only digits)"),
        (importer("transforms: {namespaces: {a: 'b-*'}}"), "a `*` on the right needs a `*` on the left that says what to put there"),
        (importer("transforms: {hosts: {'*.a.com': b.com}}"), "`*.` must stand on both sides or on neither"),
        (importer("transforms: {accessModes: {RWO: ReadWriteOnce}}"), "expected one of ReadWriteOnce, ReadOnlyMany, ReadWriteMany, ReadWriteOncePod"),
        (importer("transforms: {labels: {add: {a: b}, remove: [a]}}"), "a stands under add and under remove; keep one of them"),
        (importer("transforms: {labels: {add: {dr-syncer.io/tier: a}}}"), "keys under dr-syncer.io/ and applyset.kubernetes.io/ are DR-Syncer's own and cannot be changed"),
        (importer("transforms: {labels: {add: {a: 'b c'}}}"), "expected a label's value: at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends, or nothing"),
    ],
)  # fmt: skip
def test_a_wrong_value_says_what_was_expected(text: str, message: str) -> None:
    assert only(text).message == message


@pytest.mark.parametrize("branch", ["", "-x", "a..b", "a b", "a~1", "x.lock", "refs/heads/main", "@", "a//b", "x/"])
def test_a_branch_that_git_would_not_take_is_refused(branch: str) -> None:
    assert only(HEAD.replace("{url:", f"{{branch: '{branch}', url:")).path == "repository.branch"


@pytest.mark.parametrize(
    "url",
    ["", "-oProxyCommand=x", "http://a/b", "git://a/b", "ext::sh -c x", "ext::x", "ftp://a/b", "ssh://host", "ssh:///x",
     "https://token@host/x", "https://host/x?token=1", "file://srv/x", "a b"],
)  # fmt: skip
def test_a_url_that_is_unsafe_or_incomplete_is_refused(url: str) -> None:
    assert only(HEAD.replace("/srv/git", f"'{url}'")).path == "repository.url"


@pytest.mark.parametrize("path", ["/abs", "../x", "a/../b", "a//b", "./a", "a/.git/b", "a\\\\b"])
def test_a_folder_that_leaves_the_repository_is_refused(path: str) -> None:
    assert only(HEAD.replace("{url:", f'{{path: "{path}", url:')).path == "repository.path"


@pytest.mark.parametrize(
    ("text", "line", "path"),
    [
        (exporter("secrets: {mode: encrypt}"), 5, "exporter.secrets"),
        (exporter("secrets:\n    recipients: []"), 5, "exporter.secrets"),
        (f"{HEAD}exporter:\n  cluster: prod\n", 3, "exporter.secrets"),
    ],
)
def test_encryption_for_nobody_names_the_three_ways_that_there_are(text: str, line: int, path: str) -> None:
    fault = only(text)

    assert (fault.line, fault.path) == (line, path)
    for choice in ("recipients: [age1…]", "mode: omit", "mode: plaintext"):
        assert f"`{choice}`" in fault.message


KEY = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"


@pytest.mark.parametrize(
    ("line", "path", "message"),
    [
        ("recipients: [age1qqq]", "recipients[0]", "damaged"),
        (f"recipients: [{KEY[:-1]}x]", "recipients[0]", "damaged"),
        ("recipients: ['ssh-ed25519 AAAA me@here']", "recipients[0]", "damaged"),
        ("recipients: [ecdsa-sha2-nistp256 AAAA]", "recipients[0]", "expected an age public key"),
        (f"recipients: [AGE-SECRET-KEY-1{'Q' * 58}]", "recipients[0]", "an age identity does not belong in this file"),
        (f"recipients: [{KEY}, '{KEY} ']", "", "twice"),
        ("mode: encrypted", "mode", "did you mean `encrypt`?"),
        ("{mode: omit, alsoEncrypt: [{match: {types: [configmaps]}}]}", "", "alsoEncrypt needs `recipients`"),
        (f"{{recipients: [{KEY}], alsoEncrypt: [{{match: {{}}}}]}}", "alsoEncrypt[0].match", "names nothing"),
        (f"{{recipients: [{KEY}], alsoEncrypt: [{{}}]}}", "alsoEncrypt[0].match", "required"),
        *(
            (
                f"{{recipients: [{KEY}], alsoEncrypt: [{{match: {{names: [a]}}, keys: ['{key}']}}]}}",
                "alsoEncrypt[0].keys[0]",
                "name of a key",
            )
            for key in ("metadata", "kind", "sops", "annotations", "a b", "", ".*", "a|b")
        ),
        ("{mode: omit, digestKeyNamespace: A_B}", "digestKeyNamespace", "name of a namespace"),
    ],
)
def test_what_is_wrong_with_encryption_is_said_where_it_stands(line: str, path: str, message: str) -> None:
    section = line if line.startswith("{") else f"{{{line}}}"
    fault = only(exporter(f"secrets: {section}"))

    assert fault.path == f"exporter.secrets.{path}".rstrip(".")
    assert message in fault.message
    assert "QQQQ" not in str(fault)


def test_a_selector_and_a_path_are_checked_when_the_file_is_read() -> None:
    found = faults(exporter("clean: {keep: [{match: {labels: 'a in'}, paths: [spec..x]}]}"))

    assert [fault.path for fault in found] == ["exporter.clean.keep[0].match.labels", "exporter.clean.keep[0].paths[0]"]


def test_a_missing_key_is_reported_where_its_section_stands() -> None:
    fault = only(f"{HEAD}\n\nexporter:\n  workers: 4\n  secrets: {{mode: omit}}\n")

    assert (fault.line, fault.path) == (5, "exporter.cluster")
    assert fault.message == "this key is required and missing; for example `cluster: prod`"


def test_an_empty_section_misses_its_required_key() -> None:
    assert [fault.path for fault in faults(f"{HEAD}exporter:\n")] == ["exporter.cluster", "exporter.secrets"]


def test_keys_that_stand_twice_are_all_reported() -> None:
    found = faults(
        f"{HEAD}exporter:\n  cluster: a\n  cluster: b\n  workers: 1\n  workers: 2\n  secrets: {{mode: omit}}\n"
    )

    assert [(fault.line, fault.message) for fault in found] == [
        (5, "stands here a second time; the first is on line 4"),
        (7, "stands here a second time; the first is on line 6"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\n\tb: 2\n", 2, "a tab where YAML wants spaces"),
        ("a: 1\n---\nb: 2\n", 2, "a second document; the configuration is one document"),
        ("a: *x\n", 1, "an alias (`*name`) without its anchor (`&name`)"),
        ("", 1, "is empty"),
        ("# only a comment\n", 1, "is empty"),
        ("- a\n", 1, "expected keys such as apiVersion and repository"),
        ("apiVersion: \x01\n", 1, "holds a control character, which YAML does not allow"),
        (b"a: 1\nb: \xff\n", 2, "is not UTF-8 text"),
        ("[" * 600, 1, "is nested too deeply"),
    ],
)
def test_what_is_not_one_yaml_document_is_reported_with_its_line(text: str | bytes, line: int, message: str) -> None:
    fault = only(text)

    assert (fault.line, fault.message) == (line, message)


def test_broken_yaml_is_reported_without_a_piece_of_the_file() -> None:
    fault = only('a: "hunter2\nb: [hunter2\n')

    assert fault.message.startswith("not YAML: ")
    assert "hunter2" not in fault.message


def test_tags_and_merge_keys_are_refused() -> None:
    found = faults(f"{HEAD}exporter: &e\n  cluster: !name prod\nimporter:\n  <<: *e\n  cluster: dr\n")

    assert [fault.line for fault in found if "tags" in fault.message or "`<<`" in fault.message] == [4, 6]


def test_aliases_that_multiply_are_stopped() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]

    assert any("too large or too deep" in fault.message for fault in faults("\n".join(lines)))
    assert any("too large or too deep" in fault.message for fault in faults("a: &a [*a]\n"))


SECRET = "hunter2hunter2hunter2"


@pytest.mark.parametrize(
    "text",
    [
        HEAD.replace("/srv/git", f"https://bob:{SECRET}@git.example.com/x.git"),
        HEAD.replace("/srv/git", f"ssh://bob:{SECRET}@git.example.com/x.git"),
        HEAD.replace("/srv/git", f"bob:{SECRET}@git.example.com:x.git"),
        HEAD.replace("/srv/git", f"https://{SECRET}@git.example.com/x.git"),
        HEAD.replace("{url:", f"{{token: {SECRET}, url:"),
        HEAD.replace("{url:", f"{{auth: {{password: {SECRET}}}, url:"),
        HEAD.replace("{url:", f"{{auth: {{sshKeyFile: '-----BEGIN {SECRET}'}}, url:"),
        HEAD.replace("{url:", f"{{auth: {{tokenFile: ghp_{SECRET}}}, url:"),
        importer(f"ageIdentity: AGE-SECRET-KEY-1{SECRET}"),
        importer(f"transforms: {{annotations: {{add: {{x: 'amqp://u:{SECRET}@h/'}}}}}}"),
        importer(f"transforms: {{annotations: {{add: {{AGE-SECRET-KEY-1{SECRET}: x}}}}}}"),
        importer(f"select: {{exclude: [{{labels: 'glpat-{SECRET} in'}}]}}"),
        importer(f"identity: {SECRET}"),
        importer(f"privateKey: |\n    {SECRET}"),
    ],
)
def test_a_secret_is_an_error_that_says_where_it_belongs_and_does_not_repeat_it(text: str) -> None:
    fault = only(text)

    assert SECRET not in str(fault)
    assert "file" in fault.message or "auth." in fault.message


def test_names_that_only_sound_secret_are_fine_where_people_choose_them() -> None:
    assert faults(importer("transforms: {namespaces: {identity: identity-dr, token: token-dr}}")) == []


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["types", "labels", "url", "x"]), inner)
    ),
    max_leaves=8,
)


@given(st.binary(max_size=200))
def test_no_file_breaks_the_loader(data: bytes) -> None:
    faults(data)


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from(["apiVersion", "repository", "exporter", "importer"]),
        st.dictionaries(
            st.sampled_from(
                ["url", "path", "auth", "select", "clean", "retry", "revision", "transforms", "prune", "cluster"]
            ),
            values,
        ),
    )
)
def test_no_value_in_any_place_breaks_the_loader(document: dict[str, object]) -> None:
    assert faults(json.dumps(document))
