"""Pushing: other people's commits, hooks, heartbeats, and being killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from drsyncer.errors import Abandoned, GitError, PushRejected
from drsyncer.recovery.git import Clone
from drsyncer.recovery.heartbeat import Heartbeat
from drsyncer.recovery.pushing import PushResult, RefResult, Verdict, report
from tests.unit.recovery_sandbox import NOON, Sandbox, commit, export, git

BEAT = Heartbeat(NOON, "", True, "uid")


@pytest.fixture
def sandbox(tmp_path):
    return Sandbox(tmp_path)


@pytest.fixture(params=["sha1", "sha256"])
def either_hash(tmp_path, request):
    return Sandbox(tmp_path, object_format=request.param)


def test_a_push_that_meets_another_commit_is_made_again_on_top_of_it(either_hash):
    either_hash.somebody_commits({"README.md": "1", "prod/a.yaml": "by hand"})
    with either_hash.open(path="prod") as clone:
        commit(clone, {"a.yaml": "ours", "b.yaml": "ours"}, message="one")
        last = commit(clone, {"c.yaml": "ours"}, delete=("b.yaml",), message="two")
        theirs = either_hash.somebody_commits({"README.md": "2", "prod/a.yaml": "by hand again", "prod/b.yaml": "x"})

        result = clone.push(heartbeat=BEAT)

        assert result == PushResult(
            head=either_hash.head(), pushed=result.pushed, replayed=True, heartbeat=True, heartbeat_refused=""
        )
        assert len(result.pushed) == 2
        assert result.head == clone.base() != last
        assert clone.unpushed() == []
    assert either_hash.subjects() == ["by hand", "by hand", "one", "two"]
    assert git("rev-parse", "main~2", cwd=either_hash.repository).strip() == theirs
    assert either_hash.paths() == ["README.md", "prod/a.yaml", "prod/c.yaml"]
    assert either_hash.content("prod/a.yaml") == "ours"
    assert either_hash.content("README.md") == "2"
    assert git("log", "-1", "--format=%an %aI %cI", cwd=either_hash.repository).split() == [
        "DR-Syncer", "2024-05-01T12:00:00+00:00", "2024-05-01T12:00:00+00:00",
    ]  # fmt: skip
    either_hash.fsck()


def test_a_rejected_push_is_not_tried_again_by_who_may_go_on_no_more(sandbox):
    goes_on = [True]
    with Clone.open(sandbox.remote(), goes_on=lambda: goes_on[0]) as clone:
        clone.fetch()
        commit(clone, {"a.yaml": "ours"}, message="one")
        theirs = sandbox.somebody_commits({"README.md": "from the one who leads now"})
        fetch = clone.fetch

        def fetch_at_last():  # between the rejection and the next try
            found = fetch()
            goes_on[0] = False
            return found

        clone.fetch = fetch_at_last
        with pytest.raises(Abandoned, match="given up before the push"):
            clone.push(heartbeat=BEAT)
    assert sandbox.head() == theirs
    assert git("for-each-ref", "refs/dr-syncer", cwd=sandbox.repository) == ""


def test_a_commit_that_somebody_else_made_too_is_dropped(sandbox):
    sandbox.somebody_commits({"a": "1"})
    with sandbox.open() as clone:
        commit(clone, {"a": "2"}, message="both")
        commit(clone, {"b": "1"}, message="ours")
        sandbox.somebody_commits({"a": "2"}, message="both, theirs")

        result = clone.push(heartbeat=None)

    assert len(result.pushed) == 1
    assert sandbox.subjects() == ["by hand", "both, theirs", "ours"]


def test_a_first_commit_meets_another_first_commit(sandbox):
    with sandbox.open() as clone:
        commit(clone, {"a": "1"}, message="ours")
        sandbox.somebody_commits({"README.md": "x"})
        clone.push(heartbeat=None)
    assert sandbox.subjects() == ["by hand", "ours"]
    assert sandbox.paths() == ["README.md", "a"]


def test_odd_paths_modes_and_messages_survive_being_made_again(sandbox):
    sandbox.somebody_commits({"old": "x"})
    odd = 'a "b"\n\\é'
    message = "subject\n\n# not a comment\n\n\ntrailing blank \nTrailer: é\n\n"
    with sandbox.open() as clone:
        commit(clone, {odd: "1"}, message=message, when=NOON + timedelta(days=1))
        raw = git("cat-file", "commit", clone.base(), cwd=sandbox.clone_folder())
        sandbox.somebody_commits({"README.md": "x"})
        clone.push(heartbeat=None)
    again = git("cat-file", "commit", "main", cwd=sandbox.repository)
    assert again.partition("\nauthor ")[2] == raw.partition("\nauthor ")[2]
    assert sandbox.paths() == sorted(["README.md", odd, "old"])


def test_a_branch_that_keeps_moving_is_given_up_after_three_tries(sandbox):
    sandbox.somebody_commits({"a": "1"})
    tree = sandbox.work_tree("racer")
    # Somebody is faster each time: the hook moves the branch while our push is under way.
    unset = "unset GIT_DIR GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES"
    identity = "-c user.name=x -c user.email=x@example.com"
    sandbox.hook(
        "pre-receive",
        f"{unset}\nread old new ref\n[ -e {sandbox.folder}/racing ] && exit 0\ntouch {sandbox.folder}/racing\n"
        f"cd {tree} && git pull -q origin main && git {identity} commit -q --allow-empty -m race"
        f" && git push -q origin HEAD:main\nrm {sandbox.folder}/racing\nexit 0",
    )
    with sandbox.open() as clone:
        before = clone.base()
        commit(clone, {"ours": "1"})

        with pytest.raises(PushRejected, match=rf"main moved from {before[:7]} to .* \(3 tries\)") as error:
            clone.push(heartbeat=BEAT)

        assert "repository.branch" in error.value.hint
        assert sandbox.subjects() == ["by hand", "race", "race", "race"]
        assert "refs/dr-syncer/heartbeat" not in sandbox.refs()
        (sandbox.repository / "hooks/pre-receive").unlink()
        assert clone.push(heartbeat=BEAT).heartbeat
    assert sandbox.subjects()[-1] == "export"


@pytest.mark.parametrize("hook", ["pre-receive", "update"])
def test_a_hook_that_says_no_is_quoted_at_once(sandbox, hook):
    with sandbox.open() as clone:
        commit(clone, {"a": "1"})
        sandbox.hook(hook, f"echo >> {sandbox.folder}/calls\nprintf 'main is \\033[31mfrozen\\n' >&2\nexit 1")

        with pytest.raises(PushRejected) as error:
            clone.push(heartbeat=None)

        assert "hook declined" in str(error.value)
        assert "main is ?[31mfrozen" in str(error.value)
        assert (sandbox.folder / "calls").read_text() == "\n"
        assert len(clone.unpushed()) == 1
    assert sandbox.refs() == {}


def test_a_server_that_takes_no_heartbeat_still_takes_the_commits(sandbox):
    sandbox.hook("update", 'case "$1" in refs/heads/*) exit 0;; *) echo "branches only" >&2; exit 1;; esac')
    with sandbox.open() as clone:
        head = commit(clone, {"a": "1"})

        result = clone.push(heartbeat=BEAT)

        assert (result.head, result.heartbeat, result.pushed) == (head, False, (head,))
        assert "branches only" in result.heartbeat_refused
        assert clone.heartbeat() is None
        again = clone.push(heartbeat=BEAT)
        assert (again.head, again.pushed, again.heartbeat) == (head, (), False)
    assert sandbox.refs() == {"refs/heads/main": head}


def test_a_server_without_atomic_pushes_gets_one_after_the_other(sandbox):
    git("config", "receive.advertiseAtomic", "false", cwd=sandbox.repository)
    with sandbox.open() as clone:
        head = commit(clone, {"a": "1"})
        assert clone.push(heartbeat=BEAT) == PushResult(head=head, pushed=(head,), heartbeat=True)
        sandbox.somebody_commits({"b": "1"})
        commit(clone, {"a": "2"})
        result = clone.push(heartbeat=BEAT)
        assert result.replayed
        assert clone.heartbeat().head == result.head
    assert sandbox.subjects() == ["export", "by hand", "export"]


def test_a_heartbeat_names_the_commit_that_the_branch_has(either_hash):
    with either_hash.open() as clone:
        assert clone.push(heartbeat=BEAT).heartbeat
        assert clone.heartbeat() == BEAT
        commit(clone, {"a": "1"})
        either_hash.somebody_commits({"b": "1"})
        later = Heartbeat(NOON + timedelta(minutes=1), "f" * 40, False, "uid")

        result = clone.push(heartbeat=later)

        assert clone.heartbeat() == Heartbeat(later.time, result.head, False, "uid")
    with either_hash.open(cache="dr") as clone:
        assert clone.heartbeat().head == either_hash.head() == result.head
    log = git("log", "--format=%P|%T", "refs/dr-syncer/heartbeat", cwd=either_hash.repository)
    assert log.startswith("|")
    assert git("ls-tree", "refs/dr-syncer/heartbeat", cwd=either_hash.repository) == ""
    either_hash.fsck()


def test_another_thing_in_the_heartbeats_place_is_an_error(sandbox):
    commit_id = sandbox.somebody_commits({"a": "x" * 10})
    for target in (commit_id, git("rev-parse", "main:a", cwd=sandbox.repository).strip()):
        git("update-ref", "refs/dr-syncer/heartbeat", target, cwd=sandbox.repository)
        with sandbox.open() as clone, pytest.raises(GitError):
            clone.heartbeat()


def test_two_exporters_share_a_repository(sandbox):
    with sandbox.open(cache="one", path="eu/prod") as one, sandbox.open(cache="two", path="eu/stage") as two:
        for number in range(3):
            export(one, {"a.yaml": f"prod {number}"})
            commit(two, {"a.yaml": f"stage {number}"})
            two.push(heartbeat=BEAT)
            one.push(heartbeat=Heartbeat(NOON, "", False, "other"))
        assert list(one.files(one.base())) == ["a.yaml"]
        assert one.heartbeat().cluster == "other"
        one.fetch()
        two.fetch()
        assert two.heartbeat().cluster == "uid"
        assert [c.changes for c in one.history("main", limit=1)] == [(("M", "a.yaml"),)]
    assert sandbox.content("eu/prod/a.yaml") == "prod 2"
    assert sandbox.content("eu/stage/a.yaml") == "stage 2"
    assert len(sandbox.subjects()) == 6
    assert set(sandbox.refs()) == {
        "refs/heads/main",
        "refs/dr-syncer/paths/eu/prod/heartbeat",
        "refs/dr-syncer/paths/eu/stage/heartbeat",
    }


def test_unpushed_commits_are_pushed_later_by_another_process(sandbox):
    with sandbox.open() as clone:
        first = commit(clone, {"a": "1"})
        second = commit(clone, {"a": "2"})
        assert clone.unpushed() == [first, second]
    with sandbox.open() as clone:
        assert clone.unpushed() == [first, second]
        assert clone.push(heartbeat=None).pushed == (first, second)
        assert clone.unpushed() == []
    assert sandbox.head() == second


def test_a_deleted_branch_comes_back_whole(sandbox):
    with sandbox.open() as clone:
        export(clone, {"a": "1"}, message="one")
        git("update-ref", "-d", "refs/heads/main", cwd=sandbox.repository)
        assert clone.fetch() is None
        export(clone, {"b": "1"}, message="two")
    assert sandbox.subjects() == ["one", "two"]


def test_nobody_elses_commit_is_lost_to_a_reverted_tree(sandbox):
    with sandbox.open() as clone:
        export(clone, {"a": "1"})
        sandbox.somebody_commits({"b": "1"})
        clone.fetch()
        assert sorted(clone.files(clone.base())) == ["a", "b"]
        export(clone, {"a": "2"})
    assert sandbox.paths() == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (" \tabc:refs/heads/main\t1..2", RefResult(Verdict.DONE, "")),
        ("*\tabc:refs/heads/main\t[new branch]", RefResult(Verdict.DONE, "")),
        ("=\tabc:refs/heads/main\t[up to date]", RefResult(Verdict.DONE, "")),
        ("+\tabc:refs/heads/main\t1...2 (forced update)", RefResult(Verdict.DONE, "")),
        ("!\tabc:refs/heads/main\t[rejected] (fetch first)", RefResult(Verdict.MOVED, "fetch first")),
        ("!\tabc:refs/heads/main\t[rejected] (non-fast-forward)", RefResult(Verdict.MOVED, "non-fast-forward")),
        (
            "!\tabc:refs/heads/main\t[remote rejected] (cannot lock ref 'refs/heads/main': is at 1 but expected 2)",
            RefResult(Verdict.MOVED, "cannot lock ref 'refs/heads/main': is at 1 but expected 2"),
        ),
        (
            "!\tabc:refs/heads/main\t[remote rejected] (incorrect old value provided)",
            RefResult(Verdict.MOVED, "incorrect old value provided"),
        ),
        (
            "!\tabc:refs/heads/main\t[rejected] (atomic push failed)",
            RefResult(Verdict.WITH_OTHERS, "atomic push failed"),
        ),
        (
            "!\tabc:refs/heads/main\t[remote rejected] (protected branch hook declined)",
            RefResult(Verdict.REFUSED, "protected branch hook declined"),
        ),
        (
            "!\tabc:refs/heads/main\t[remote rejected] (push declined due to repository rule violations)",
            RefResult(Verdict.REFUSED, "push declined due to repository rule violations"),
        ),
        ("!\tabc:refs/heads/main\t[no match]", RefResult(Verdict.REFUSED, "no match")),
    ],
)
def test_every_line_of_a_push_report_has_its_meaning(line, expected):
    assert report(f"To ssh://git@git.example.com/dr.git\n{line}\nDone\n") == {"refs/heads/main": expected}


def test_what_is_no_report_says_nothing():
    assert report("") == report("To x\nDone\n") == report("fatal: the remote end hung up unexpectedly") == {}


EXPORT_FOR_EVER = """
import sys
from datetime import UTC, datetime
from drsyncer.recovery.git import Clone, Remote
from drsyncer.recovery.heartbeat import Heartbeat

number = int(sys.argv[3])
with Clone.open(Remote(url=sys.argv[1], cache_dir=sys.argv[2]), wait=20) as clone:
    clone.fetch()
    print("ready", flush=True)
    while True:
        number += 1
        with clone.stage() as stage:
            put = {f"f{i}": stage.add(f"{number} {i}".encode()) for i in range(150)}
            when = datetime.fromtimestamp(1_700_000_000 + number, UTC)
            made = stage.commit(parent=clone.base(), put=put, delete=(), message=f"export {number}", when=when)
        print(made, flush=True)
        if number % 3 == 0:
            clone.push(heartbeat=Heartbeat(when, "", True, "uid"))
            print("pushed", made, flush=True)
        if number % 10 == 0:
            clone.gc_if_due()
"""


def test_a_git_that_outlives_its_killed_parent_keeps_the_next_one_out(sandbox):
    with sandbox.open() as clone:
        commit(clone, {"a": "1"})
    sandbox.hook("pre-receive", f"touch {sandbox.folder}/under-way\nsleep 1.5")
    script = (
        "import sys; from drsyncer.recovery.git import Clone, Remote\n"
        "Clone.open(Remote(sys.argv[1], cache_dir=sys.argv[2])).push(heartbeat=None)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, sandbox.repository, sandbox.folder / "cache"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    while not (sandbox.folder / "under-way").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()

    with pytest.raises(GitError, match="a git that it started"):
        sandbox.open(wait=0.2)
    with sandbox.open(wait=20) as clone:
        assert clone.unpushed() == []
    assert sandbox.subjects() == ["export"]


def test_killed_at_any_moment_the_next_one_goes_on(sandbox):
    chance = random.Random(20240501)
    pushed = None
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    for turn in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", EXPORT_FOR_EVER, sandbox.repository, sandbox.folder / "cache", str(turn * 1_000)],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        assert process.stdout
        with process.stdout:
            assert process.stdout.readline() == "ready\n"
            first = process.stdout.readline()  # on a busy machine it may take longer than the time until the end
            time.sleep(chance.uniform(0.05, 0.5))
            process.send_signal(signal.SIGKILL)
            process.wait()
            said = (first + process.stdout.read()).splitlines()
        made = [line for line in said if len(line) == 40]
        pushed = next((line.split()[1] for line in reversed(said) if line.startswith("pushed")), pushed)
        assert said

        with sandbox.open(wait=20) as clone:
            assert clone.notices == []
            if made:
                # What the killed one called a commit is there, and nothing is torn.
                assert git("merge-base", "--is-ancestor", made[-1], clone.base(), cwd=sandbox.clone_folder()) == ""
            contents = [
                data for _, data in clone.read((f.blob_id for f in clone.files(clone.base()).values()), max_size=99)
            ]
            assert len({data.split()[0] for data in contents}) == 1
            assert len(contents) == 150
            clone.push(heartbeat=None)
            assert clone.unpushed() == []
        if pushed:
            assert git("merge-base", "--is-ancestor", pushed, "main", cwd=sandbox.repository) == ""
    assert len(sandbox.subjects()) == len(set(sandbox.subjects()))
    sandbox.fsck()
