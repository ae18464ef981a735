"""How the marker on a claim is written (see `drsyncer.restored`): compared with what was there, and swapped.

Two restores of one claim must not overwrite each other's markers: the loser would put an old "complete" back while the
winner writes.
"""

from __future__ import annotations

from typing import Final

import msgspec

from drsyncer import own
from drsyncer.cluster import Cluster
from drsyncer.errors import Conflict, NotFound, Refused
from drsyncer.json import encode_for_apply
from drsyncer.manifest import Manifest, metadata
from drsyncer.restored import FIELD_MANAGER, Marker, Progress, UnreadableMarker, encode, marker_of
from drsyncer.snapshot import State
from volumes.restore_look import CLAIMS, look_at
from volumes.restore_plan import Claim, Key
from volumes.result import Reason, Result

_TRIES = 5
_LONGEST: Final = 500  # characters of a message in a marker


class Overtaken(Refused):
    """Somebody else restores into the claim, or it is another claim by now. Nothing was changed."""


def swap(cluster: Cluster, claim: Claim, before: Marker | None, after: Marker | None) -> None:
    """Write `after` on `claim` (None: no marker), which must be the same claim and bear the marker `before`.

    One that cannot be read counts as none. Raises Overtaken, ClusterError.
    """
    for _ in range(_TRIES):
        there = _read(cluster, claim.key)
        if metadata(there).get("uid") != claim.uid:
            raise Overtaken(f"{claim.key}: the claim was deleted and made anew meanwhile", hint="Run it again.")
        found = _marker(there)
        if found == after:
            return  # the answer to an earlier try was lost
        if found != before:
            raise Overtaken(f"{claim.key}: another restore into it is at work", hint="Wait for its end.")
        try:
            cluster.apply(
                CLAIMS,
                encode_for_apply(_body(claim, str(metadata(there)["resourceVersion"]), after)),
                namespace=claim.key.namespace,
                name=claim.key.name,
                force=True,
                metadata_only=True,
                manager=FIELD_MANAGER,
            )
        except Conflict:  # its status changed in between
            continue
        return
    raise Overtaken(f"{claim.key}: somebody writes to the claim all the time", hint="Run it again.")


def take_up(cluster: Cluster, key: Key, result: Result, *, uid: str = "") -> None:
    """Let the marker of a claim say what a mover said that a dispatcher which died had left behind.

    Not that of another claim of the name than the one with this `uid`, if that is known. A mover that found something
    where nothing of ours was left it alone: the marker goes, since there was none before; unless its reason
    says that it goes on with an earlier one.
    """
    claim = look_at(cluster, key)
    if claim is None or claim.marker is None or claim.marker.state is not Progress.IN_PROGRESS:
        return
    if uid not in ("", claim.uid):
        return
    if result.snapshot is None or claim.marker.snapshot != result.snapshot.id:
        return
    if not untouched(result):
        swap(cluster, claim, claim.marker, finished(claim.marker, result))
    elif result.reason is Reason.NOT_EMPTY:
        resumed = claim.marker.reason != ""
        swap(cluster, claim, claim.marker, finished(claim.marker, result) if resumed else None)


def untouched(result: Result) -> bool:
    """Return whether a mover certainly left its volume alone. Anything but its own word is that it never ran."""
    return result.reason is Reason.NOT_STARTED or not result.touched


def of_what_began(begun: Marker, result: Result) -> Result:
    """Return the result of a mover: whole only if it restored what the marker says had begun."""
    made = result.snapshot
    if not result.state.whole or (made is not None and made.id == begun.snapshot):
        return result
    what = f"snapshot {made.id[:12]}" if made is not None else "no snapshot"
    text = f"its mover says that it restored {what}, and was to restore {begun.snapshot[:12]}"
    return msgspec.structs.replace(result, state=State.PARTIAL, reason=Reason.OTHER_SNAPSHOT, message=text)


def finished(begun: Marker, result: Result) -> Marker:
    """Return the marker at the end of a restore."""
    if result.state.whole:
        return msgspec.structs.replace(begun, state=Progress.COMPLETE, ended=result.end, reason="", unlooked=False)
    return msgspec.structs.replace(
        begun,
        state=Progress.PARTIAL,
        # Whoever runs looks first; one that was killed on the way must be resumed.
        unlooked=begun.unlooked and not (result.ran and result.touched),
        ended=result.end,
        reason=str(result.reason or Reason.FAILED),
        message=result.message[:_LONGEST],
    )


def _read(cluster: Cluster, key: Key) -> Manifest:
    try:
        return cluster.read(CLAIMS, namespace=key.namespace, name=key.name)
    except NotFound:
        raise Overtaken(f"{key}: the claim was deleted meanwhile", hint="`dr-syncer import` brings it.") from None


def _marker(claim: Manifest) -> Marker | None:
    try:
        return marker_of(claim)
    except UnreadableMarker:
        return None


def _body(claim: Claim, version: str, marker: Marker | None) -> Manifest:
    meta: Manifest = {
        "name": claim.key.name,
        "namespace": claim.key.namespace,
        "uid": claim.uid,  # without it, an apply would make the claim that was deleted in this very moment
        "resourceVersion": version,
    }
    if marker is not None:
        meta["annotations"] = {own.RESTORED: encode(marker)}
    return {"apiVersion": CLAIMS.api_version, "kind": CLAIMS.kind, "metadata": meta}
