"""A mover as a real process: real restic, real folders, real backends; and what is needed to look at it."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from drsyncer.snapshot import Snapshot, State
from tests.cluster.cheap_key import make_cheap
from tests.cluster.tools import find
from tests.integration.restic_backends import Backend
from tests.unit.volume_trees import ACL, set_xattr
from volumes import result, task
from volumes.result import Reason, Result
from volumes.task import Access, BackupTask, RestoreTask, Volume

ROOT = Path(__file__).parents[2]
QUICKLY = ("--patience", "2")
SLOWLY = 100  # KiB/s: a backup of a megabyte takes ten seconds
SECONDS = 120.0
SECRET_SEED = "dr-syncer-test"
VOLUME = Volume(host="prod", namespace="shop", name="uploads")

# As in a pod without capabilities: what another user closed is closed, for root too.
WITHOUT_CAPABILITIES = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
    if os.geteuid() == 0
    else ()
)


@dataclass(frozen=True, slots=True)
class Ran:
    """How one mover ended."""

    code: int
    left: bytes  # in the termination log
    log: str

    @property
    def result(self) -> Result:
        """The result that it left."""
        assert self.left, f"the mover left no result\n{self.log}"
        return result.decode(self.left)

    @property
    def touched(self) -> bool:
        return self.result.touched

    @property
    def state(self) -> State:
        return self.result.state

    @property
    def reason(self) -> Reason:
        return self.result.reason

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot that the result names."""
        found = self.result.snapshot
        assert found is not None, self.left
        return found


class Mover:
    """Runs movers against one backend, each in a new process as in a pod."""

    def __init__(self, folder: Path, backend: Backend) -> None:
        self.folder = folder
        self.backend = backend
        self.access = Access(repository=backend.repository, retry_lock=0.0)
        folder.mkdir(parents=True, exist_ok=True)

    def init(self) -> None:
        """Make the repository, as `dr-syncer volumes init` would, with a key that costs nothing to open."""
        self.restic("init")
        make_cheap(self.backend.folder, self.backend.password)

    def backup(self, root: Path, *, options: Sequence[str] = (), before: Sequence[str] = (), **more: Any) -> Ran:
        """Run a backup of the folder `root`. `before`: words before the command; `options`: of the mover."""
        return self.run(self.backup_task(root, **more), options=options, before=before)

    def restore(self, snapshot: Snapshot, root: Path, *, options: Sequence[str] = (), **more: Any) -> Ran:
        """Run a restore of `snapshot` into the folder `root`."""
        return self.run(self.restore_task(snapshot, root, **more), options=options)

    def backup_task(self, root: Path, **more: Any) -> BackupTask:
        """The task for a backup of the folder `root`."""
        more = {"access": self.access, "volume": VOLUME, "run": "11111111-2222-3333-4444-555555555555", **more}
        return BackupTask(root=str(root), **more)

    def restore_task(self, snapshot: Snapshot, root: Path, **more: Any) -> RestoreTask:
        """The task for a restore of `snapshot` into the folder `root`."""
        more = {"access": self.access, "volume": VOLUME, "verify": "all", **more}
        more["repository_id"] = more.get("repository_id") or self.repository_id
        return RestoreTask(snapshot=snapshot, root=str(root), **more)

    def run(self, asked: task.Task, *, options: Sequence[str] = (), before: Sequence[str] = ()) -> Ran:
        """Run a mover to its end."""
        with self.running(asked, options=options, before=before) as running:
            return running.wait()

    @contextmanager
    def running(
        self, asked: task.Task, *, options: Sequence[str] = (), before: Sequence[str] = ()
    ) -> Iterator[Running]:
        """A mover that runs, and does not any more after the block."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        self.backend.write(folder / "secret")
        (folder / "secret" / task.TASK).write_bytes(task.encode(asked))
        running = Running(folder, options=options, before=before)
        try:
            yield running
        finally:
            running.kill()

    def restic(self, *arguments: str, stdin: str = "") -> str:
        """Run restic on the repository by hand; return what it printed."""
        done = subprocess.run(
            [find("restic"), *self.options, *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"restic {arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        """The environment for restic by hand."""
        backend = self.backend
        found = {"PATH": os.environ["PATH"], "RESTIC_REPOSITORY": backend.repository, **backend.environment}
        found |= {"RESTIC_PASSWORD": backend.password, "RESTIC_CACHE_DIR": str(self.folder / "cache")}
        if backend.ca_file:
            found["RESTIC_CACERT"] = str(backend.ca_file)
        return found

    @property
    def options(self) -> tuple[str, ...]:
        """What restic by hand must be told of ssh."""
        if self.backend.ssh_key is None:
            return ()
        ssh = f"-F none -i {self.backend.ssh_key} -o UserKnownHostsFile={self.backend.known_hosts}"
        return ("-o", f"sftp.args={ssh}")

    @functools.cached_property
    def repository_id(self) -> str:
        """restic's id of the repository."""
        return str(json.loads(self.restic("cat", "config"))["id"])

    def snapshots(self) -> list[dict[str, Any]]:
        """What is in the repository, without manifests."""
        found = json.loads(self.restic("snapshots", "--json", "--no-lock"))
        return [one for one in found if not any(tag.startswith("manifest-of=") for tag in one.get("tags", []))]

    def manifests(self) -> list[dict[str, Any]]:
        """The manifests in the repository."""
        found = json.loads(self.restic("snapshots", "--json", "--no-lock"))
        return [one for one in found if any(tag.startswith("manifest-of=") for tag in one.get("tags", []))]

    def forge_manifest(self, *, of: Snapshot, like: Snapshot) -> str:
        """Store the manifest of the snapshot `like` as that of `of`; return its id."""
        words = ("backup", "--stdin", "--stdin-filename", "manifest.jsonl", "--host", "prod", "--json")
        tags = (f"pvc={VOLUME.namespace}/{VOLUME.name}", f"manifest-of={of.id}")
        text = self.restic("dump", like.manifest, "/manifest.jsonl")
        out = self.restic(*words, *(word for tag in tags for word in ("--tag", tag)), stdin=text)
        return str(json.loads(out.splitlines()[-1])["snapshot_id"])

    def locks(self) -> list[str]:
        """The locks that are in the repository's folder."""
        folder = self.backend.folder / "locks"
        names = [file.name for file in folder.iterdir()] if folder.is_dir() else []  # S3 has no empty folders
        return [name for name in names if "-tmp-" not in name]  # not there yet


class Running:
    """A mover process."""

    def __init__(self, folder: Path, *, options: Sequence[str], before: Sequence[str]) -> None:
        self.folder = folder
        self.log_file = folder / "log"
        self.termination_log = folder / "termination-log"
        self.termination_log.touch()
        self._how = {"options": options, "before": before}
        command = [*before, sys.executable, "-m", "volumes.mover", "--folder", str(folder / "secret")]
        command += ["--termination-log", str(self.termination_log), *options]
        environment = {
            "PATH": f"{find('restic').parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(folder),
            # Nothing of these may reach restic.
            "RESTIC_PASSWORD": SECRET_SEED,
            "AWS_ACCESS_KEY_ID": SECRET_SEED,
        }
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd="/")

    def wait(self) -> Ran:
        """Wait for its end."""
        code = self.process.wait(SECONDS)
        return Ran(code, self.termination_log.read_bytes(), self.log)

    def again(self) -> Running:
        """Start it anew in the same folder."""
        return Running(self.folder, **self._how)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it and its restic as a container ends: at once, and all of it."""
        restic = self.children()
        if self.process.poll() is None:
            self.process.kill()
        for pid in restic:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def children(self) -> list[int]:
        """The processes that it started and that still run."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            return [int(pid) for pid in found.read_text().split()]
        except FileNotFoundError:
            return []

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")


def wait_until(ready: Callable[[], object], *, what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < deadline, f"no {what} within {SECONDS:.0f} s"
        time.sleep(0.01)


def fill(folder: Path) -> Path:
    """Put into `folder` what volumes hold, the odd things among it. Return it."""
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "/".join(f"level {number}" for number in range(40))).mkdir(parents=True)
    (folder / ("n" * 255)).write_text("the longest name")
    (folder / "empty").mkdir()
    (folder / "app.conf").write_text("colour = blue\n")
    (folder / "app.conf").chmod(0o640)
    (folder / "deep" / "er" / "data.bin").write_bytes(os.urandom(300_000))
    (folder / "deep" / "link").symlink_to("er/data.bin")
    (folder / "deep" / "dangling").symlink_to("/nowhere")
    os.link(folder / "app.conf", folder / "deep" / "hard")
    (folder / "name\nwith newline").write_text("x")
    Path(os.fsdecode(os.fsencode(folder) + b"/not-utf8-\xff")).write_text("y")
    with (folder / "sparse").open("wb") as stream:
        stream.truncate(5_000_000)
        stream.seek(4_000_000)
        stream.write(b"end")
    for name, value in (("user.note", b"a\0b"), ("system.posix_acl_access", ACL)):
        set_xattr(folder / "app.conf", name, value)
    set_xattr(folder / "empty", "system.posix_acl_default", ACL)
    os.utime(folder / "app.conf", ns=(1, 1_234_567_890_123_456_789))
    os.utime(folder / "empty", ns=(1, 1_111_111_111_222_333_444))
    os.utime(folder / "deep" / "dangling", ns=(1, 987_654_321_012_345_678), follow_symlinks=False)
    (folder / "deep").chmod(0o2750)
    if os.geteuid() == 0:
        os.chown(folder / "app.conf", 1234, 5678)
    return folder


def portrait(folder: Path) -> dict[bytes, tuple[object, ...]]:
    """Everything in a folder that a restore must give back, seen by a walk that shares nothing with the program."""
    found: dict[bytes, tuple[object, ...]] = {}
    base = os.fsencode(folder)
    names: dict[int, list[bytes]] = {}
    for here, folders, files in os.walk(base):
        for name in [*folders, *files]:
            path = here + b"/" + name
            seen = os.lstat(path)
            mode = seen.st_mode
            content = ""
            if stat.S_ISLNK(mode):
                content = str(Path(os.fsdecode(path)).readlink())
            elif stat.S_ISREG(mode):
                content = hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest()
                names.setdefault(seen.st_ino, []).append(path[len(base) :])
            when = seen.st_mtime_ns
            kept = tuple((each, os.getxattr(path, each, follow_symlinks=False)) for each in _xattrs(path))
            found[path[len(base) :]] = (oct(mode), seen.st_uid, seen.st_gid, when, content, kept)
    for group in names.values():
        for path in group:
            found[path] = (*found[path], tuple(sorted(group)))
    return found


def _xattrs(path: bytes) -> list[str]:
    """The names of extended attributes, ACLs among them; the label of SELinux is the node's."""
    return sorted(name for name in os.listxattr(path, follow_symlinks=False) if name != "security.selinux")


def slow(mover: Mover) -> Access:
    """Access that makes a backup or a restore take so long that there is a middle."""
    return msgspec.structs.replace(mover.access, upload_limit=SLOWLY, download_limit=SLOWLY)


def assert_not_whole(ran: Ran, state: State, reason: Reason, *, code: int) -> None:
    """Nothing of this result can be taken for a backup or a restore that succeeded."""
    assert (ran.state, ran.reason) == (state, reason), ran.result
    assert ran.code == code != 0
    assert not ran.state.whole
    assert ran.result.message


def assert_no_backup(ran: Ran, state: State, reason: Reason, *, code: int) -> None:
    """As `assert_not_whole`, and no recovery point can name what it made."""
    assert_not_whole(ran, state, reason, code=code)
    assert ran.result.snapshot is None or not ran.result.snapshot.state.whole
