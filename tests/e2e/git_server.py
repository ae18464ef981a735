"""A real Git server in a container beside the clusters' nodes: ssh for the exporter, https for the importer.

And a folder over sftp, for a restic repository.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.certificates import Authority
from tests.cluster.git_servers import key_pair
from tests.e2e.lab.clusters import NETWORK
from tests.e2e.lab.docker import Docker
from tests.e2e.lab.steps import LabFailed, wait_until

NAME = "dr-syncer-git"
IMAGE = "dr-syncer-git:e2e"
REPOSITORY = "/srv/git/recovery.git"
RESTIC = "/srv/restic/volumes"
USER = "dr-syncer"
STARTING = 60.0  # seconds
FOLDER = Path(__file__).with_name("git")
CONFIGURATION = "/etc/git-server"


@dataclass(frozen=True, slots=True)
class GitServer:
    """The server, and what its clients must know. Secrets are made anew for each one."""

    docker: Docker
    folder: Path
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    ssh_url = f"ssh://git@{NAME}{REPOSITORY}"
    https_url = f"https://{NAME}/{REPOSITORY.rpartition('/')[2]}"

    restic_url = f"sftp:restic@{NAME}:{RESTIC}"

    @property
    def key_file(self) -> Path:
        """The private key that may push over ssh."""
        return self.folder / "deploy-key"

    @property
    def restic_key_file(self) -> Path:
        """The private key for the restic repository."""
        return self.folder / "restic-key"

    @property
    def known_hosts(self) -> str:
        """The host key, as `ssh-keyscan` prints it."""
        return (self.folder / "known_hosts").read_text()

    @property
    def ca(self) -> str:
        """The certificate of the authority behind https."""
        return (self.folder / "ca.crt").read_text()

    def start(self) -> None:
        """Start it with an empty repository, in place of any that was there."""
        self.remove()
        self._write_keys()
        self.docker("create", "--name", NAME, "--network", NETWORK, IMAGE)
        for name in ("host-key", "authorized_keys-git", "authorized_keys-restic", "tls.crt", "tls.key", "users"):
            self.docker("cp", "--quiet", self.folder / "server" / name, f"{NAME}:{CONFIGURATION}/{name}")
        self.docker("start", NAME)
        wait_until(self._serves, what=f"answer of the Git server (docker logs {NAME})", seconds=STARTING)

    def remove(self) -> None:
        """Remove it with all that it holds."""
        self.docker("rm", "--force", "--volumes", NAME)

    def cut(self) -> None:
        """Take it off the network: connections just go silent, and its name is unknown."""
        self.docker("network", "disconnect", NETWORK, NAME)

    def heal(self) -> None:
        """Put it back."""
        self.docker("network", "connect", NETWORK, NAME)

    def git(self, *arguments: str) -> str:
        """Run git in the repository itself."""
        return self.docker("exec", "--user", "git", NAME, "git", "-C", REPOSITORY, *arguments)

    def head(self) -> str:
        """The newest commit, "" before the first."""
        try:
            return self.git("rev-parse", "--verify", "--quiet", "refs/heads/main")
        except LabFailed:
            return ""

    def file(self, path: str) -> str:
        """What a file holds in the newest commit, "" when it is not there."""
        try:
            return self.git("show", f"main:{path}")
        except LabFailed:
            return ""

    def _serves(self) -> bool:
        script = "import socket; [socket.create_connection(('127.0.0.1', port)) for port in (22, 443)]"
        try:
            self.docker("exec", NAME, "python3", "-c", script)
        except LabFailed:
            return False
        return True

    def _write_keys(self) -> None:
        server = self.folder / "server"
        server.mkdir(parents=True, exist_ok=True)
        _, host_key = key_pair(server / "host-key")
        (self.folder / "known_hosts").write_text(f"{NAME} {host_key}\n")
        for user, file in (("git", self.key_file), ("restic", self.restic_key_file)):
            _, accepted = key_pair(file)
            (server / f"authorized_keys-{user}").write_text(f"{accepted}\n")
            (server / f"authorized_keys-{user}").chmod(0o644)
        authority = Authority(self.folder, name="dr-syncer e2e")
        pair = authority.issue(NAME, hosts=(NAME,))
        pair.certificate.rename(server / "tls.crt")
        pair.key.rename(server / "tls.key")
        (server / "users").write_text(f"{USER}:{self.token}\n")
