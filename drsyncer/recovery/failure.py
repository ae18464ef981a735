"""What git's words mean: from the text on its error stream to one of this project's errors.

A table, tried from top to bottom. Git has no error codes; its messages have been stable for years, and it always
runs with LC_ALL=C.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from drsyncer.errors import AuthenticationFailed, GitError, RemoteUnreachable
from drsyncer.recovery.remote import masked


class CloneDamaged(GitError):
    """The local clone is broken. It is a cache: it gets made anew."""


@dataclass(frozen=True, slots=True)
class _Meaning:
    pattern: str  # in any case; compiled when something failed, which is hardly ever
    error: type[GitError]
    hint: str


_DISK_FULL = (
    _Meaning(
        r"no space left on device|disk quota exceeded|out of disk ?space|file too large",
        GitError,
        "Free some space where the clone is (repository.cacheDir), or on the Git server if it says so.",
    ),
)
_NOT_LET_IN = (
    _Meaning(
        r"host key verification failed|remote host identification has changed|no .* host key is known",
        AuthenticationFailed,
        "The server's host key is not the known one. Put the right one into repository.auth.knownHostsFile"
        " (`ssh-keyscan`, and compare the fingerprint).",
    ),
    _Meaning(
        r"unprotected private key file|load key .*: bad permissions|load key .*: (invalid format|error in libcrypto)"
        r"|identity file .* not accessible",
        AuthenticationFailed,
        "ssh can't use repository.auth.sshKeyFile: it must be a private key without passphrase, and readable by its"
        " owner only.",
    ),
    _Meaning(
        r"permission denied \(|too many authentication failures",
        AuthenticationFailed,
        "The server does not accept the ssh key. Is repository.auth.sshKeyFile the one that it knows?",
    ),
    _Meaning(
        r"^fatal: credentials: ",
        AuthenticationFailed,
        "Check repository.auth.tokenFile and repository.auth.usernameFile.",
    ),
    _Meaning(
        r"authentication failed|could not read (username|password)|access denied|returned error: 40[13]"
        r"|permission to .* denied|you are not allowed to (push|pull|download|upload)|not authorized"
        r"|authorization failed|invalid (username|credentials)|told us to quit",
        AuthenticationFailed,
        "Is the token in repository.auth.tokenFile still valid, and may it do this (read, and for an exporter write)?",
    ),
)
_NOT_REACHED = (
    _Meaning(
        r"certificate problem|certificate verif|ssl certificate|self.signed certificate|error setting certificate",
        RemoteUnreachable,
        "The server's certificate is not trusted. Name its CA as repository.auth.caFile.",
    ),
    _Meaning(
        r"dubious ownership",
        RemoteUnreachable,
        "Another user owns the repository's folder. Run as that user, or give it to this one.",
    ),
    _Meaning(
        r"transport '.*' not allowed",
        GitError,
        "Use an https, ssh or file URL.",
    ),
    _Meaning(
        r"could not resolve (host|proxy)|name or service not known|temporary failure in name resolution"
        r"|failed to connect|couldn.t connect|connection (refused|timed out|reset|closed)|operation timed out"
        r"|network is unreachable|no route to host|operation too slow|does not appear to be a git repository"
        r"|repository .*not (found|exist)|not found|no such file or directory|could not read from remote repository"
        r"|unable to access|returned error: \d+|hung up|early eof|rpc failed|unable to look up|protocol error"
        r"|not valid: is this a git repository|invalid server response|kex_exchange",
        RemoteUnreachable,
        "Check repository.url, and whether the Git server can be reached from here.",
    ),
)
_DAMAGE = re.compile(
    r"is corrupt|(bad|corrupt) (object|index|pack|config|ref|tree)|object file .* is empty|broken ref|has null sha1"
    r"|unable to (read|parse|find) (tree|sha1|object|commit|[0-9a-f]{40})"
    r"|could not (parse|get|read) (object|tree|commit)"
    r"|missing (blob|tree|commit|object)|packfile .* (is|cannot|does|claims)|(idx|pack) cannot be opened"
    r"|index file .* (is|too)|inflate|invalid (object|sha1 pointer)|garbage at end|not a valid object"
    # What a folder says that lost its HEAD, and a clone whose remote was made anew with the other kind of hash.
    r"|not a git repository|mismatched algorithms|does not support this repository.s hash algorithm",
    re.IGNORECASE,
)
_PROGRESS = re.compile(
    r"\d+% \(\d+/\d+\)|(objects|deltas|compression|references): +\d|, done\.|^(remote: )?total \d+ \(delta"
    r"|^delta compression using|^pseudo-terminal|^warning: permanently added"
)
# Sentences that git and ssh add to the one that says what is wrong.
_CHATTER = re.compile(
    r"^(hint:|please make sure|and the repository exists|warning: |remote: ?$|error: failed to push"
    r"|fatal: could not read from remote repository|@+$)",
    re.IGNORECASE,
)
_WORST = re.compile(r"^(fatal|error): ", re.IGNORECASE)


def tidy(text: str) -> list[str]:
    """Given what git wrote on its error stream return the lines that say something, fit to be shown.

    Progress is gone, URLs are masked, and control characters, which a hostile server may send, are replaced.
    """
    lines = []
    for line in re.split(r"[\r\n]+", text):
        clean = "".join(char if char.isprintable() else "?" for char in line.replace("\x1b[K", "").strip())
        if clean and not _PROGRESS.search(clean.lower()):
            lines.append(masked(clean)[:500])
    return lines


def remote_words(text: str) -> str:
    """Return what the remote's hooks said, in one line: git marks it with `remote: `."""
    words = [line.removeprefix("remote:").strip() for line in tidy(text) if line.startswith("remote:")]
    return " ".join(word for word in words if word)[:2_000]


def failure(text: str, *, doing: str, local: bool) -> GitError:
    """Given git's error stream return the error to raise.

    `doing` says what was tried, with the URL if there was one. `local`: the command spoke to no remote, so that damage
    can only be the clone's own.
    """
    lines = tidy(text)
    ours = [line for line in lines if not line.startswith("remote:")]
    damaged = [line for line in ours if _DAMAGE.search(line)]
    before, after = (_DISK_FULL, ()) if local else (_DISK_FULL + _NOT_LET_IN, _NOT_REACHED)
    if known := _known(before, lines, doing):
        return known
    if damaged:
        return CloneDamaged(f"recovery.git: {doing}: {damaged[0]}")
    return _known(after, lines, doing) or GitError(f"recovery.git: {doing}: {_sentence([], lines)}")


def silent(*, doing: str, seconds: float) -> RemoteUnreachable:
    """Return the error for a remote that gave no sign of life, or came to no end."""
    return RemoteUnreachable(
        f"recovery.git: {doing}: no answer within {seconds:g} s",
        hint="Check whether the Git server can be reached from here; repository.timeout sets how long to wait.",
    )


def _known(meanings: tuple[_Meaning, ...], lines: list[str], doing: str) -> GitError | None:
    for meaning in meanings:
        if found := [line for line in lines if re.search(meaning.pattern, line, re.IGNORECASE)]:
            error: GitError = meaning.error(f"recovery.git: {doing}: {_sentence(found, lines)}", hint=meaning.hint)
            return error
    return None


def _sentence(found: list[str], lines: list[str]) -> str:
    """Return the line that tells most: one that was recognised, before chatter; else the worst one."""
    for group in (found, [line for line in lines if _WORST.match(line)], lines):
        telling = [line for line in group if not _CHATTER.match(line)] or group
        if telling:
            return _WORST.sub("", telling[0])
    return "git failed without a word"
