"""Backends of restic as people have them, on loopback: rest-server (https, a login, append-only or not) and S3.

sftp is that of `SshRemote` in git_servers.py.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
from pathlib import Path

from tests.cluster.certificates import Authority
from tests.cluster.claims import claim_port
from tests.cluster.process import Process
from tests.cluster.tools import find

HOST = "127.0.0.1"
START_SECONDS = 30.0


class RestServer:
    """rest-server with the repositories below `root`.

    `url` is where they are, as restic writes it; `environment` holds the login, `ca_file` the authority to trust. With
    `append_only` nothing but locks can be deleted. `most_bytes` is the size beyond which a repository is full.
    """

    def __init__(
        self, folder: Path, *, append_only: bool = False, most_bytes: int = 0, root: Path | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.root = root or folder / "repositories"
        self.root.mkdir(exist_ok=True)
        self.user, self.password = "mover", "rest-server-secret"
        self._claim = claim_port()
        self.port = self._claim.value
        self._options = ["--append-only"] if append_only else []
        self._options += ["--max-size", str(most_bytes)] if most_bytes else []
        authority = Authority(folder / "pki", name="dr-syncer tests rest-server")
        self.ca_file = authority.file
        self._certificate = authority.issue("rest-server")
        self._process: Process | None = None

    def __enter__(self) -> RestServer:
        digest = base64.b64encode(hashlib.sha1(self.password.encode(), usedforsecurity=False).digest()).decode()
        logins = self._folder / "htpasswd"
        logins.write_text(f"{self.user}:{{SHA}}{digest}\n")
        command: list[str | Path] = [find("rest-server"), "--listen", f"{HOST}:{self.port}", "--path", self.root]
        command += ["--htpasswd-file", logins, "--tls"]
        command += ["--tls-cert", self._certificate.certificate, "--tls-key", self._certificate.key]
        self._process = Process([*command, *self._options], log=self._folder / "rest-server.log")
        _await(self, self._process, self.port)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.stop()
        self._claim.release()

    def url(self, name: str, *, port: int = 0) -> str:
        """The repository `name`, through another `port` if given."""
        return f"rest:https://{HOST}:{port or self.port}/{name}/"

    @property
    def environment(self) -> dict[str, str]:
        """The login."""
        return {"RESTIC_REST_USERNAME": self.user, "RESTIC_REST_PASSWORD": self.password}

    def stop(self) -> None:
        """End the server in the middle of whatever it does; its port stays claimed, and nobody answers there."""
        if self._process is not None:
            self._process.stop()


class S3Server:
    """An S3 server (versitygw) whose buckets are the folders of `root`; `bucket` is one of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.root = folder / "buckets"
        self.bucket = self.root / "recovery"
        self.bucket.mkdir(parents=True)
        self.access, self.secret = "AKIADRSYNCERTESTS", "s3-secret-access-key-of-tests"
        self._claim = claim_port()
        self.port = self._claim.value
        self._process: Process | None = None

    def __enter__(self) -> S3Server:
        command: list[str | Path] = [find("versitygw"), "--port", f"{HOST}:{self.port}", "posix", self.root]
        login = {"ROOT_ACCESS_KEY_ID": self.access, "ROOT_SECRET_ACCESS_KEY": self.secret}
        self._process = Process(command, log=self._folder / "versitygw.log", env={**os.environ, **login})
        _await(self, self._process, self.port)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.stop()
        self._claim.release()

    def url(self, name: str) -> str:
        """The repository `name` in the bucket."""
        return f"s3:http://{HOST}:{self.port}/{self.bucket.name}/{name}"

    @property
    def environment(self) -> dict[str, str]:
        """The credentials."""
        return {"AWS_ACCESS_KEY_ID": self.access, "AWS_SECRET_ACCESS_KEY": self.secret}


def _await(server: RestServer | S3Server, process: Process, port: int) -> None:
    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, port)) == 0

    try:
        process.wait_until(listens, what="listening", timeout=START_SECONDS)
    except BaseException:
        server.__exit__()
        raise
