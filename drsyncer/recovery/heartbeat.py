"""The sign of life that an exporter leaves while nothing changes.

A parentless commit with an empty tree, whose message is one line of JSON. Without it, "nothing changed for an hour"
and "the exporter died an hour ago" would look the same from the DR side.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from drsyncer.errors import GitError

REF: Final = "refs/dr-syncer/heartbeat"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What the exporter knew at `time`."""

    time: datetime  # aware; the source cluster was read up to here
    head: str  # the commit that held all this; "" when there is none yet
    complete: bool  # False when some type could not be read
    cluster: str  # kube-system's UID of the source cluster
    due: datetime | None = None  # aware; when the next one is due at the latest, None where nobody knows


def ref_of(path: str) -> str:
    """Given `repository.path` return the name of its heartbeat's ref."""
    if not path:
        return REF
    return f"refs/dr-syncer/paths/{'/'.join(_ref_part(part) for part in path.split('/'))}/heartbeat"


def emit(beat: Heartbeat) -> str:
    """Return the commit message that holds `beat`: one line of JSON."""
    content = {
        "cluster": beat.cluster,
        "complete": beat.complete,
        "head": beat.head,
        "time": _written(beat.time),
    }
    if beat.due is not None:
        content["due"] = _written(beat.due)
    return json.dumps(content, sort_keys=True) + "\n"


def parse(message: str) -> Heartbeat:
    """Given the commit message of a heartbeat return what it says. Raises `GitError` for anything else."""
    try:
        content = json.loads(message)
        time = datetime.fromisoformat(content["time"])
        head, complete, cluster = content["head"], content["complete"], content["cluster"]
        moment = time.astimezone(UTC)
        due = datetime.fromisoformat(content["due"]) if "due" in content else None
        until = due.astimezone(UTC) if due else None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise GitError("recovery.heartbeat: the heartbeat's commit holds no heartbeat") from error
    aware = time.tzinfo is not None and (due is None or due.tzinfo is not None)
    if not aware or not isinstance(complete, bool) or not isinstance(cluster, str):
        raise GitError("recovery.heartbeat: the heartbeat's time, complete or cluster is not what it should be")
    if not isinstance(head, str) or not re.fullmatch(r"([0-9a-f]{40}|[0-9a-f]{64})?", head):
        raise GitError("recovery.heartbeat: the heartbeat's head is no commit")
    return Heartbeat(moment, head, complete, cluster, until)


def _written(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _ref_part(part: str) -> str:
    """Return one folder's name as git accepts it in a ref: the rules of git-check-ref-format(1)."""
    # A folder of the name "heartbeat" would need a directory where the ref of the folder above is a file.
    if part == "heartbeat":
        return "%68eartbeat"
    encoded = "".join(
        char if re.fullmatch(r"[A-Za-z0-9_.-]", char) else "".join(f"%{byte:02X}" for byte in char.encode())
        for char in part
    )
    encoded = re.sub(r"^\.|\.$|\.(?=\.)", "%2E", encoded)
    return re.sub(r"\.lock$", "%2Elock", encoded)
