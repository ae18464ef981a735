"""Hooks: commands that a workload wants run in its pods before and after its volume is read.

They are annotations, of the claim (then for every running pod that uses it) or of a pod (then for that pod; its own
goes before the claim's):

    dr-syncer.io/pre-backup: '["/bin/sh", "-c", "fsfreeze --freeze /data"]'
    dr-syncer.io/post-backup: '{"command": ["…"], "container": "db", "timeout": "30s", "onError": "continue"}'

The commands after are run whatever happened before: also when a command before failed, or all is interrupted; and when
whoever ran those before was killed, by the next who comes (`volumes.healing`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import msgspec

from drsyncer import durations, log, own
from drsyncer.cluster import Cluster
from drsyncer.cluster.exec import execute
from drsyncer.errors import ClusterError, DrSyncerError
from volumes.claims import User
from volumes.endings import failure
from volumes.result import Reason, Result

_logger = log.get(__name__)
_LONGEST = 300  # characters of what a command said


Thaw = Callable[[], None]
Note = Callable[[bool], None]


class Hook(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One command, as the annotation has it. `container`: "" for the pod's first."""

    command: tuple[str, ...]
    container: str = ""
    timeout: str = "30s"
    on_error: Literal["fail", "continue"] = "fail"


class HookInvalid(DrSyncerError):
    """An annotation is no hook."""


class HookFailed(DrSyncerError):
    """A command did not do what it should."""


@dataclass(frozen=True, slots=True)
class Errand:
    """A hook in one pod; `seconds` is its time-out."""

    pod: User
    container: str
    hook: Hook
    seconds: float


def parse(text: str, *, where: str) -> Hook:
    """Return the hook in an annotation; `where` names it for messages. Raises HookInvalid."""
    try:
        found = msgspec.json.decode(text, type=tuple[str, ...] | Hook)
        hook = found if isinstance(found, Hook) else Hook(found)
        seconds = durations.parse(hook.timeout)
    except (msgspec.MsgspecError, ValueError) as error:
        raise HookInvalid(
            f"{where}: {error}",
            hint='Expected a command as JSON, ["/bin/sh", "-c", "…"], or {"command": […], "container": "db", '
            '"timeout": "30s", "onError": "fail"}.',
        ) from None
    if not hook.command or not hook.command[0] or seconds <= 0:
        raise HookInvalid(f"{where}: a command and a time-out above zero are needed")
    return hook


def errands(annotation: str, claim: str, annotations: Mapping[str, str], users: Sequence[User]) -> list[Errand]:
    """Return what the `annotation` (pre-backup or post-backup) of a claim and of its running users asks for.

    Raises HookInvalid.
    """
    found = []
    for user in users:
        mine = user.annotations.get(annotation)
        text = mine or annotations.get(annotation)
        if not user.running or not text:
            continue
        where = f"annotation {annotation} of {'pod ' + str(user) if mine else 'claim ' + claim}"
        hook = parse(text, where=where)
        container = hook.container or next(iter(user.containers), "")
        if container not in user.containers:
            raise HookInvalid(f"{where}: pod {user} has no container {container!r}")
        found.append(Errand(user, container, hook, durations.parse(hook.timeout)))
    return found


def odd_hooks(claim: str, annotations: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the hooks of a claim: without a running pod on it, nobody else reads them."""
    found = []
    for annotation in (own.PRE_BACKUP, own.POST_BACKUP):
        try:
            if text := annotations.get(annotation):
                parse(text, where=f"{claim}: annotation {annotation}")
        except HookInvalid as error:
            found.append(f"{error}; once a running pod uses the claim, its backups will fail. {error.hint}".strip())
    return found


def asks_for_hooks(annotations: Mapping[str, str], users: Sequence[User]) -> bool:
    """Return whether there may be something to do before or after."""
    return any(
        name in asked
        for name in (own.PRE_BACKUP, own.POST_BACKUP)
        for asked in (annotations, *map(_annotations, users))
    )


class _Once:
    """Runs the commands after, the first time that it is called; `note` is told when they did what they should."""

    def __init__(self, run: Callable[[], list[str]], note: Note) -> None:
        self._run: Callable[[], list[str]] | None = run
        self._note = note
        self.trouble: list[str] = []

    def __call__(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            self.trouble = run()
            if not self.trouble:
                self._note(False)


class Hooks:
    """Runs hooks. For many threads: a pod that has any works for one volume at a time, or one would thaw what another
    one has just frozen."""

    def __init__(self, cluster: Cluster, *, goes_on: Callable[[], bool] = lambda: True) -> None:
        self._cluster = cluster
        self._goes_on = goes_on
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def around(
        self,
        claim: str,
        annotations: Mapping[str, str],
        users: Sequence[User],
        go: Callable[[Thaw], Result],
        *,
        note: Note = lambda _: None,
    ) -> Result:
        """Run what is to be run before, then `go`, then what is to be run after, and return the result of all of it.

        A command before that fails, and must not, is a failure of the backup, which is not begun. One after it leaves
        the result as it is, with a message: the data is there, and the workload may need help. `go` is given what runs
        the commands after, for when that may be before its own end: once a copy of the volume is made. `note` is told,
        where there are commands after, that they are due before any other is run, and that they are not any more.
        """
        begun = datetime.now(UTC)
        try:
            before = errands(own.PRE_BACKUP, claim, annotations, users)
            after = errands(own.POST_BACKUP, claim, annotations, users)
        except HookInvalid as fault:
            return failure(Reason.HOOK, f"{fault}. {fault.hint}".strip(), start=begun, end=datetime.now(UTC))
        with self._alone({errand.pod.uid for errand in (*before, *after)}):
            if not self._goes_on():  # it may have waited for hours
                return failure(Reason.INTERRUPTED, "interrupted before it began", start=begun, end=datetime.now(UTC))
            if not after:
                note = _nobody
            note(True)
            thaw = _Once(lambda: self._run_all(after), note)
            try:
                try:
                    self._run(before)
                except HookFailed as error:
                    result = failure(Reason.HOOK, str(error), start=begun, end=datetime.now(UTC))
                else:
                    result = go(thaw)
            finally:
                thaw()
        if not thaw.trouble:
            return result
        message = " ".join((*([result.message] if result.message else []), *thaw.trouble))
        reason = Reason.HOOK if result.state.whole else result.reason
        return msgspec.structs.replace(result, message=message, reason=reason)

    def let_go(self, claim: str, annotations: Mapping[str, str], users: Sequence[User]) -> list[str] | None:
        """Run the commands after alone, for who could not; return what went wrong, None where there are none."""
        try:
            after = errands(own.POST_BACKUP, claim, annotations, users)
        except HookInvalid as fault:
            return [f"{fault}. {fault.hint}".strip()]
        if not after:
            return None
        with self._alone({errand.pod.uid for errand in after}):
            return self._run_all(after)

    def _run(self, before: Sequence[Errand]) -> None:
        for errand in before:
            if why := self._failed(errand):
                if errand.hook.on_error == "fail":
                    raise HookFailed(f"the pre-backup hook {why}")
                _logger.warning("a hook failed, and may", why=why)

    def _run_all(self, after: Sequence[Errand]) -> list[str]:
        """Run each of them whatever becomes of the others; return what must not have failed and did."""
        trouble = []
        for errand in after:
            if why := self._failed(errand):
                if errand.hook.on_error == "fail":
                    trouble.append(f"The post-backup hook {why}")
                else:
                    _logger.warning("a hook failed, and may", why=why)
        return trouble

    def _failed(self, errand: Errand) -> str:
        """Run one command; return what went wrong, or ""."""
        pod = errand.pod
        try:
            done = execute(
                self._cluster,
                namespace=pod.namespace,
                pod=pod.name,
                container=errand.container,
                command=errand.hook.command,
                timeout=errand.seconds,
            )
        except ClusterError as error:
            return f"in pod {pod} failed: {_masked(str(error))}"
        if done.exit_code == 0:
            return ""
        said = f": {_masked(done.output)[-_LONGEST:]}" if done.output else ""
        return f"in pod {pod}, container {errand.container}, ended with exit code {done.exit_code}{said}"

    @contextmanager
    def _alone(self, pods: set[str]) -> Iterator[None]:
        with ExitStack() as stack:
            for uid in sorted(pods):  # always in the same order: no two threads wait for each other
                with self._lock:
                    lock = self._locks.setdefault(uid, threading.Lock())
                stack.enter_context(lock)
            yield


def _masked(output: str) -> str:
    """Return what a command said, without what looks like a secret: it goes into the record, and so into Git."""
    text: str = log.mask(output)
    return text


def _nobody(_due: bool) -> None:
    pass


def _annotations(user: User) -> Mapping[str, str]:
    return user.annotations
