"""The local clone: its remote, its neighbours, and coming back from damage."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import pytest

from drsyncer.errors import GitError, RemoteUnreachable
from drsyncer.recovery.git import Clone, CloneDamaged, Remote
from tests.unit.recovery_sandbox import NOON, Sandbox, commit, export, git


@pytest.fixture
def sandbox(tmp_path):
    return Sandbox(tmp_path)


def test_a_rewritten_branch_is_no_error_and_is_told(sandbox):
    old = sandbox.somebody_commits({"a": "1", "secret": "x"})
    with sandbox.open() as clone:
        assert export(clone, {"b": "1"})
        before = clone.base()
        git("commit", "-q", "--amend", "-m", "rewritten", cwd=sandbox.work_tree())
        git("push", "-q", "-f", "origin", "HEAD:main", cwd=sandbox.work_tree())
        assert clone.rewritten is None

        now = clone.fetch()

        assert clone.rewritten == (before, now)
        assert now != old
        assert clone.base() == now
        assert clone.unpushed() == []


def test_only_what_was_never_pushed_outlives_a_rewrite(sandbox):
    sandbox.somebody_commits({"a": "1"})
    with sandbox.open() as clone:
        export(clone, {"pushed": "1"}, message="pushed")
        commit(clone, {"waiting": "1"}, message="waiting")
        git("commit", "-q", "--amend", "-m", "rewritten", cwd=sandbox.work_tree())
        git("push", "-q", "-f", "origin", "HEAD:main", cwd=sandbox.work_tree())

        clone.fetch()
        clone.push(heartbeat=None)

    assert sandbox.subjects() == ["rewritten", "waiting"]
    assert sandbox.paths() == ["a", "waiting"]


def test_a_repository_that_was_lost_is_filled_again(sandbox):
    with sandbox.open() as clone:
        head = export(clone, {"a": "1"})
        shutil.rmtree(sandbox.repository)
        sandbox.create()

        assert clone.fetch() is None
        assert clone.rewritten == (head, None)
        assert clone.base() == head
        clone.push(heartbeat=None)
    assert sandbox.head() == head


def test_a_repository_made_anew_with_another_hash_is_followed(sandbox):
    with sandbox.open() as clone:
        export(clone, {"a": "1"})
        shutil.rmtree(sandbox.repository)
        sandbox.object_format = "sha256"
        sandbox.create()
        head = sandbox.somebody_commits({"README.md": "x"})

        assert clone.fetch() == head

        assert clone.notices
        assert len(export(clone, {"a": "1"})) == 64
    assert sandbox.paths() == ["README.md", "a"]


def test_an_empty_repository_with_another_hash_is_followed_the_next_time(sandbox):
    with sandbox.open() as clone:
        export(clone, {"a": "1"})
    shutil.rmtree(sandbox.repository)
    sandbox.object_format = "sha256"
    sandbox.create()
    with pytest.raises(CloneDamaged), sandbox.open() as clone:
        clone.push(heartbeat=None)
    with sandbox.open() as clone:
        assert len(export(clone, {"a": "1"})) == 64
    assert sandbox.paths() == ["a"]


def test_an_unreachable_remote_says_so(tmp_path):
    with pytest.raises(RemoteUnreachable, match="does not appear to be a git repository") as error:
        Clone.open(Remote(url=str(tmp_path / "none.git"), cache_dir=str(tmp_path / "cache")))
    assert "repository.url" in error.value.hint


def test_a_remote_that_hangs_is_given_up(sandbox, monkeypatch, tmp_path):
    remote = sandbox.remote(timeout=0.5)
    with Clone.open(remote):
        pass
    fake = tmp_path / "bin" / "ssh"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nsleep 60\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    begun = time.monotonic()
    with pytest.raises(RemoteUnreachable, match=r"no answer within 0\.5 s"):
        Clone.open(Remote(url="git@git.example.com:dr.git", cache_dir=str(tmp_path / "cache"), timeout=0.5))
    assert time.monotonic() - begun < 5


def test_a_clone_works_without_its_remote(sandbox):
    with sandbox.open() as clone:
        export(clone, {"a": "1"})
    sandbox.repository.rename(sandbox.folder / "gone")
    with Clone.open(sandbox.remote()) as clone:
        with pytest.raises(RemoteUnreachable):
            clone.fetch()
        assert list(clone.files(clone.base())) == ["a"]
        assert commit(clone, {"a": "2"})
        with pytest.raises(RemoteUnreachable):
            clone.push(heartbeat=None)
        assert len(clone.unpushed()) == 1


def test_the_surroundings_do_not_reach_git(sandbox, monkeypatch, tmp_path):
    other = tmp_path / "decoy"
    git("init", "-q", other, cwd=tmp_path)
    (tmp_path / "hostile").write_text('[core]\n\thooksPath = /nonexistent\n[user]\n\tname = "Wrong"\nbroken')
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, str(other / "nowhere"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "hostile"))
    monkeypatch.setenv("GIT_NAMESPACE", "decoy")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    with sandbox.open() as clone:
        head = export(clone, {"a": "1"})
    assert sandbox.refs() == {"refs/heads/main": head}


def test_a_relative_url_means_here(sandbox, monkeypatch):
    monkeypatch.chdir(sandbox.folder)
    with Clone.open(Remote(url="recovery.git", cache_dir="cache")) as clone:
        clone.fetch()
        export(clone, {"a": "1"})
    assert sandbox.paths() == ["a"]
    assert (sandbox.folder / "cache").stat().st_mode & 0o777 == 0o700


def test_a_clone_that_is_in_use_names_its_user(sandbox):
    with sandbox.open():
        begun = time.monotonic()
        with pytest.raises(GitError, match=f"process {os.getpid()}"):
            Clone.open(sandbox.remote(), wait=0.3)
        assert 0.3 <= time.monotonic() - begun < 3
    with sandbox.open(wait=0):
        pass


def test_many_commits_are_packed(sandbox):
    with sandbox.open() as clone:
        assert not clone.gc_if_due()
        for number in range(55):
            with clone.stage() as stage:
                put = {f"{i}": stage.add(f"{number} {i}".encode()) for i in range(100)}
                stage.commit(parent=clone.base(), put=put, delete=(), message="m", when=NOON)
        assert clone.gc_if_due()
        assert not clone.gc_if_due()
        assert len(clone.unpushed()) == 55
        clone.push(heartbeat=None)
    sandbox.fsck()


def _truncate(file):
    file.chmod(0o644)
    file.write_bytes(b"")


DAMAGES = {
    "no HEAD": lambda folder: (folder / "HEAD").unlink(),
    "empty folder": lambda folder: (shutil.rmtree(folder), folder.mkdir()),
    "a file in its place": lambda folder: (shutil.rmtree(folder), folder.write_text("x")),
    "bad config": lambda folder: (folder / "config").write_text("[core\n"),
    "empty objects": lambda folder: [_truncate(file) for file in folder.glob("objects/??/*")],
    "no objects": lambda folder: [shutil.rmtree(each) for each in folder.glob("objects/??")],
    "empty refs": lambda folder: [_truncate(file) for file in folder.glob("refs/**/main") if file.is_file()],
    "half a pack": lambda folder: [_truncate(file) for file in folder.glob("objects/pack/*.idx")],
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_clone_is_made_anew(sandbox, damage, packed):
    with sandbox.open() as clone:
        head = export(clone, {"a": "1", "b": "2"})
    if packed:
        git("gc", "-q", cwd=sandbox.clone_folder())
    DAMAGES[damage](sandbox.clone_folder())

    with sandbox.open() as clone:
        assert clone.base() == head
        files = clone.files(head)
        assert [data for _, data in clone.read([files["a"].blob_id], max_size=9)] == [b"1"]
        assert export(clone, {"a": "2"})
    assert not list((sandbox.folder / "cache").glob("*.damaged"))
    sandbox.fsck()


def test_unpushed_commits_are_saved_from_a_damaged_clone(sandbox):
    sandbox.somebody_commits({"a": "1"})
    with sandbox.open() as clone:
        kept = commit(clone, {"b": "2"}, message="waiting")
    (sandbox.clone_folder() / "refs/remotes/origin").mkdir(parents=True, exist_ok=True)
    (sandbox.clone_folder() / "refs/remotes/origin/main").write_text("")

    with sandbox.open() as clone:
        assert clone.unpushed() == [kept]
        assert "lost" not in clone.notices[0]
        clone.push(heartbeat=None)
    assert sandbox.head() == kept


def test_lost_commits_are_told(sandbox):
    sandbox.somebody_commits({"a": "1"})
    with sandbox.open() as clone:
        commit(clone, {"b": "2"})
    shutil.rmtree(sandbox.clone_folder() / "objects")
    with sandbox.open() as clone:
        assert "lost" in clone.notices[0]
        assert clone.unpushed() == []


def test_damage_found_while_reading_mends_the_next_time(sandbox):
    with sandbox.open() as clone:
        export(clone, {"a": "some content"})
        blob = clone.files(clone.base())["a"].blob_id
    file = sandbox.clone_folder() / "objects" / blob[:2] / blob[2:]
    file.chmod(0o644)
    file.write_bytes(b"\x00" * file.stat().st_size)
    with pytest.raises(CloneDamaged), sandbox.open() as clone:
        list(clone.read([blob], max_size=100))
    with sandbox.open() as clone:
        assert clone.notices
        assert list(clone.read([blob], max_size=100)) == [(blob, b"some content")]


def test_a_damaged_clone_is_kept_while_the_remote_is_away(sandbox):
    with sandbox.open() as clone:
        commit(clone, {"a": "1"})
    (sandbox.clone_folder() / "dr-syncer-damaged").touch()
    sandbox.repository.rename(sandbox.folder / "gone")
    for _ in range(2):
        with pytest.raises(RemoteUnreachable):
            Clone.open(sandbox.remote())
    (sandbox.folder / "gone").rename(sandbox.repository)
    with sandbox.open() as clone:
        assert len(clone.unpushed()) == 1


def test_what_a_killed_git_left_is_swept_up(sandbox):
    with sandbox.open() as clone:
        head = export(clone, {"a": "1"})
    folder = sandbox.clone_folder()
    left = [
        folder / "refs/remotes/origin/main.lock",
        folder / "packed-refs.lock",
        folder / "config.lock",
        folder / "objects/pack/tmp_pack_AbCdEf",
        folder / "objects/ab/tmp_obj_AbCdEf",
        folder / "fast_import_crash_123",
        folder / "gc.pid",
    ]
    for file in left:
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text("x")
    keep = folder / "objects/pack/pack-1.keep"
    keep.write_text("fast-import\n")
    with sandbox.open() as clone:
        assert not any(file.exists() for file in [*left, keep])
        assert clone.base() == head
        assert export(clone, {"a": "2"})


def test_a_cache_that_cannot_be_made_says_what_to_set(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GitError, match="can't be made") as error:
        Clone.open(Remote(url="/nowhere", cache_dir=str(tmp_path / "file" / "cache")))
    assert "cacheDir" in error.value.hint


def test_a_machine_without_git_is_told_so(sandbox, tmp_path):
    script = (
        "import sys; from drsyncer.recovery.git import Clone, Remote; Clone.open(Remote('/x', cache_dir=sys.argv[1]))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "c")], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert "git can't be run" in found.stderr
