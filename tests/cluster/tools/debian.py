"""Packages of Debian, fetched and verified by the machine's own apt. Nothing is installed; its lists stay as is."""

from __future__ import annotations

import subprocess
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ASK_SECONDS = 60.0


def mirror() -> str | None:
    """Return the mirror that this machine's apt uses for Debian; None when it uses none, or there is no apt."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=False).stdout
    except OSError:
        return None
    # Updates and security have names with a dash, and are elsewhere.
    found = next((line.split()[0] for line in listed.splitlines() if "-" not in line.split()[1]), None)
    return found.rstrip("/") if found else None


def apt(folder: Path, *, suite: str, mirror: str) -> list[str]:
    """Return the apt-get command that knows `suite` only, and keeps what it knows in `folder`."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    sources = folder / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {mirror} {suite} main\n")
    options = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",  # its own user may not write into a home folder
    }
    return ["apt-get", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
