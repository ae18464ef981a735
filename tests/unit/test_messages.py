"""What docs/how-to/operate.md quotes as a message is one that the program, git or Kubernetes gives."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "operate.md"
# Said by ssh, and by the kubelet and the API server of a real cluster.
OTHERS = (
    "Host key verification failed",
    "ContainerCreating",
    "CrashLoopBackOff",
    'secret "…" not found',
    "references non-existent secret key: …",
    '… is forbidden: User "system:serviceaccount:…" cannot …',
)


@functools.cache
def program() -> str:
    """The sources, with texts that go on in the next line put together."""
    folders = ("cli", "drsyncer", "exporter", "importer", "transforms", "volumes")
    text = "".join(file.read_text() for folder in folders for file in sorted((ROOT / folder).rglob("*.py")))
    return re.sub(r'"\s*\n\s*f?"', "", text)


def quoted() -> list[str]:
    """The messages in the first column of the tables under *Troubleshooting*."""
    section = PAGE.read_text().partition("\n## Troubleshooting\n")[2]
    cells = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| ")]
    return [span for cell in cells for span in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("message", quoted())
def test_a_message_that_the_page_explains_is_said_by_somebody(message: str) -> None:
    if message in OTHERS:
        return
    said = program()
    for part in filter(None, (part.strip(" ,:;") for part in message.split("…"))):
        assert part in said, f"nobody says {part!r}"
