"""What is in effect after a file was read."""

from __future__ import annotations

from pathlib import Path

import pytest

from drsyncer.config.load import load, parse
from drsyncer.config.schema import Config
from drsyncer.errors import ConfigurationError

SMALLEST = """\
apiVersion: dr-syncer.io/v1
repository: {url: "ssh://git@git.example.com/dr.git"}
"""
BOTH = SMALLEST + "exporter: {cluster: prod, secrets: {mode: omit}}\nimporter: {cluster: dr}\n"


def read(text: str, *, folder: str = "/etc/dr-syncer") -> Config:
    return parse(text.encode(), file="dr-syncer.yaml", folder=Path(folder))


def test_only_the_url_the_clusters_and_what_becomes_of_secrets_are_required() -> None:
    config = read(BOTH)

    assert config.exporter is not None
    assert config.importer is not None
    assert (config.repository.branch, config.repository.timeout) == ("main", 60.0)
    assert (config.exporter.workers, config.exporter.secrets.mode, config.exporter.guard.max_deletions) == (
        4,
        "omit",
        50,
    )
    assert (config.importer.workers, config.importer.adopt, config.importer.timeouts.crds) == (16, "matching", 60.0)
    assert (config.importer.retry.initial, config.importer.retry.maximum, config.importer.retry.attempts) == (
        0.5,
        30.0,
        8,
    )


def test_a_side_that_is_not_there_is_none() -> None:
    config = read(SMALLEST)

    assert config.exporter is None
    assert config.importer is None


def test_an_importer_without_revision_follows_the_branch_of_the_repository() -> None:
    following = read(BOTH.replace("{url:", "{branch: live, url:")).importer
    pinned = read(BOTH.replace("{cluster: dr}", "{cluster: dr, revision: {tag: v1.4.0}}")).importer

    assert following is not None
    assert following.revision.branch == "live"
    assert pinned is not None
    assert (pinned.revision.text, pinned.revision.branch) == ("v1.4.0", "")


@pytest.mark.parametrize("include", ["", "include: ", "include: []", 'include: [{types: ["*"]}]'])
def test_without_an_include_everything_is_included(include: str) -> None:
    exporter = read(SMALLEST + f"exporter: {{cluster: prod, secrets: {{mode: omit}}, select: {{{include}}}}}").exporter

    assert exporter is not None
    assert [entry.types for entry in exporter.select.include] == [("*",)]


def test_a_section_with_only_comments_below_counts_as_left_out() -> None:
    commented = read(
        "apiVersion: dr-syncer.io/v1\nrepository:\n  url: /srv/git\n  auth:\n    # sshKeyFile: x\n"
        "importer:\n  cluster: dr\n  transforms:\n    images:\n      # a: b\n"
    )

    assert commented.repository.auth.ssh_key_file == ""
    assert commented.importer is not None
    assert commented.importer.transforms.images == {}


def test_paths_start_from_the_folder_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ops")
    config = read(
        "apiVersion: dr-syncer.io/v1\n"
        "repository: {url: ../git/dr.git, cacheDir: ~/cache, auth: {sshKeyFile: keys/id, caFile: /etc/ca.pem}}\n"
        "exporter: {cluster: prod, kubeconfig: kube/prod, secrets: {mode: omit}}\n"
    )

    assert config.repository.url == "/etc/dr-syncer/../git/dr.git"
    assert config.repository.cache_dir == "/home/ops/cache"
    assert config.repository.auth.ssh_key_file == "/etc/dr-syncer/keys/id"
    assert config.repository.auth.ca_file == "/etc/ca.pem"
    assert config.repository.auth.token_file == ""
    assert config.exporter is not None
    assert config.exporter.kubeconfig == "/etc/dr-syncer/kube/prod"


@pytest.mark.parametrize(
    "url",
    [
        "ssh://git@git.example.com/dr.git",
        "ssh://git@[2001:db8::1]:2222/dr.git",
        "https://git.example.com/dr/recovery.git",
        "file:///srv/git/dr.git",
        "git@git.example.com:dr/recovery.git",
        "git.example.com:dr.git",
        "/srv/git/dr.git",
    ],
)
def test_urls_that_git_takes_are_kept_as_they_are(url: str) -> None:
    assert read(SMALLEST.replace("ssh://git@git.example.com/dr.git", url)).repository.url == url


def test_values_keep_the_meaning_that_they_have_in_yaml_1_2() -> None:
    importer = read(
        SMALLEST + 'importer: {cluster: dr, transforms: {labels: {add: {a: yes, b: 2001-01-01, c: "1", d: 0x1f}}}}'
    ).importer

    assert importer is not None
    assert dict(importer.transforms.labels.add) == {"a": "yes", "b": "2001-01-01", "c": "1", "d": "0x1f"}


def test_the_folder_inside_the_repository_is_normal() -> None:
    assert read(SMALLEST.replace("{url:", "{path: clusters/prod/, url:")).repository.path == "clusters/prod"


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read(SMALLEST).repository.branch = "other"


def test_anchors_may_be_used() -> None:
    exporter = read(
        SMALLEST
        + "exporter:\n  cluster: prod\n  secrets: {mode: omit}\n"
        + "  select:\n    exclude: &out [{names: [tmp]}]\n    include: *out\n"
    ).exporter

    assert exporter is not None
    assert exporter.select.include == exporter.select.exclude


def test_the_given_file_goes_before_the_environment_and_that_before_the_usual_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, branch in (("given.yaml", "given"), ("named.yaml", "named"), ("dr-syncer.yaml", "usual")):
        (tmp_path / name).write_text(SMALLEST.replace("{url:", f"{{branch: {branch}, url:"))
    environ = {"DR_SYNCER_CONFIG": "named.yaml"}

    assert load(Path("given.yaml"), environ=environ).config.repository.branch == "given"
    assert load(None, environ=environ).config.repository.branch == "named"
    assert load(None, environ={}).config.repository.branch == "usual"
    assert load(None, environ={"DR_SYNCER_CONFIG": ""}).file == "dr-syncer.yaml"


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such file") as caught:
        load(tmp_path / "none.yaml", environ={})

    assert "dr-syncer init" in caught.value.hint


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load(tmp_path, environ={})
