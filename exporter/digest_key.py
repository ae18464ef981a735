"""The exporter's own key for digests: made once, kept on the source side, never exported.

Looked for in this order: the file that the configuration names; a Secret in the source cluster, which is made at
first use; where the credentials do not allow that, a file of this user. Another key, or none, costs one commit in
which everything is encrypted anew, and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from drsyncer import own
from drsyncer.cluster import Cluster
from drsyncer.config.secrets import Secrets
from drsyncer.errors import ClusterError, Conflict, Forbidden, Invalid, NotFound, UsageError
from drsyncer.json import encode
from drsyncer.manifest import ResourceType
from exporter.confidential import DIGEST_KEY_SECRET

KEY_BYTES = 32
_ENTRY = "key"
_MOST_BYTES = 4096
_SECRET = ResourceType("", "v1", "secrets", "Secret", namespaced=True)
_NAMESPACE = ResourceType("", "v1", "namespaces", "Namespace", namespaced=False)
_ROTATE = "Delete it: the next export makes a new one and encrypts everything anew."


class DigestKey:
    """Finds the key when it is asked for, and makes it where there is none. `notices` are for a person.

    On a dry run nothing is written: a key that does not exist yet is made up for this run alone.
    """

    def __init__(self, config: Secrets, cluster: Cluster, *, dry_run: bool, environ: Mapping[str, str]) -> None:
        self._config = config
        self._cluster = cluster
        self._dry_run = dry_run
        self._environ = environ
        self.notices: list[str] = []

    def find(self) -> bytes:
        """Return the key. Raises UsageError for a file that cannot be used, ClusterError when the cluster fails."""
        if self._config.digest_key_file:
            return _read(Path(self._config.digest_key_file), "exporter.secrets.digestKeyFile")
        try:
            return self._from_cluster()
        except (Forbidden, Invalid) as error:  # rights, or a policy of the cluster
            return self._from_home(error)

    def _from_cluster(self) -> bytes:
        namespace, name = self._config.digest_key_namespace, DIGEST_KEY_SECRET
        try:
            return self._in_cluster()
        except NotFound:
            if self._dry_run:
                return secrets.token_bytes(KEY_BYTES)
        try:
            self._create(namespace, name)
        except NotFound:  # the namespace is missing
            with contextlib.suppress(Conflict):
                self._cluster.create(
                    _NAMESPACE, encode(_manifest("Namespace", {"name": namespace})), namespace="", name=namespace
                )
            with contextlib.suppress(Conflict):
                self._create(namespace, name)
        except Conflict:
            pass  # another exporter was faster
        return self._in_cluster()

    def _in_cluster(self) -> bytes:
        namespace, name = self._config.digest_key_namespace, DIGEST_KEY_SECRET
        found = self._cluster.read(_SECRET, namespace=namespace, name=name)
        try:
            key = base64.b64decode((found.get("data") or {}).get(_ENTRY) or "", validate=True)
        except (binascii.Error, TypeError):
            key = b""
        if len(key) < KEY_BYTES:
            raise ClusterError(
                f"the Secret {namespace}/{name} of the source cluster holds no key of {KEY_BYTES} bytes", hint=_ROTATE
            )
        return key

    def _create(self, namespace: str, name: str) -> None:
        key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        body = {**_manifest("Secret", {"name": name, "namespace": namespace}), "type": "Opaque", "data": {_ENTRY: key}}
        self._cluster.create(_SECRET, encode(body), namespace=namespace, name=name)

    def _from_home(self, error: ClusterError) -> bytes:
        """Return the key from a file of this user, for credentials that may only read the cluster, or not Secrets."""
        base = self._environ.get("XDG_STATE_HOME") or "~/.local/state"
        file = Path(base).expanduser() / "dr-syncer" / f"digest-{self._cluster.uid()}.key"
        place = f"{self._config.digest_key_namespace}/{DIGEST_KEY_SECRET}"
        if not file.exists() and self._dry_run:
            return secrets.token_bytes(KEY_BYTES)
        if not file.exists():
            _make(file)
        self.notices.append(
            f"the key for the digests of Secrets is kept in {file}, since the Secret {place} may not be read or made "
            f"({error}): an export from another machine will encrypt everything anew; grant that, or set "
            "exporter.secrets.digestKeyFile"
        )
        return _read(file, "digest key", ours=True)


def _manifest(kind: str, meta: Mapping[str, str]) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {**meta, "labels": {own.PART_OF: own.OWN_NAME}}}


def _read(file: Path, what: str, *, ours: bool = False) -> bytes:
    """Return the key in `file`. One of our own making must be closed to others; what is mounted has its own rules."""
    try:
        with file.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            data = stream.read(_MOST_BYTES)
    except OSError as error:
        raise UsageError(
            f"{what}: {file}: {error.strerror or type(error).__name__}",
            hint=f"It holds at least {KEY_BYTES} random bytes: `head -c {KEY_BYTES} /dev/urandom > {file}` makes one.",
        ) from None
    if ours and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(f"{what}: {file} is open to others on this machine", hint=f"Run `chmod 600 {file}`.")
    if len(data) < KEY_BYTES:
        raise UsageError(
            f"{what}: {file} holds {len(data)} bytes; expected at least {KEY_BYTES}",
            hint=f"`head -c {KEY_BYTES} /dev/urandom > {file}` makes a new one; everything is encrypted anew then.",
        )
    return data


def _make(file: Path) -> None:
    """Write a new key to `file`, which appears whole or not at all; one that has appeared meanwhile stays."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".digest-") as stream:  # 0600 from the start
            stream.write(secrets.token_bytes(KEY_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(stream.name, file)
    except OSError as error:
        raise UsageError(
            f"no place for the key for the digests of Secrets: {file}: {error.strerror or type(error).__name__}",
            hint="Set exporter.secrets.digestKeyFile to a file with 32 random bytes.",
        ) from None
