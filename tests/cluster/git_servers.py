"""Git remotes as people have them, served by real git: a path, https with a login, ssh with keys."""

from __future__ import annotations

import base64
import getpass
import os
import pwd
import shlex
import shutil
import socket
import subprocess
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import IO, BinaryIO, cast
from urllib.parse import quote, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.cluster.certificates import Authority
from tests.cluster.claims import claim_port
from tests.cluster.process import Process
from tests.cluster.tls_server import HOST, TlsServer

CHUNK = 65536
NAME = "recovery.git"
PRIVILEGE_SEPARATION = Path("/run/sshd")
START_SECONDS = 10.0
TIMEOUT_SECONDS = 120.0


def git(*args: str | Path, cwd: Path | None = None, check: bool = True, env: dict[str, str] | None = None) -> str:
    """Run git as a person with an identity would; return stdout without its last newline. `check` raises on failure."""
    identity = ("-c", "user.name=Test Person", "-c", "user.email=test.person@example.com")
    result = subprocess.run(
        ["git", *identity, *map(str, args)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if check and result.returncode:
        raise RuntimeError(f"git {' '.join(map(str, args))}: exit {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout.removesuffix("\n")


def bare_repository(path: Path) -> Path:
    """Create an empty bare repository whose default branch is `main`; return its path."""
    git("init", "--quiet", "--bare", "--initial-branch=main", path)
    return path


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to the https remote, and what it was answered."""

    method: str
    path: str
    user: str
    status: int


class HttpsRemote:
    """A bare repository behind https and a login, by `git http-backend`.

    `url` is without credentials; `user` and `token` are what it asks for (also as `Authorization: Bearer`). Setting
    `token` makes the old one expire at once. `ca_file` is the authority to trust. `path` is the repository on disk.
    """

    def __init__(self, folder: Path, *, user: str = "dr-syncer", token: str = "first-token") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = bare_repository(folder / NAME)
        self.root = folder
        self.user, self.token = user, token
        self._asked: list[Asked] = []
        self._lock = threading.Lock()
        authority = Authority(folder / "pki", name="dr-syncer tests git")
        self.ca_file = authority.file
        self._certificate = authority.issue("git")
        self._server = TlsServer(_GitHandler, owner=self, timeout=TIMEOUT_SECONDS)
        self.port = self._server.port
        self.url = f"https://{HOST}:{self.port}/{NAME}"

    def __enter__(self) -> HttpsRemote:
        self._server.start(self._certificate)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def requests(self) -> list[Asked]:
        """The requests so far."""
        with self._lock:
            return list(self._asked)

    @property
    def url_with_credentials(self) -> str:
        """`url` with user and token inside."""
        return self.url.replace("https://", f"https://{quote(self.user, safe='')}:{quote(self.token, safe='')}@")

    @property
    def git_env(self) -> dict[str, str]:
        """Environment for `git`: trust `ca_file`."""
        return {"GIT_SSL_CAINFO": str(self.ca_file)}

    def accepts(self, authorization: str) -> bool:
        """Whether a request with this Authorization header may pass."""
        scheme, _, value = authorization.partition(" ")
        login = base64.b64encode(f"{self.user}:{self.token}".encode()).decode()
        return (scheme.lower(), value) in {("basic", login), ("bearer", self.token)}

    def record(self, asked: Asked) -> None:
        """Remember a request."""
        with self._lock:
            self._asked.append(asked)


class _GitHandler(BaseHTTPRequestHandler):
    """One connection, one request: the CGI program's end is the answer's end."""

    server: TlsServer

    def log_message(self, format: str, *args: object) -> None:
        """Requests are recorded as values, not printed."""

    def do_GET(self) -> None:
        remote: HttpsRemote = self.server.owner
        authorization = self.headers.get("Authorization", "")
        if not remote.accepts(authorization):
            self._answer_401()
            remote.record(Asked(self.command, self.path, "", 401))
            return
        status = self._run_backend(remote)
        remote.record(Asked(self.command, self.path, remote.user, status))

    do_POST = do_HEAD = do_GET

    def _answer_401(self) -> None:
        # Reading the body first: closing on unread data would reset the connection under the answer.
        for _ in self._body():
            pass
        self.send_response_only(401)
        self.send_header("WWW-Authenticate", 'Basic realm="recovery repository"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _run_backend(self, remote: HttpsRemote) -> int:
        command = ["git", "http-backend"]
        env = {**os.environ, **self._cgi_environment(remote)}
        with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as backend:
            assert backend.stdin is not None
            assert backend.stdout is not None
            feeder = threading.Thread(target=self._feed, args=(backend.stdin,))
            feeder.start()
            try:
                return self._copy_answer(backend.stdout)
            finally:
                # When the client is gone nobody reads on, and git would wait for a reader for ever.
                backend.stdout.close()
                self.close_connection = True
                feeder.join()

    def _feed(self, stdin: IO[bytes]) -> None:
        try:
            with stdin:
                for data in self._body():
                    stdin.write(data)
        except (BrokenPipeError, ConnectionError, TimeoutError, ValueError):
            # git answered without reading all, or the client hung up in the middle: either side reports it itself.
            self.close_connection = True

    def _copy_answer(self, stdout: IO[bytes]) -> int:
        status, headers = 200, []
        while line := stdout.readline().decode().strip():
            name, _, value = line.partition(":")
            if name.lower() == "status":
                status = int(value.split()[0])
            else:
                headers.append((name, value.strip()))
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        shutil.copyfileobj(stdout, self.wfile, CHUNK)
        return status

    def _cgi_environment(self, remote: HttpsRemote) -> dict[str, str]:
        """RFC 3875, and git-http-backend(1). Without CONTENT_LENGTH (a chunked body) git reads to the end."""
        url = urlsplit(self.path)
        found = {
            "GIT_PROJECT_ROOT": str(remote.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": url.path,
            "QUERY_STRING": url.query,
            "REMOTE_USER": remote.user,
            "REMOTE_ADDR": HOST,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": self.headers.get("Content-Length", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        return {name: value for name, value in found.items() if value}

    def _body(self) -> list[bytes] | _Chunks:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return _Chunks(cast(BinaryIO, self.rfile))
        return [self.rfile.read(int(self.headers.get("Content-Length") or 0))]


class _Chunks:
    """The parts of a chunked request body (RFC 9112, 7.1)."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def __iter__(self) -> _Chunks:
        return self

    def __next__(self) -> bytes:
        size = int(self._stream.readline().split(b";")[0] or b"0", 16)
        data = self._stream.read(size)
        self._stream.readline()
        if not size:
            raise StopIteration
        return data


def why_no_sshd() -> str:
    """Why there can be no ssh remote on this machine; "" when there can."""
    missing = [name for name in ("sshd", "ssh") if _program(name) is None]
    return f"{' and '.join(missing)} not installed (Debian: openssh-server)" if missing else ""


class SshRemote:
    """A bare repository behind a real sshd on loopback, run by this user for this user. It speaks sftp, too.

    `url`, `key_file` (accepted), `other_key_file` (not accepted), `known_hosts_file` and `host_key` (a line).
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._folder = folder
        self.path = bare_repository(folder / NAME)
        self._claim = claim_port()
        self.port = self._claim.value
        self.user = getpass.getuser() if os.getuid() else pwd.getpwuid(0).pw_name
        self.url = f"ssh://{self.user}@{HOST}:{self.port}{self.path}"
        self.key_file, accepted = key_pair(folder / "client-key")
        self.other_key_file, _ = key_pair(folder / "other-key")
        self._host_key_file, self.host_key = key_pair(folder / "host-key")
        self.known_hosts_file = folder / "known_hosts"
        self.known_hosts_file.write_text(f"[{HOST}]:{self.port} {self.host_key}\n")
        (folder / "authorized_keys").write_text(f"{accepted}\n")
        self._process: Process | None = None

    def __enter__(self) -> SshRemote:
        if os.getuid() == 0:
            # Where no service has been started yet, what sshd of root insists on is not there.
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        config = self._folder / "sshd_config"
        config.write_text(self._configuration())
        command = [_program("sshd") or "sshd", "-D", "-e", "-f", str(config)]
        process = self._process = Process(command, log=self._folder / "sshd.log")
        try:
            process.wait_until(self._listens, what="listening", timeout=START_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.stop()
        self._claim.release()

    @property
    def log(self) -> str:
        """What sshd wrote so far."""
        return (self._folder / "sshd.log").read_text(errors="replace")

    @property
    def git_env(self) -> dict[str, str]:
        """Environment for `git`: the accepted key, and the host key that the server really has."""
        options = ["IdentitiesOnly=yes", "StrictHostKeyChecking=yes", f"UserKnownHostsFile={self.known_hosts_file}"]
        command = ["ssh", "-F", "none", "-i", str(self.key_file)]
        for option in [*options, "BatchMode=yes"]:
            command += ["-o", option]
        return {"GIT_SSH_COMMAND": shlex.join(command)}

    def _configuration(self) -> str:
        lines = [
            f"Port {self.port}",
            f"ListenAddress {HOST}",
            f"HostKey {self._host_key_file}",
            f"AuthorizedKeysFile {self._folder / 'authorized_keys'}",
            "PidFile none",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "LogLevel VERBOSE",
            "Subsystem sftp internal-sftp",
        ]
        return "\n".join(lines) + "\n"

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0


def _program(name: str) -> str | None:
    """sshd lives in /usr/sbin, which is not on everybody's PATH; and it must be called by its absolute path."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))
    return str(Path(found).resolve()) if found else None


def key_pair(path: Path) -> tuple[Path, str]:
    """Write an OpenSSH private key; return its path and the public key as one line."""
    key = ed25519.Ed25519PrivateKey.generate()
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return path, public.decode()
