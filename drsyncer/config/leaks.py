"""Secrets that somebody wrote into the configuration. A fault says where they belong and never repeats them."""

from __future__ import annotations

import re

_URL_PASSWORD = re.compile(r"[a-z0-9+.-]://[^/\s:@\[\]]+:[^/\s@]+@", re.IGNORECASE)
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{15,}"
    r"|AKIA[A-Z0-9]{16}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)"
)
_SECRET_KEY = re.compile(
    r"(?:token|passw(?:or)?d|passphrase|secret|identity|bearer|(?:api|private|access|ssh|age|secret)key)$",
    re.IGNORECASE,
)


def found_in(text: str) -> str:
    """Given any text of the file, return what is wrong with it if it holds a secret, and "" if not."""
    if "AGE-SECRET-KEY-" in text.upper():
        return "an age identity does not belong in this file; keep it in a file that only its reader can open"
    if "-----BEGIN" in text:
        return (
            "a key or certificate does not belong in this file; keep it in a file and name that, "
            "as in repository.auth.sshKeyFile or repository.auth.caFile"
        )
    if _URL_PASSWORD.search(text):
        return (
            "a password does not belong in a URL; keep it in a file and name that in repository.auth.tokenFile, "
            "the user name in repository.auth.usernameFile"
        )
    if _TOKEN.search(text):
        return (
            "an access token does not belong in this file; keep it in a file and name that in repository.auth.tokenFile"
        )
    return ""


def named_by(key: str) -> str:
    """Given a key that the schema does not know, return what is wrong with it if it is there for a secret, else ""."""
    if not _SECRET_KEY.search(re.sub(r"[-_. ]", "", key)):
        return ""
    return (
        "secrets are never values of this file: keep it in a file and name that, "
        "as in repository.auth.tokenFile or repository.auth.sshKeyFile"
    )
