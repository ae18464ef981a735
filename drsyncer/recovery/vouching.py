"""Which commit is a recovery point, whether somebody who may vouches for it, and whose objects are in it."""

from __future__ import annotations

from collections.abc import Mapping

from drsyncer.errors import Refused
from drsyncer.recovery import identity
from drsyncer.recovery.git import Clone, Commit, TreeFile
from drsyncer.recovery.identity import Identity
from drsyncer.recovery.signatures import Signature
from drsyncer.yaml import LIMITS


def point_of(clone: Clone, commit: str) -> Commit:
    """Return the newest commit up to `commit` that changed `repository.path`. Raises Refused when there is none."""
    point = clone.lineage.point(commit)
    if point is None:
        raise Refused(
            f"commit {commit[:12]} holds nothing below repository.path: it is not an export of DR-Syncer",
            hint="Check repository.url, repository.branch and repository.path.",
        )
    return next(clone.history(point, limit=1))


def vouch(clone: Clone, point: str) -> Signature | None:
    """Return who signed a recovery point; None when signatures are not verified.

    Raises Refused when they are and no allowed signer signed it.
    """
    if not clone.verifies:
        return None
    signature = clone.signatures([point])[point]
    if not signature.good:
        raise Refused(
            f"recovery point {point[:12]} {signature}",
            hint="Nothing was changed in DR. Either somebody without a key pushed to the repository: see what "
            f"with `git show {point[:12]}`, and take it out; or the exporter signs with a key that is not in "
            "repository.verify.allowedSignersFile: add it. "
            "`dr-syncer log` says who signed which; a signed one can be imported with --revision.",
        )
    return signature


def source_of(clone: Clone, commit: str, files: Mapping[str, TreeFile]) -> Identity:
    """Return the cluster that the recovery point `commit`, which holds `files`, was exported from.

    Raises Refused when it says nothing of that, and as `identity.read` does.
    """
    file = files.get(identity.FILE)
    if file is None or not file.regular:
        raise Refused(
            f"recovery point {commit[:12]} holds no {identity.FILE}: it is not an export of DR-Syncer",
            hint="Check repository.url, repository.branch and repository.path.",
        )
    ((_, data),) = clone.read([file.blob_id], max_size=LIMITS.max_bytes)
    return identity.read(data or b"")
