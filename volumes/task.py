"""What a dispatcher tells a mover: one JSON document, a file in the mover's Secret, beside the credentials.

The Secret is mounted as a folder (`FOLDER`), whose files are:

    task.json                      a `Task`
    password                       of the restic repository
    ca.crt, ssh-key, known-hosts   where the backend needs them
    environment.<NAME>             the environment variable NAME for restic
"""

from __future__ import annotations

from typing import Final

import msgspec

from drsyncer.snapshot import Snapshot

FOLDER: Final = "/run/dr-syncer"
DATA: Final = "/data"  # where the volume is mounted
TASK: Final = "task.json"
PASSWORD: Final = "password"  # noqa: S105 - a file's name
CA: Final = "ca.crt"
SSH_KEY: Final = "ssh-key"
KNOWN_HOSTS: Final = "known-hosts"
ENVIRONMENT: Final = "environment."  # before the variable's name


class Access(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """How the restic repository is reached; the credentials are files beside the task."""

    repository: str  # as restic writes it
    options: dict[str, str] = {}  # restic's -o
    compression: str = "auto"
    upload_limit: int = 0  # KiB/s; 0: none
    download_limit: int = 0
    retry_lock: float = 900.0  # seconds


class Volume(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The claim whose data is moved, as the *source* calls it: what snapshots are tagged and looked up with."""

    host: str  # the source cluster's name
    namespace: str
    name: str

    @property
    def tag(self) -> str:
        """The tag that all snapshots of this volume carry."""
        return f"pvc={self.namespace}/{self.name}"


class Counts(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """How much there was in a volume."""

    files: int
    bytes: int


class BackupTask(msgspec.Struct, frozen=True, rename="camel", kw_only=True, tag_field="kind", tag="backup"):
    """Back up the folder `root`, which is the volume."""

    access: Access
    volume: Volume
    run: str  # a UUID, the same for all volumes of a run
    repository_id: str = ""  # when known: another repository at the same place is an error, not a fresh start
    previous: Snapshot | None = None  # the newest whole one, when it is this host's and in this repository: the parent
    counts: Counts | None = None  # of the newest whole one, wherever that is: what a shrink is measured against
    tried: bool = False  # it was compared with what a claim of its name had left before, and nothing was the matter
    confirmed: bool = False  # an Empty result is meant
    shrink_percent: int = 90
    read_concurrency: int = 2
    manifest: str = "full"  # or "metadata"
    root: str = DATA

    @property
    def known(self) -> Counts | Snapshot | None:
        """How much there was in the newest whole snapshot; a dispatcher that is older gives no counts of their own."""
        return self.counts or self.previous


class RestoreTask(msgspec.Struct, frozen=True, rename="camel", kw_only=True, tag_field="kind", tag="restore"):
    """Make the folder `root` what `snapshot` says, or only `path` inside it.

    `look`: write nothing, and ask restic nothing; answer Empty when there is nothing that a restore would overwrite or
    delete, else Failed with the reason NotEmpty and the first names of what there is. `empty`: look once more before
    anything is written, and answer the same.
    """

    access: Access
    volume: Volume
    repository_id: str
    snapshot: Snapshot
    path: str = ""  # inside the volume, without a leading slash; "" for all of it
    verify: str = "metadata"  # none | metadata | all
    look: bool = False
    empty: bool = False
    thorough: bool = False  # no file that is there is taken for right by its time and size
    root: str = DATA


Task = BackupTask | RestoreTask

_decoder: msgspec.json.Decoder[Task] = msgspec.json.Decoder(BackupTask | RestoreTask)


def encode(task: Task) -> bytes:
    """Return `task` as the JSON that `decode` reads."""
    return msgspec.json.encode(task)


def decode(data: bytes) -> Task:
    """Return the task in `data`. Raises msgspec.DecodeError (a ValueError) for anything else."""
    decoded: Task = _decoder.decode(data)
    return decoded
