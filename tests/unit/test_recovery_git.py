"""The local clone: what it holds, and what is committed to it."""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drsyncer.errors import GitError, RevisionNotFound, UsageError
from drsyncer.recovery.git import CloneDamaged, TreeFile
from tests.unit.recovery_sandbox import NOON, Sandbox, commit, export, git


@pytest.fixture(params=["sha1", "sha256"])
def either_hash(tmp_path, request):
    return Sandbox(tmp_path, object_format=request.param)


@pytest.fixture
def sandbox(tmp_path):
    return Sandbox(tmp_path)


def test_an_empty_repository_gets_its_first_commit(either_hash):
    with either_hash.open() as clone:
        assert clone.fetch() is None
        assert clone.base() is None
        assert clone.heartbeat() is None

        head = export(clone, {"cluster/namespaces/shop.yaml": "kind: Namespace\n"}, message="first\n\nbody")

        assert clone.base() == head
        assert clone.unpushed() == []
    assert either_hash.head() == head
    assert either_hash.content("cluster/namespaces/shop.yaml") == "kind: Namespace\n"
    assert git("log", "-1", "--format=%an <%ae> %aI %cI %B", cwd=either_hash.repository).strip() == (
        "DR-Syncer <dr-syncer@localhost> 2024-05-01T12:00:00+00:00 2024-05-01T12:00:00+00:00 first\n\nbody"
    )
    either_hash.fsck()


def test_a_missing_branch_is_made(sandbox):
    others = sandbox.somebody_commits({"README.md": "hello"})
    with sandbox.open(branch="dr/prod") as clone:
        assert clone.fetch() is None

        head = export(clone, {"a.yaml": "1"})

    assert sandbox.refs() == {"refs/heads/main": others, "refs/heads/dr/prod": head}
    assert sandbox.paths(revision="dr/prod") == ["a.yaml"]


def test_a_branch_may_have_the_name_of_another_ones_folder(sandbox):
    for branch in ("dr", "dr/prod"):
        with sandbox.open(branch=branch) as clone:
            commit(clone, {"a.yaml": branch})
    with sandbox.open(branch="dr/prod") as clone:
        assert len(clone.unpushed()) == 1


def test_an_unchanged_tree_makes_no_commit(either_hash):
    with either_hash.open() as clone:
        assert commit(clone, {}, delete=("nothing.yaml",)) is None
        head = export(clone, {"a.yaml": "1", "b.yaml": "2"})

        assert commit(clone, {"a.yaml": "1"}) is None
        assert commit(clone, {}, delete=("c.yaml",)) is None

        assert clone.base() == head
        assert clone.push(heartbeat=None).pushed == ()
    assert either_hash.head() == head


def test_files_can_all_be_deleted_and_come_back(sandbox):
    with sandbox.open() as clone:
        export(clone, {"a/b.yaml": "1", "a/c.yaml": "2"})
        export(clone, {}, delete=("a/b.yaml", "a/c.yaml"))
        assert clone.files(clone.base()) == {}
        export(clone, {"a": "a file now"})
        export(clone, {"a/b.yaml": "3"}, delete=("a",))
    assert sandbox.paths() == ["a/b.yaml"]
    sandbox.fsck()


def test_leaving_a_stage_without_commit_changes_nothing(sandbox):
    with sandbox.open() as clone:
        head = export(clone, {"a.yaml": "1"})
        with clone.stage() as stage:
            stage.add(b"never mind" * 1_000)
        with pytest.raises(ZeroDivisionError), clone.stage() as stage:
            stage.add(b"never mind either" * (1 // 0))
        assert clone.base() == head
        assert not list(sandbox.clone_folder().glob("objects/pack/tmp_*"))
        assert commit(clone, {"a.yaml": "2"})


def test_a_stage_builds_on_the_base_and_on_nothing_else(sandbox):
    with sandbox.open() as clone:
        first = export(clone, {"a.yaml": "1"})
        commit(clone, {"a.yaml": "2"})
        with clone.stage() as stage, pytest.raises(GitError, match="would leave out"):
            stage.commit(parent=first, put={}, delete=(), message="", when=NOON)
        with clone.stage() as stage:
            put = {"a.yaml": stage.add(b"3")}
            stage.commit(parent=clone.base(), put=put, delete=(), message="", when=NOON)
            with pytest.raises(GitError, match="one commit"):
                stage.commit(parent=clone.base(), put=put, delete=(), message="", when=NOON)


def test_a_blob_that_is_nowhere_makes_no_commit(sandbox):
    with sandbox.open() as clone:
        head = export(clone, {"a.yaml": "1"})
        for blob_id in ("f" * 40, "x\nM 100644 inline a"):
            with pytest.raises(GitError), clone.stage() as stage:
                stage.commit(parent=head, put={"a.yaml": blob_id}, delete=(), message="", when=NOON)
        assert clone.base() == head
        assert not list(sandbox.clone_folder().glob("fast_import_crash_*"))


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", "../a", "a/../../b", ".", ".git/config", "a/.GIT/x", "a\0b"])
def test_a_path_that_leaves_the_folder_is_refused(sandbox, path):
    with sandbox.open(path="prod") as clone:
        with pytest.raises(UsageError):
            commit(clone, {path: "1"})
        with pytest.raises(UsageError):
            commit(clone, {"a": "1"}, delete=(path,))
        assert clone.base() is None


ODD = [
    "a b",
    ' "quoted"',
    "new\nline",
    "tab\t",
    "back\\slash",
    "é/ü",
    "-dash",
    ":colon",
    "*",
    "\udcff\udcfe",
    "a'b",
    "\x7f",
]


def test_odd_file_names_come_back_as_they_are(either_hash):
    with either_hash.open(path="a folder/é") as clone:
        export(clone, {name: name.encode("utf-8", "replace").decode() for name in ODD})
        files = clone.files(clone.base())
        assert sorted(files) == sorted(ODD)
        assert sorted(path for _, path in next(clone.history("main")).changes) == sorted(ODD)
        assert list(clone.files(clone.base(), under="é")) == ["é/ü"]
        export(clone, {}, delete=tuple(ODD[1:]))
        assert list(clone.files(clone.base())) == [ODD[0]]
    either_hash.fsck()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.binary(), min_size=1))
def test_what_was_written_is_read(sandbox, contents):
    with sandbox.open() as clone:
        gone = tuple(clone.files(clone.base())) if clone.base() else ()
        with clone.stage() as stage:
            put = {path: stage.add(data) for path, data in contents.items()}
            stage.commit(parent=clone.base(), put=put, delete=gone, message="m", when=NOON)

        files = clone.files(clone.base())
        read = dict(clone.read([file.blob_id for file in files.values()], max_size=10_000))

        assert {path: read[file.blob_id] for path, file in files.items()} == contents
        assert all(clone.blob_id(data) == files[path].blob_id for path, data in contents.items())
        assert all(files[path] == TreeFile("100644", put[path], len(data)) for path, data in contents.items())


def test_what_is_too_large_is_not_loaded(sandbox):
    with sandbox.open() as clone:
        export(clone, {"small": "x" * 10, "large": "x" * 3_000_000, "last": "y" * 10})
        files = clone.files(clone.base())
        wanted = [files[name].blob_id for name in ("small", "large", "last", "small")]

        assert [data for _, data in clone.read(wanted, max_size=10)] == [b"x" * 10, None, b"y" * 10, b"x" * 10]
        assert list(clone.read([], max_size=10)) == []
        for _ in clone.read(wanted * 10_000, max_size=10):
            break  # a reader that goes away early leaves nothing hanging


@pytest.mark.parametrize("blob_id", ["0" * 39 + "1", "a\nb", "--batch", "HEAD"])
def test_a_blob_that_is_not_there_is_damage(sandbox, blob_id):
    with sandbox.open() as clone:
        export(clone, {"a": "1"})
        with pytest.raises(CloneDamaged):
            list(clone.read([blob_id], max_size=10))
        with pytest.raises(CloneDamaged):
            list(clone.read([clone.base()], max_size=10))


def test_symbolic_links_and_submodules_show_by_their_mode(sandbox):
    folder = sandbox.work_tree()
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "script").write_text("")
    (folder / "script").chmod(0o755)
    git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module", cwd=folder)
    git("add", "link", "script", cwd=folder)
    git("commit", "-q", "-m", "x", cwd=folder)
    git("push", "-q", "origin", "HEAD:main", cwd=folder)
    with sandbox.open() as clone:
        files = clone.files(clone.fetch())

    assert {path: (file.mode, file.regular) for path, file in files.items()} == {
        "link": ("120000", False),
        "module": ("160000", False),
        "script": ("100755", True),
    }
    assert files["module"].size == -1
    assert files["link"].size == len("/etc/passwd")


def test_only_what_is_below_the_path_is_seen(sandbox):
    sandbox.somebody_commits({"README.md": "x", "prod/a.yaml": "1", "prod/b/c.yaml": "2", "production/a.yaml": "3"})
    with sandbox.open(path="prod") as clone:
        assert sorted(clone.files(clone.base())) == ["a.yaml", "b/c.yaml"]
        assert list(clone.files(clone.base(), under="b")) == ["b/c.yaml"]
        assert clone.files(clone.base(), under="none") == {}
        assert clone.files(clone.base(), under="a.yaml") == {}
        with pytest.raises(UsageError):
            clone.files(clone.base(), under="../production")
        with pytest.raises(RevisionNotFound):
            clone.files("--help")
    with sandbox.open(path="none") as clone:
        assert clone.files(clone.base()) == {}


def test_a_revision_is_a_branch_a_tag_or_a_commit(sandbox):
    first = sandbox.somebody_commits({"a": "1"})
    second = sandbox.somebody_commits({"a": "2"})
    git("branch", "dr/eu", first, cwd=sandbox.repository)
    git("branch", "both", first, cwd=sandbox.repository)
    git("tag", "-a", "-m", "x", "both", second, cwd=sandbox.repository)
    git("tag", "-a", "-m", "x", "v1.0.0", first, cwd=sandbox.repository)
    with sandbox.open() as clone:
        expected = {
            "main": second,
            "dr/eu": first,
            "v1.0.0": first,
            first: first,
            first[:7]: first,
            "both": first,
            "refs/tags/both": second,
            "refs/heads/both": first,
        }
        assert {name: clone.resolve(name) for name in expected} == expected


@pytest.mark.parametrize(
    "revision",
    [
        "nothing", "", "-h", "--all", "HEAD", "main~1", "main^", "main^{tree}", "main:a", "main@{0}", "@", "..", "a..b",
        "../heads/main", "refs/remotes/origin/main", "refs/local/head/main", "main\n", "ma in", "0" * 40, "abcdef1",
        "*", "\udcff", ":/by hand", "tree", "blob",
    ],
)  # fmt: skip
def test_what_is_no_revision_is_not_found(sandbox, revision):
    sandbox.somebody_commits({"a": "1"})
    git("tag", "tree", "main^{tree}", cwd=sandbox.repository)
    git("tag", "blob", "main:a", cwd=sandbox.repository)
    with sandbox.open() as clone, pytest.raises(RevisionNotFound):
        clone.resolve(revision)


def test_the_history_tells_who_changed_what(sandbox):
    with sandbox.open(path="prod") as clone:
        export(clone, {"a.yaml": "1", "b/c.yaml": "1"}, message="one\n\nline\n\nTrailer: x\n")
        sandbox.somebody_commits({"README.md": "x"}, message="unrelated")
        merged = sandbox.somebody_commits({"prod/a.yaml": "by hand"}, message="second\n\nwith a body")
        clone.fetch()
        export(clone, {"a.yaml": "2"}, delete=("b/c.yaml",), message="three")

        commits = list(clone.history("main"))

        assert [(c.subject, c.changes) for c in commits] == [
            ("three", (("M", "a.yaml"), ("D", "b/c.yaml"))),
            ("second", (("M", "a.yaml"),)),
            ("one", (("A", "a.yaml"), ("A", "b/c.yaml"))),
        ]
        assert (commits[1].id, commits[1].author, commits[1].body) == (merged, "Other", "with a body")
        assert commits[2].message == "one\n\nline\n\nTrailer: x"
        assert (commits[2].time, commits[2].author) == (NOON, "DR-Syncer")
        assert [c.subject for c in clone.history("main", paths=["b"])] == ["three", "one"]
        assert [c.subject for c in clone.history(merged, paths=["b/c.yaml"], limit=5)] == ["one"]
        assert [c.subject for c in clone.history("main", limit=1)] == ["three"]
        late = NOON + timedelta(hours=1)
        assert [c.subject for c in clone.history("main", since=late)] == ["second"]
        assert [c.subject for c in clone.history("main", since=NOON, limit=2)] == ["three", "second"]
    with sandbox.open() as clone:
        assert len(list(clone.history("main"))) == 4


def test_a_merge_counts_with_what_it_brought(sandbox):
    sandbox.somebody_commits({"a": "1"})
    folder = sandbox.work_tree()
    git("checkout", "-q", "-b", "side", cwd=folder)
    (folder / "b").write_text("2")
    git("add", "b", cwd=folder)
    git("commit", "-q", "-m", "side", cwd=folder)
    git("checkout", "-q", "-", cwd=folder)
    git("merge", "-q", "--no-ff", "-m", "merge", "side", cwd=folder)
    git("push", "-q", "origin", "HEAD:main", cwd=folder)
    with sandbox.open() as clone:
        assert [(c.subject, c.changes) for c in clone.history("main", limit=1)] == [("merge", (("A", "b"),))]


def test_a_time_without_zone_is_a_programming_error(sandbox):
    with sandbox.open() as clone, pytest.raises(ValueError, match="time zone"):
        commit(clone, {"a": "1"}, when=datetime(2024, 1, 1))


def test_twenty_thousand_files_take_seconds_and_an_update_takes_none(sandbox):
    content = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {}\ndata:\n  key: value\n"
    with sandbox.open() as clone:
        begun = time.monotonic()
        export(clone, {f"namespaces/n{i % 50}/configmaps/c{i}.yaml": content.format(i) for i in range(20_000)})
        first = time.monotonic() - begun
        begun = time.monotonic()
        commit(clone, {"namespaces/n1/configmaps/c1.yaml": "changed"})
        update = time.monotonic() - begun
        begun = time.monotonic()
        files = clone.files(clone.base())
        total = sum(len(data or b"") for _, data in clone.read([f.blob_id for f in files.values()], max_size=10_000))
        read = time.monotonic() - begun
    sys.stdout.write(f"20,000 files: first {first:.2f} s, update {update:.3f} s, all read {read:.2f} s\n")
    assert total > 1_000_000
    # Generous: the machine may be busy. What it guards against is a factor of ten.
    assert first < 20
    assert update < 1
