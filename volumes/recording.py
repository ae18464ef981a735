"""Writing down how a backup ended: in the claim's annotation, and as a Kubernetes Event when it was not whole."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import msgspec

from drsyncer import log, own
from drsyncer.cluster import Cluster, urls
from drsyncer.cluster.events import EVENTS
from drsyncer.errors import ClusterError, NotFound
from drsyncer.manifest import Manifest, metadata
from drsyncer.snapshot import State, encode
from volumes.claims import CLAIMS
from volumes.endings import is_good
from volumes.remembering import record_of, remember
from volumes.result import Result

_logger = log.get(__name__)
HOOK_FAILED = "BackupHookFailed"
_LONGEST = 1000  # characters of an Event's message: the API server takes 1,024


class Recorder:
    """Writes for one run. For many threads, each with claims of its own."""

    def __init__(self, cluster: Cluster, *, run: str) -> None:
        self._cluster = cluster
        self._run = run

    def record(self, namespace: str, name: str, result: Result, *, uid: str = "") -> None:
        """Bring the claim's record up to date, and touch nothing else of it. Raises ClusterError when that fails.

        A claim that is gone needs no record. Nor does a new one of its name, which has another volume, when `uid` says
        whose data was read.
        """
        try:
            claim = self._cluster.read(CLAIMS, namespace=namespace, name=name)
        except NotFound:
            _logger.warning("the claim was deleted while it was backed up", claim=f"{namespace}/{name}")
            return
        if uid and metadata(claim).get("uid") != uid:
            _logger.warning("another claim has the name of the one that was backed up", claim=f"{namespace}/{name}")
            return
        try:
            before = record_of(claim)
        except ValueError as error:
            _logger.warning("a record is not readable and is written anew", claim=f"{namespace}/{name}", why=str(error))
            before = None
        record = remember(before, result, now=datetime.now(UTC))
        text = encode(msgspec.structs.replace(record, claim=metadata(claim)["uid"]))
        if text != (metadata(claim).get("annotations") or {}).get(own.BACKUP_RESULT):
            self._write(claim, text)
        if not is_good(result) or result.message:
            words = f"{result.reason}: {result.message}" if result.reason else result.message
            warn(self._cluster, claim, reason_of(result), words, run=self._run)

    def _write(self, claim: Manifest, text: str) -> None:
        meta = metadata(claim)
        # With its uid: a new claim of the same name has other data.
        patch = {"metadata": {"uid": meta["uid"], "annotations": {own.BACKUP_RESULT: text}}}
        self._cluster.request(
            "PATCH",
            urls.path_of(CLAIMS, namespace=meta["namespace"], name=meta["name"]),
            what=f"write the record of {meta['namespace']}/{CLAIMS.key}/{meta['name']}",
            query={"fieldManager": own.FIELD_MANAGER},
            body=msgspec.json.encode(patch),
            content_type="application/merge-patch+json",
        )


def warn(
    cluster: Cluster,
    claim: Manifest,
    reason: str,
    words: str,
    *,
    run: str,
    count: int = 1,
    first: datetime | None = None,
) -> bool:
    """Write an Event about a claim, of what happened `count` times since `first`; return whether it was written.

    It is said elsewhere, too, so that a failure here is no more than logged.
    """
    meta = metadata(claim)
    try:
        told = event(claim, reason, words, run=run, now=datetime.now(UTC), count=count, first=first)
        path = urls.path_of(EVENTS, namespace=meta["namespace"])
        cluster.request("POST", path, what=f"write an event about {meta['name']}", body=msgspec.json.encode(told))
    except ClusterError as error:
        _logger.warning("a Kubernetes Event is not written", claim=meta["name"], why=str(error))
        return False
    return True


def event(
    claim: Manifest, reason: str, words: str, *, run: str, now: datetime, count: int = 1, first: datetime | None = None
) -> Manifest:
    """Return the Event with this reason and message, which are about a claim, of a run; see `warn`."""
    meta = metadata(claim)
    about = {"apiVersion": "v1", "kind": CLAIMS.kind, "namespace": meta["namespace"], "name": meta["name"]}
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {
            "name": f"{meta['name'][:200]}.{uuid.uuid4().hex[:16]}",
            "namespace": meta["namespace"],
            "labels": {own.PART_OF: own.OWN_NAME},
        },
        "involvedObject": about | {"uid": meta["uid"]},
        "type": "Warning",
        "reason": reason,
        "message": words[:_LONGEST],
        "count": count,
        "firstTimestamp": _text(first or now),
        "lastTimestamp": _text(now),
        "source": {"component": own.OWN_NAME},
        "reportingComponent": own.OWN_NAME,
        "reportingInstance": run,
    }


def _text(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


_TOLD_APART = frozenset({State.PARTIAL, State.EMPTY, State.LOCKED})


def reason_of(result: Result) -> str:
    """Return the word that an Event has for how a backup ended that was not whole, or had trouble around it."""
    if is_good(result):
        return HOOK_FAILED
    return f"Backup{result.state if result.state in _TOLD_APART else State.FAILED}"
