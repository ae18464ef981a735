"""The local clone of the recovery repository: all that DR-Syncer does with git.

The clone is bare and a cache: what matters in it is what was not pushed yet. See `refs` for what its refs mean.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from drsyncer.errors import Abandoned, GitError, PushRejected, RemoteUnreachable, RevisionNotFound
from drsyncer.recovery import cache, heartbeat, mending, objects, refs, sealing, signatures
from drsyncer.recovery.failure import CloneDamaged
from drsyncer.recovery.fast_import import SCRATCH, fast_import, signature
from drsyncer.recovery.heartbeat import Heartbeat
from drsyncer.recovery.history import Commit, history
from drsyncer.recovery.lineage import Lineage
from drsyncer.recovery.objects import TreeFile
from drsyncer.recovery.process import Git, Output
from drsyncer.recovery.pushing import PushResult, Sender, Verdict
from drsyncer.recovery.remote import Remote, environment, inside
from drsyncer.recovery.replay import replay
from drsyncer.recovery.signatures import Signature
from drsyncer.recovery.ssh_key import SigningKey
from drsyncer.recovery.stage import Stage

__all__ = ["Clone", "CloneDamaged", "Commit", "PushResult", "Remote", "Stage", "TreeFile"]

_TRIES = 3
_PAUSE = 0.2  # seconds, times the try: until another one's push to a busy server is over
_MOST_HEARTBEAT = 4_096  # bytes of its commit
_QUIET = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance")


class Clone:
    """The recovery repository, as seen from here. A context manager that holds the clone's lock; for one thread.

    Raises `RemoteUnreachable`, `AuthenticationFailed` or `PushRejected` for what the remote does or does not do,
    `CloneDamaged` when this clone turns out to be broken (open it again: it gets made anew), `GitError` for the rest.
    """

    def __init__(self, remote: Remote, *, lock: cache.Lock, folder: Path, goes_on: Callable[[], bool]) -> None:
        """Only for `open`."""
        self._remote = remote
        self._goes_on = goes_on
        self._lock = lock
        self._folder = folder
        self._names = refs.Names.of(remote.branch)
        self._git = self._git_in(folder)
        self._object_format = "sha1"
        self.lineage = Lineage(self._git, folder=remote.path)
        self._sender = Sender(self._git, network=self._network)
        self._key = SigningKey(remote.signing_key_file) if remote.signing_key_file else None
        self._open = True
        # What was repaired and what that cost, in sentences for the log.
        self.notices: list[str] = []
        # The remote's branch before and after somebody rewrote or removed it, when a fetch came upon that.
        self.rewritten: tuple[str, str | None] | None = None

    @classmethod
    def open(cls, remote: Remote, *, wait: float = 60.0, goes_on: Callable[[], bool] = lambda: True) -> Self:
        """Open the clone of `remote`, and make it when there is none (that needs the network) or it is damaged.

        Waits up to `wait` seconds for another process to close it, then raises `GitError` that names the process.
        Once `goes_on` returns false, whatever waits for another process or the remote raises `Abandoned`.
        """
        parent = remote.cache(os.environ)
        cache.prepare(parent)
        lock = cache.Lock(parent / f"{remote.folder}.lock", wait=wait, goes_on=goes_on)
        clone = cls(remote, lock=lock, folder=parent / remote.folder, goes_on=goes_on)
        try:
            clone._make_ready()
        except BaseException:
            clone.close()
            raise
        return clone

    def close(self) -> None:
        """Let others in. A second call does nothing."""
        if self._open:
            self._open = False
            self._lock.release()

    def __enter__(self) -> Self:
        """Return this clone."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the clone; mark it first when it was found damaged."""
        if isinstance(error, CloneDamaged) and self._open:
            cache.mark_damaged(self._folder)
        self.close()

    def fetch(self) -> str | None:
        """Bring the remote's branches, tags and heartbeats here; return its branch's commit, None when there is none.

        That somebody rewrote the branch is no error here: `rewritten` tells.
        """
        try:
            return self._fetch()
        except CloneDamaged as error:
            self._rebuild(str(error))
            return refs.read(self._git, self._names).remote

    def resolve(self, revision: str) -> str:
        """Return the commit that a branch of the remote, a tag, or a full or shortened commit id names, in this order.

        `refs/heads/…` and `refs/tags/…` say which is meant. Raises `RevisionNotFound`.
        """
        asked = refs.candidates(revision)
        if not asked:
            raise RevisionNotFound(f"recovery.git: {revision!r:.200} can't be a commit, branch or tag")
        question = "".join(f"{name}^{{commit}}\n" for name in asked).encode("utf-8", "surrogateescape")
        for answer in (
            self._git.run("cat-file", "--batch-check", stdin=question).decode("utf-8", "replace").splitlines()
        ):
            words = answer.split()
            if words[-1] == "ambiguous":
                raise RevisionNotFound(
                    f"recovery.git: several commits begin with {revision}", hint="Give more of the commit's id."
                )
            if len(words) == 3 and words[1] == "commit":
                return words[0]
        raise RevisionNotFound(
            f"recovery.git: {self._remote.shown} has no commit, branch or tag {revision!r:.200}",
            hint="`dr-syncer log` lists the commits.",
        )

    def base(self) -> str | None:
        """Return the commit to build on: the remote's head with our unpushed commits on top; None when all is empty.

        When the remote moved on since they were made, they are made again on top of its head. To no avail without a
        `fetch` before: the remote's head is the last one seen.
        """
        at = refs.read(self._git, self._names)
        pending = refs.commits_between(self._git, at.local, at.remote, at.known) if at.local else []
        # Without a branch on the remote, ours is all there is of it, and the next push brings it back.
        if (
            at.remote is None
            or at.local == at.remote
            or (pending and at.local and refs.is_ancestor(self._git, at.remote, at.local))
        ):
            if (head := self._sealed(pending) or at.local) != at.local:
                refs.move(self._git, {self._names.local: head})
            return head
        head = replay(self._git, pending, onto=at.remote) if pending else at.remote
        head = self._sealed(refs.commits_between(self._git, head, at.remote)) or head
        refs.move(self._git, {self._names.local: head, self._names.known: at.remote})
        return head

    def unpushed(self) -> list[str]:
        """Return our commits that the remote does not have, oldest first."""
        at = refs.read(self._git, self._names)
        if at.local is None:
            return []
        return refs.commits_between(self._git, at.local, *((at.remote, at.known) if at.remote else ()))

    def check_signing(self) -> None:
        """Raise `UsageError` when commits are to be signed and the key can't be used for that."""
        if self._key:
            _ = self._key.public

    @property
    def verifies(self) -> bool:
        """Whether the signatures of commits are to be verified."""
        return bool(self._remote.allowed_signers)

    def signatures(self, commits: Sequence[str]) -> dict[str, Signature]:
        """Return the verdict on each commit's signature, by the file of allowed signers.

        Raises `UsageError` or `GitError` when that can't be told: a bad file, no ssh-keygen, a git that is too old.
        """
        return signatures.verdicts(self._git, commits, file=self._remote.allowed_signers)

    @property
    def shallow(self) -> bool:
        """Whether older commits are missing here, since they are missing in the remote."""
        return self._git.run("rev-parse", "--is-shallow-repository").strip() != b"false"

    def tags(self) -> list[str]:
        """Return the names of all tags."""
        return [name.removeprefix("refs/tags/") for name in refs.every(self._git, "refs/tags")]

    def files(self, commit: str, *, under: str = "") -> dict[str, TreeFile]:
        """Return what a commit holds below `repository.path` (and below `under` in it), by path relative to that.

        Symbolic links and submodules are in it too, with their mode, for the caller to refuse.
        """
        if under:
            inside(under, "")
        return objects.listing(self._git, refs.checked(commit), folder=self._remote.path, under=under)

    def read(self, blob_ids: Iterable[str], *, max_size: int) -> Iterator[tuple[str, bytes | None]]:
        """Yield each blob's content, in the order asked for; None for one larger than `max_size` bytes."""
        return objects.contents(self._git, blob_ids, max_size=max_size)

    def blob_id(self, data: bytes) -> str:
        """Return the id that git gives to a file's content. No git is run."""
        return objects.blob_id(data, object_format=self._object_format)

    @contextlib.contextmanager
    def stage(self) -> Iterator[Stage]:
        """Begin a commit. What is not committed when the block ends never was."""
        try:
            with fast_import(self._git) as writer:
                yield Stage(
                    writer,
                    remote=self._remote,
                    object_format=self._object_format,
                    base=self.base,
                    advance=self._advance,
                )
        finally:
            cache.sweep(self._folder)

    def push(self, *, heartbeat: Heartbeat | None) -> PushResult:
        """Bring our commits, and the heartbeat, to the remote: both or none, where it can do that.

        Its branch moved: fetch, make our commits again on its head, push again. Never merges, never forces the branch.
        The heartbeat's `head` becomes the commit that the branch has then. A server that takes our commits but not
        the heartbeat's ref is no error: the result says so.

        Raises `PushRejected` when a hook or a rule there says no, at once, or when the branch keeps moving; `Abandoned`
        once `goes_on` returns false, which is asked before each try.
        """
        before = refs.read(self._git, self._names)
        for attempt in range(1, _TRIES + 1):
            head = self.base()
            at = refs.read(self._git, self._names)
            pushed = tuple(self.unpushed())
            result = PushResult(head=head, pushed=pushed, replayed=bool(pushed) and head != before.local)
            specs = {self._branch_ref: f"{head}:{self._branch_ref}"} if head and head != at.remote else {}
            if heartbeat:
                beat = self._heartbeat_commit(replace(heartbeat, head=head or ""))
                specs[self._beat_ref] = f"+{beat}:{self._beat_ref}"
            if not self._goes_on():
                raise Abandoned("recovery.git: given up before the push")
            if (done := self._push(specs, result)) is not None:
                return done
            if attempt < _TRIES:
                self.fetch()
                if refs.read(self._git, self._names).remote == at.remote:
                    time.sleep(_PAUSE * attempt)
        self.fetch()
        now = refs.read(self._git, self._names).remote
        raise PushRejected(
            f"recovery.git: push rejected: {self._remote.branch} moved from {_short(before.remote)} to {_short(now)}"
            f" while exporting ({_TRIES} tries)",
            hint="Someone else commits to this branch. Give this exporter its own `repository.branch` or"
            " `repository.path`.",
        )

    def history(
        self, revision: str, *, paths: Sequence[str] = (), since: datetime | None = None, limit: int | None = None
    ) -> Iterator[Commit]:
        """Yield the commits up to `revision`, newest first, that changed anything below `repository.path`.

        Only those that changed one of `paths` (files or folders, relative to it), if there are any, and only those
        changes. `since` is aware.
        """
        folder = self._remote.path
        wanted = [inside(path, folder) for path in paths] or ([f"{folder}/"] if folder else [])
        commit = self.resolve(revision)
        return history(self._git, commit, folder=folder, paths=wanted, since=since, limit=limit)

    def heartbeat(self, *, at: str = "") -> Heartbeat | None:
        """Return the exporter's last sign of life as of the last fetch, or None when there is none.

        Where signatures are verified, none but an allowed signer's is one; `notices` tells of any other. It alone is
        fetched unless it is at the commit `at` here already.
        """
        commit = refs.every(self._git, self._beat_ref).get(self._beat_ref)
        if at and commit != at:
            self._network("fetch", *_QUIET, "origin", f"+{self._beat_ref}:{self._beat_ref}", doing="fetch from")
            commit = refs.every(self._git, self._beat_ref).get(self._beat_ref)
        if commit is None:
            return None
        if self.verifies and not (signature := self.signatures([commit])[commit]).good:
            self.notices.append(f"the exporter's heartbeat is not believed: its commit {commit[:12]} {signature}")
            return None
        if int(self._git.run("cat-file", "-s", commit)) > _MOST_HEARTBEAT:
            raise GitError(f"recovery.git: {self._beat_ref} holds something else than a heartbeat")
        content = self._git.run("cat-file", "commit", commit).decode("utf-8", "replace")
        return heartbeat.parse(content.partition("\n\n")[2])

    def gc_if_due(self) -> bool:
        """Pack the clone when many packs or loose objects have gathered; return whether that was so."""
        return mending.pack_if_due(self._git)

    @property
    def _branch_ref(self) -> str:
        return f"refs/heads/{self._remote.branch}"

    @property
    def _beat_ref(self) -> str:
        return heartbeat.ref_of(self._remote.path)

    def _git_in(self, folder: Path) -> Git:
        return Git(
            folder,
            variables=environment(self._remote),
            shown=self._remote.shown,
            timeout=self._remote.timeout,
            lock=self._lock.descriptor,
            goes_on=self._goes_on,
        )

    def _make_ready(self) -> None:
        mending.check_version(self._git)
        mending.put_back(self._folder)
        if not self._folder.exists():
            mending.create(self._folder, self._git_in)
        else:
            if self._folder.is_dir():
                cache.sweep(self._folder)
            if damaged := mending.damage(self._folder, self._git, self._names):
                self._rebuild(damaged)
        self._object_format = mending.object_format(self._git)

    def _rebuild(self, why: str) -> None:
        """Make the clone anew, with what can be saved of our commits. When that fails, the old one stays."""
        aside = mending.set_aside(self._folder)
        try:
            mending.create(self._folder, self._git_in)
            self._object_format = mending.object_format(self._git)
            self._fetch()
        except BaseException:
            mending.put_back(self._folder)
            raise
        saved = aside.is_dir() and mending.salvage(self._git, aside, self._names)
        cache.remove(aside)
        lost = "" if saved else "; commits that were not pushed are lost, the next export makes up for them"
        self.notices.append(f"the local clone was damaged and has been made anew ({why}){lost}")

    def _fetch(self) -> str | None:
        before = refs.read(self._git, self._names).remote
        self._network("fetch", "--progress", "--prune", *_QUIET, "origin", *refs.FETCHED, doing="fetch from")
        now = refs.read(self._git, self._names).remote
        if before and before != now and not (now and refs.is_ancestor(self._git, before, now)):
            self.rewritten = (before, now)
        return now

    def _push(self, specs: Mapping[str, str], result: PushResult) -> PushResult | None:
        """Push `specs`; return the result with the heartbeat's fate, or None when the remote had moved."""
        if not specs:
            return result
        answers, words = self._sender.send(specs, first=self._branch_ref)
        if Verdict.MOVED in {answer.verdict for answer in answers.values()}:
            return None
        branch, beat = answers.get(self._branch_ref), answers.get(self._beat_ref)
        if beat and beat.verdict is not Verdict.DONE:
            # A hook speaks for all refs of a push at once, so whom it meant shows only when the branch goes alone.
            alone = {ref: spec for ref, spec in specs.items() if ref != self._beat_ref}
            refused = replace(result, heartbeat_refused=words or beat.reason)
            return self._push(alone, refused)
        if branch and branch.verdict is not Verdict.DONE:
            raise PushRejected(
                f"recovery.git: push rejected by {self._remote.shown}: {branch.reason}"
                + (f": {words}" if words else ""),
                hint=f"May this account push to the branch {self._remote.branch}? A protected branch needs an exception"
                " for it.",
            )
        moves: dict[str, str | None] = {}
        if branch:
            moves |= dict.fromkeys((self._names.remote, self._names.local, self._names.known), result.head)
        if beat:
            moves[self._beat_ref] = specs[self._beat_ref].partition(":")[0].removeprefix("+")
        refs.move(self._git, moves)
        return replace(result, heartbeat=beat is not None)

    def _network(self, *arguments: str, doing: str, must_succeed: bool = True) -> Output:
        try:
            output = self._git.network(*arguments)
        except RemoteUnreachable:
            cache.sweep(self._folder)
            raise
        if must_succeed and output.status != 0:
            raise self._git.failed(output, doing=doing)
        return output

    def _sealed(self, commits: Sequence[str]) -> str | None:
        """Return the last of `commits`, our own ones with the oldest first, as it is with all of them signed."""
        return sealing.seal(self._git, commits, key=self._key, object_format=self._object_format)

    def _advance(self, commit: str) -> str:
        sealed = self._sealed([commit]) or commit
        refs.move(self._git, {self._names.local: sealed, SCRATCH: None})
        return sealed

    def _heartbeat_commit(self, beat: Heartbeat) -> str:
        who = signature(self._remote.author_name, self._remote.author_email, beat.time)
        return sealing.note(
            self._git, heartbeat.emit(beat).encode(), who=who, key=self._key, object_format=self._object_format
        )


def _short(commit: str | None) -> str:
    return commit[:7] if commit else "nothing"
