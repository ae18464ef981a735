"""What an import follows: only forward, and by commits that count."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import pytest

from drsyncer.config.schema import Revision
from drsyncer.errors import Refused, RevisionNotFound, UsageError
from importer.following import accept, choose
from importer.inventory import Inventory, from_manifest
from tests.unit.recovery_sandbox import Sandbox, export, git
from tests.unit.signers import allowed, needs_ssh_keygen, signer

BRANCH = Revision(branch="main")


class World:
    """A recovery repository, an exporter that signs, and an importer that remembers what it accepted."""

    def __init__(self, folder, *, verify=True, path=""):
        self.sandbox = Sandbox(folder)
        self.path = path
        self.exporter = signer(folder, "exporter@prod")
        self.other = signer(folder, "somebody@else")
        self.sandbox.allowed_signers = str(allowed(folder, self.exporter.line())) if verify else ""
        self.inventory = Inventory("prod", "dr-syncer")

    def export(self, content, *, name="a", key=None, path=None, delete=()):
        """Export one file; return the commit."""
        self.sandbox.signing_key = str((key or self.exporter).file) if self.sandbox.allowed_signers else ""
        with self.sandbox.open(path=self.path if path is None else path, cache="source") as clone:
            return export(clone, {name: content} if content else {}, delete=delete, message=f"{name} {content}")

    def somebody(self, content, *, name="evil"):
        """Commit without a key."""
        return self.sandbox.somebody_commits({f"{self.path}/{name}" if self.path else name: content})

    def look(self, requested="", *, revision=BRANCH, anew=False, cache="cache"):
        """Return what would be imported and the inventory after that; nothing is remembered."""
        with self.sandbox.open(path=self.path, cache=cache) as clone:
            chosen = choose(clone, revision, requested)
            standing = accept(clone, chosen, revision, self.inventory, anew=anew)
            return chosen, replace(self.inventory, followed=standing.followed, head=standing.head)

    def run(self, requested="", **settings):
        """Import; return the commit."""
        chosen, self.inventory = self.look(requested, **settings)
        return chosen.commit

    def point_main_at(self, commit):
        git("update-ref", "refs/heads/main", commit, cwd=self.sandbox.repository)

    def merge(self, *parents, tree):
        """Put a commit by nobody in particular at main: any parents, any tree."""
        who = ("-c", "user.name=x", "-c", "user.email=x@x")
        words = [word for parent in parents for word in ("-p", parent)]
        made = git(*who, "commit-tree", f"{tree}^{{tree}}", *words, "-m", "merge", cwd=self.sandbox.repository).strip()
        self.point_main_at(made)
        return made


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def trusting(tmp_path):
    """The same, and the importer verifies nothing."""
    return World(tmp_path, verify=False)


@pytest.fixture(params=[True, False], ids=["verifying", "trusting"])
def either(request, tmp_path):
    return World(tmp_path, verify=request.param)


pytestmark = needs_ssh_keygen


# Signatures


def test_signed_commits_are_followed(world):
    first = world.export("1")
    assert world.run() == first
    assert (world.inventory.followed, world.inventory.head) == ("branch main", first)
    world.export("2")
    third = world.export("3")
    chosen, inventory = world.look()
    assert chosen.commit == inventory.head == third
    assert chosen.signature.signer == "exporter@prod"
    assert world.run() == world.run() == third


def test_an_unsigned_head_is_refused_and_the_last_good_one_stays(world):
    good = world.export("1")
    world.run()
    evil = world.somebody("x")
    with pytest.raises(Refused, match=f"recovery point {evil[:12]} is not signed") as refusal:
        world.run()
    assert "Nothing was changed in DR" in refusal.value.hint
    assert world.inventory.head == good
    assert world.run(good) == good


def test_an_unsigned_head_is_refused_also_when_it_is_named(world):
    evil = world.somebody("x")
    for name in (evil, evil[:10], "main", "refs/heads/main"):
        with pytest.raises(Refused, match="is not signed"):
            world.run(name)


def test_a_strangers_head_is_refused(world):
    world.export("1", key=world.other)
    with pytest.raises(Refused, match=r"is signed with SHA256:\S+, which repository\.verify\.allowedSignersFile"):
        world.run()


def test_taking_the_unsigned_head_out_is_a_way_on(world):
    good = world.export("1")
    world.run()
    world.somebody("x")
    with pytest.raises(Refused):
        world.run()
    world.point_main_at(good)
    assert world.run() == good
    again = world.export("2")
    assert world.run() == again


def test_signed_on_top_of_unsigned_is_refused_until_a_person_names_it(world):
    """An exporter builds on what is there and would sign an intruder's file with its own."""
    good = world.export("1")
    world.run()
    evil = world.somebody("x")
    head = world.export("2")
    assert world.sandbox.paths() == ["a", "evil"]

    with pytest.raises(
        Refused, match=f"builds on what nobody vouches for: commit {evil[:12]} is not signed"
    ) as refusal:
        world.run()
    assert world.inventory.head == good
    way_on = re.search(r"--revision (\S+)`", refusal.value.hint)[1]

    assert way_on == head
    assert world.run(way_on) == head
    assert world.run() == head
    newest = world.export("3")
    assert world.run() == newest


def test_all_that_came_in_is_counted(world):
    world.export("1")
    world.run()
    first = world.somebody("x")
    world.somebody("y")
    world.export("2")
    with pytest.raises(Refused, match=f"{first[:12]} is not signed \\(and 1 more\\)"):
        world.run()


def test_a_first_import_asks_only_who_signed_the_head(world):
    world.somebody("x")
    head = world.export("1")
    assert world.run() == head


@pytest.mark.parametrize("path", ["", "clusters/prod"])
@pytest.mark.parametrize("old_first", [True, False])
def test_an_old_state_that_a_merge_brings_back_is_refused_although_the_next_export_signs_it(tmp_path, path, old_first):
    world = World(tmp_path, path=path)
    old = world.export("1")
    new = world.export("2")
    world.run()
    merge = world.merge(*((old, new) if old_first else (new, old)), tree=old)
    with pytest.raises(Refused, match=f"{merge[:12]} is not signed|was taken back"):
        world.run()
    world.export("bait", name="b")
    assert world.sandbox.content(f"{path}/a" if path else "a") == "1"
    with pytest.raises(Refused, match=f"commit {merge[:12]} is not signed"):
        world.run()


# Forward only


def test_a_branch_that_was_taken_back_is_refused(either):
    old = either.export("1")
    either.export("2")
    new = either.run()
    either.point_main_at(old)
    with pytest.raises(Refused, match=f"branch main was taken back: {new[:12]} .* {old[:12]} is older"):
        either.run()
    # Where the lost commit never was, what became of it can't be told.
    with pytest.raises(Refused, match=f"branch main was rewritten: {new[:12]} .* {old[:12]} is not built on it"):
        either.run(cache="another machine")
    assert either.inventory.head == new


def test_a_branch_that_was_rewritten_is_refused(either):
    old = either.export("1")
    new = either.export("2")
    either.run()
    either.point_main_at(old)
    shutil.rmtree(either.sandbox.folder / "source")
    rewritten = either.export("3")
    for cache in ("cache", "another machine"):
        with pytest.raises(Refused, match=f"was rewritten: {new[:12]} .* {rewritten[:12]} is not built on it"):
            either.run(cache=cache)


def test_a_repository_that_was_made_anew_is_refused(trusting):
    trusting.export("1")
    trusting.run()
    shutil.rmtree(trusting.sandbox.repository)
    shutil.rmtree(trusting.sandbox.folder / "source")
    trusting.sandbox.create()
    head = trusting.export("1 again")
    with pytest.raises(Refused, match="was rewritten"):
        trusting.run(cache="another machine")
    assert trusting.run(head, cache="another machine") == head
    assert trusting.run(cache="another machine") == head


def test_naming_the_very_head_accepts_what_was_taken_back(either):
    old = either.export("1")
    either.export("2")
    either.run()
    either.point_main_at(old)
    shutil.rmtree(either.sandbox.folder / "source")

    assert either.run(old) == old

    assert either.inventory.head == old
    assert either.run() == old
    newer = either.export("3")
    assert either.run() == newer


def test_naming_the_branch_does_not_accept_it(trusting):
    old = trusting.export("1")
    trusting.export("2")
    trusting.run()
    trusting.point_main_at(old)
    for name in ("main", "refs/heads/main"):
        with pytest.raises(Refused, match="was taken back"):
            trusting.run(name)


def test_an_older_recovery_point_may_be_named_and_the_branch_goes_on(either):
    old = either.export("1")
    new = either.export("2")
    either.run()
    git("tag", "before-upgrade", old, cwd=either.sandbox.repository)
    for name in (old, old[:8], "before-upgrade"):
        assert either.run(name) == old
        assert either.inventory.head == new
    assert either.run() == new
    newest = either.export("3")
    assert either.run() == newest


def test_a_commit_of_another_branch_leaves_the_standing_alone(trusting):
    head = trusting.export("1")
    trusting.run()
    git("branch", "trial", "main", cwd=trusting.sandbox.repository)
    trusting.sandbox.signing_key = str(trusting.exporter.file)
    with trusting.sandbox.open(branch="trial", cache="source") as clone:
        export(clone, {"a": "trial"})
    assert trusting.run("trial") != head
    assert trusting.inventory.head == head
    assert trusting.run() == head


def test_another_cluster_begins_anew(trusting):
    trusting.export("1")
    trusting.run()
    trusting.point_main_at(trusting.merge(tree="main"))
    with pytest.raises(Refused):
        trusting.run()
    trusting.run(anew=True)
    assert trusting.inventory.head == trusting.sandbox.head()


def test_following_something_else_begins_anew(trusting):
    old = trusting.export("1")
    trusting.export("2")
    trusting.run()
    git("tag", "v1.0.0", old, cwd=trusting.sandbox.repository)
    assert trusting.run(revision=Revision(tag="v1.0.0")) == old
    assert (trusting.inventory.followed, trusting.inventory.head) == ("tag v1.0.0", old)


def test_a_tag_that_was_moved_back_is_refused(trusting):
    first, second, third = (trusting.export(str(number)) for number in range(3))
    git("tag", "stable", second, cwd=trusting.sandbox.repository)
    stable = Revision(tag="stable")
    assert trusting.run(revision=stable) == second
    git("tag", "-f", "stable", third, cwd=trusting.sandbox.repository)
    assert trusting.run(revision=stable) == third
    git("tag", "-f", "stable", first, cwd=trusting.sandbox.repository)
    with pytest.raises(Refused, match="tag stable was taken back"):
        trusting.run(revision=stable)


def test_a_pinned_commit_needs_no_history(trusting):
    old = trusting.export("1")
    trusting.export("2")
    trusting.run()
    assert trusting.run(revision=Revision(commit=old[:12])) == old
    assert trusting.inventory.followed == "branch main"


def test_a_branch_cannot_pass_for_a_pinned_commit(trusting):
    old = trusting.export("1")
    new = trusting.export("2")
    git("branch", old[:8], new, cwd=trusting.sandbox.repository)
    with pytest.raises(UsageError, match="is also the name of a branch or tag"):
        trusting.run(revision=Revision(commit=old[:8]))


# Several exporters in one repository


@pytest.fixture(params=[True, False], ids=["verifying", "trusting"])
def shared(request, tmp_path):
    return World(tmp_path, verify=request.param, path="clusters/prod")


def test_what_others_commit_elsewhere_needs_no_signature(shared):
    ours = shared.export("1")
    shared.sandbox.somebody_commits({"README.md": "x"})
    theirs = shared.export("1", path="clusters/other", key=shared.other)
    chosen, shared.inventory = shared.look()
    assert chosen.commit == theirs
    assert chosen.point.id == shared.inventory.head == ours
    shared.sandbox.somebody_commits({"README.md": "y"})
    newer = shared.export("2")
    assert shared.run() == newer


def test_what_others_commit_into_our_folder_does(tmp_path):
    world = World(tmp_path, path="clusters/prod")
    world.export("1")
    world.run()
    world.export("evil", key=world.other)
    with pytest.raises(Refused, match="is signed with"):
        world.run()


def test_a_merge_of_other_peoples_work_is_no_offence(shared):
    ours = shared.export("1")
    shared.sandbox.somebody_commits({"README.md": "x"})
    side = shared.sandbox.head()
    newest = shared.export("2")
    shared.run()
    shared.merge(newest, side, tree=newest)
    chosen, _ = shared.look()
    assert chosen.point.id == newest != ours


def test_a_merge_that_brings_back_our_old_folder_is_refused(shared):
    old = shared.export("1")
    new = shared.export("2")
    shared.run()
    for parents in ((new, old), (old, new)):
        shared.merge(*parents, tree=old)
        with pytest.raises(Refused, match="was taken back"):
            shared.run()


def test_a_folder_that_is_gone_is_refused(shared):
    shared.export("1")
    shared.run()
    nothing = git("hash-object", "-t", "tree", "-w", "--stdin", cwd=shared.sandbox.repository).strip()
    gone = shared.merge("main", tree=nothing)
    if not shared.sandbox.allowed_signers:
        assert shared.run() == gone  # and is refused for what it holds: no identity
        return
    with pytest.raises(Refused, match=f"{gone[:12]} is not signed"):
        shared.run()


def test_a_repository_without_our_folder_is_refused(shared):
    shared.sandbox.somebody_commits({"README.md": "x"})
    with pytest.raises(Refused, match=r"holds nothing below repository\.path"):
        shared.run()


# Ranges of versions


def test_the_newest_tag_in_the_range_is_followed(either):
    first = either.export("1")
    git("tag", "v1.0.0", cwd=either.sandbox.repository)
    ranged = Revision(semver=">=1.0 <2")
    assert either.run(revision=ranged) == first
    second = either.export("2")
    git("tag", "-a", "-m", "annotated", "v1.1.0", second, cwd=either.sandbox.repository)
    git("tag", "v2.0.0", second, cwd=either.sandbox.repository)
    assert either.run(revision=ranged) == second
    assert either.inventory.followed == "semver >=1.0 <2"
    git("tag", "-d", "v1.1.0", cwd=either.sandbox.repository)
    with pytest.raises(Refused, match=r"semver >=1\.0 <2 was taken back"):
        either.run(revision=ranged)
    assert either.run(first, revision=ranged) == first
    assert either.run(revision=ranged) == first


def test_a_range_without_a_tag_tells_what_there_is(trusting):
    trusting.export("1")
    for tag in ("v1.0.0", "v1.2.0", "nightly"):
        git("tag", tag, cwd=trusting.sandbox.repository)
    with pytest.raises(
        RevisionNotFound, match=r"no tag is a version in \^2; the newest versions are v1\.2\.0, v1\.0\.0"
    ):
        trusting.run(revision=Revision(semver="^2"))


def test_one_version_with_two_tags_must_be_one_commit(trusting):
    first = trusting.export("1")
    git("tag", "v1.0.0", first, cwd=trusting.sandbox.repository)
    git("tag", "1.0.0", first, cwd=trusting.sandbox.repository)
    assert trusting.run(revision=Revision(semver="1.x")) == first
    git("tag", "1.0", trusting.export("2"), cwd=trusting.sandbox.repository)
    with pytest.raises(UsageError, match="are the same version and name different commits"):
        trusting.run(revision=Revision(semver="1.x"))


def test_the_standing_is_kept_in_the_inventory():
    inventory = Inventory("prod", "dr-syncer", followed="branch main", head="1" * 40)
    again = from_manifest(inventory.to_manifest(), importer="prod", namespace="dr-syncer")
    assert (again.followed, again.head) == ("branch main", "1" * 40)
