"""SSH keys and files of allowed signers, made by the real ssh-keygen."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

needs_ssh_keygen = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="needs ssh-keygen (Debian: openssh-client)"
)


@dataclass(frozen=True)
class Signer:
    """A key pair; `name` is the principal."""

    name: str
    file: Path

    @property
    def public(self) -> str:
        return " ".join(self.file.with_name(f"{self.file.name}.pub").read_text().split()[:2])

    def line(self, options: str = 'namespaces="git"') -> str:
        """Return this signer's line of an allowed signers' file."""
        return f"{self.name} {options} {self.public}\n" if options else f"{self.name} {self.public}\n"


def signer(folder: Path, name: str, *, passphrase: str = "", kind: str = "ed25519") -> Signer:
    """Make a key pair in `folder`."""
    file = folder / f"key-{name.replace('@', '-')}"
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "", "-f", str(file)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return Signer(name, file)


def allowed(folder: Path, *lines: str, name: str = "allowed_signers") -> Path:
    """Write a file of allowed signers."""
    file = folder / name
    file.write_text("# who may sign\n\n" + "".join(lines))
    return file
