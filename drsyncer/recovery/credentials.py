"""Git's credential helper for https: answers from files, which it reads anew each time.

Git runs this file by itself, as its own program, with nothing but Python's standard library: see gitcredentials(7).
So the token is in no argument, no URL, no variable and no configuration. It goes to one host only, whatever that
host redirects to, and only over https.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

# GitHub's apps require exactly this name beside a token, GitLab, Gitea and Bitbucket Server take any.
_ANY_USER = "x-access-token"


def answer(request: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Given git's request return user name and password, or nothing when it is not for the host they belong to.

    Raises `OSError` or `ValueError` when a file can't be read or holds no single line.
    """
    if request.get("protocol") != "https" or request.get("host", "").lower() != environ["DR_SYNCER_CREDENTIALS_HOST"]:
        return {}
    user_file = environ["DR_SYNCER_CREDENTIALS_USERNAME_FILE"]
    user = _line_of(user_file) if user_file else request.get("username") or _ANY_USER
    return {"username": user, "password": _line_of(environ["DR_SYNCER_CREDENTIALS_TOKEN_FILE"])}


def main(argv: list[str], stdin: TextIO, stdout: TextIO, stderr: TextIO) -> int:
    """Answer one request in the format of git-credential(1); `store` and `erase` are none of our business."""
    if argv[1:] != ["get"]:
        return 0
    request = dict(line.rstrip("\n").partition("=")[::2] for line in stdin if "=" in line)
    try:
        reply = answer(request, os.environ)
    except (OSError, ValueError) as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
        stderr.write(f"fatal: credentials: {reason}\n")
        # Without this, git would go on and ask a person who is not there.
        reply = {"quit": "1"}
    for key, value in reply.items():
        stdout.write(f"{key}={value}\n")
    return 0


def _line_of(file: str) -> str:
    try:
        text = Path(file).expanduser().read_text(encoding="utf-8").strip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{file} holds no text") from None
    if not text or not text.isprintable():
        raise ValueError(f"{file} must hold one line of text")
    return text


if __name__ == "__main__":
    raise SystemExit(main(sys.argv, sys.stdin, sys.stdout, sys.stderr))
