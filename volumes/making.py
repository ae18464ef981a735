"""Making, asking for and deleting what a mover needs in a cluster. Each function is one request or a few of them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping

import msgspec

from drsyncer.cluster import Cluster, urls
from drsyncer.cluster.events import EVENTS
from drsyncer.cluster.results import decode_object
from drsyncer.config.volumes import Mover
from drsyncer.errors import ClusterError, Conflict, DrSyncerError, Forbidden, Invalid, NotFound
from drsyncer.json import items_of
from drsyncer.manifest import Manifest, ResourceType, metadata
from volumes import jobs
from volumes.fitting import fitted
from volumes.jobs import JOBS, PODS, SECRETS, Dispatcher, Move

_LIMIT_RANGES = ResourceType("", "v1", "limitranges", "LimitRange", namespaced=True)
_LIMITS = re.compile(r"(?:maximum|minimum) \S+ usage per|must be less than or equal to \S+ limit")
_POD_SECURITY = "violates PodSecurity"
_QUOTA = "exceeded quota"
_UNSAID = "must specify"  # what a quota counts
_NO_RIGHT = "cannot create resource"
_NO_QUOTA_YET = "status unknown for quota"  # the quota was made a moment ago


class NotLetIn(DrSyncerError):
    """The API server does not take a mover's pod or Job. `passes` says whether waiting can help."""

    def __init__(self, message: str, *, hint: str = "", passes: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.passes = passes


class TakenByAnother(DrSyncerError):
    """Another run was faster with this claim."""


def allowed(cluster: Cluster, move: Move, mover: Mover, by: Dispatcher) -> tuple[Move, Mover, tuple[str, ...]]:
    """Return the move, the settings and the smallest set of capabilities with which the namespace lets the pod in.

    The API server is asked, by a dry run: quotas, LimitRanges, Pod Security and webhooks say what they think of this
    very pod before anything is made. Where LimitRanges do not let it in as it is configured, its resources are made to
    fit them. A namespace may forbid pods to look at those of other namespaces (a quota of the scope
    CrossNamespacePodAffinity): then the mover does without a wish for a node. Raises NotLetIn with their words.
    """
    try:
        return move, *_fitting(cluster, move, mover, by)
    except NotLetIn:
        if (modest := jobs.anywhere(move)) != move:
            with contextlib.suppress(NotLetIn):
                return modest, *_fitting(cluster, modest, mover, by)
        raise


def _fitting(cluster: Cluster, move: Move, mover: Mover, by: Dispatcher) -> tuple[Mover, tuple[str, ...]]:
    try:
        return mover, _allowed(cluster, move, mover, by)
    except NotLetIn as refusal:
        if not _LIMITS.search(str(refusal)):
            raise
        fitting = mover.model_copy(update={"resources": fitted(mover.resources, _limit_ranges(cluster, move))})
        if fitting == mover:
            raise
        return fitting, _allowed(cluster, move, fitting, by)


def _allowed(cluster: Cluster, move: Move, mover: Mover, by: Dispatcher) -> tuple[str, ...]:
    refusal: ClusterError | None = None
    for capabilities in jobs.capability_sets(move, mover):
        body = jobs.encode(jobs.pod(move, mover, by, capabilities=capabilities))
        try:
            cluster.create(PODS, body, namespace=move.namespace, name=f"{move.name}-try", dry_run=True)
        except Conflict:
            return capabilities
        except (Forbidden, Invalid) as error:
            if _NO_RIGHT in str(error):  # then what is wrong with the pod shows later, in Events about the Job
                return capabilities
            refusal = error
            if _POD_SECURITY not in str(error):
                break
        else:
            return capabilities
    assert refusal is not None
    raise _not_let_in(refusal, move, mover)


def _limit_ranges(cluster: Cluster, move: Move) -> list[Manifest]:
    """Return the LimitRanges of a namespace; none where they may not be read."""
    try:
        pages = cluster.pages(_LIMIT_RANGES, namespace=move.namespace)
        return [msgspec.json.decode(item) for page in pages for item in page.items]
    except Forbidden:
        return []


def make_job(cluster: Cluster, move: Move, mover: Mover, by: Dispatcher, capabilities: tuple[str, ...]) -> Manifest:
    """Make the suspended Job of a move and return it as the API server has it. Raises NotLetIn, TakenByAnother."""
    body = jobs.encode(jobs.job(move, mover, by, capabilities=capabilities))
    try:
        return decode_object(cluster.create(JOBS, body, namespace=move.namespace, name=move.name))
    except Conflict:
        # Ours, when only the answer was lost.
        found = cluster.read(JOBS, namespace=move.namespace, name=move.name)
        if jobs.run_of(found) != by.run:
            raise TakenByAnother(f"another run ({jobs.run_of(found)}) has just begun with this volume") from None
        return found
    except (Forbidden, Invalid) as error:
        raise NotLetIn(str(error), hint=error.hint, passes=_is_about_quota(error)) from error


def make_secret(
    cluster: Cluster, move: Move, credentials: Mapping[str, bytes], by: Dispatcher, *, owner: Manifest
) -> None:
    """Make the Secret of a Job. One of that name which is there belongs to an earlier Job, and goes.

    Raises TakenByAnother when the Job was removed meanwhile: then it belongs to a later one.
    """
    body = jobs.encode(jobs.secret(move, credentials, by, owner=owner))
    try:
        cluster.create(SECRETS, body, namespace=move.namespace, name=move.name)
    except Conflict:
        _require(cluster, owner)
        remove_secret(cluster, move)
        cluster.create(SECRETS, body, namespace=move.namespace, name=move.name)


def _require(cluster: Cluster, job: Manifest) -> None:
    meta = metadata(job)
    try:
        found = metadata(cluster.read(JOBS, namespace=meta["namespace"], name=meta["name"]))
    except NotFound:
        found = {}
    if found.get("uid") != meta["uid"] or found.get("deletionTimestamp"):
        raise TakenByAnother(f"{meta['namespace']}/{JOBS.key}/{meta['name']}: another run took this one for dead")


def let_run(cluster: Cluster, job: Manifest) -> None:
    """Let the pod of a suspended Job start."""
    _patch(cluster, job, {"spec": {"suspend": False}}, what="start")


def note_held(cluster: Cluster, job: Manifest, *, held: bool) -> None:
    """Note on a Job whether hooks may hold the workload of its volume still."""
    _patch(cluster, job, {"metadata": {"annotations": {jobs.HELD: "true" if held else None}}}, what="make a note on")


def halt(cluster: Cluster, job: Manifest) -> None:
    """Suspend a Job: its pod is ended, and what it says in the end counts for nothing."""
    _patch(cluster, job, {"spec": {"suspend": True}}, what="suspend")


def remove(cluster: Cluster, job: Manifest) -> None:
    """Delete a Job. It is gone only when its pods are: as long as a mover may run, nobody can begin another one."""
    _delete(cluster, JOBS, job, propagation="Foreground")


def remove_secret(cluster: Cluster, move: Move) -> None:
    """Delete the Secret of a move's Job, if there is one that is ours."""
    with contextlib.suppress(NotFound):
        found = cluster.read(SECRETS, namespace=move.namespace, name=move.name)
        if jobs.run_of(found):
            _delete(cluster, SECRETS, found, propagation="Background")


def events_of(cluster: Cluster, job: Manifest) -> list[Manifest]:
    """Return the Events about a Job, oldest first; none when they may not be read."""
    meta = metadata(job)
    path = urls.path_of(EVENTS, namespace=meta["namespace"])
    query = {"fieldSelector": f"involvedObject.uid={meta['uid']}"}
    try:
        answer = cluster.request("GET", path, what=f"list events about {meta['name']}", query=query)
        found = [msgspec.json.decode(item) for item in items_of(answer.body).items]
    except (ClusterError, ValueError):
        return []
    return sorted(found, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))


def _patch(cluster: Cluster, job: Manifest, change: Manifest, *, what: str) -> None:
    meta = metadata(job)
    # With its uid: another Job that has taken its name meanwhile is not meant.
    patch = {**change, "metadata": {**change.get("metadata", {}), "uid": meta["uid"]}}
    cluster.request(
        "PATCH",
        urls.path_of(JOBS, namespace=meta["namespace"], name=meta["name"]),
        what=f"{what} {meta['namespace']}/{JOBS.key}/{meta['name']}",
        body=msgspec.json.encode(patch),
        content_type="application/merge-patch+json",
    )


def _delete(cluster: Cluster, type_: ResourceType, found: Manifest, *, propagation: str) -> None:
    meta = metadata(found)
    options = {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "preconditions": {"uid": meta["uid"]},
        "propagationPolicy": propagation,
    }
    # Not found, a conflict: it is gone, or another one has its name.
    with contextlib.suppress(NotFound, Conflict):
        cluster.request(
            "DELETE",
            urls.path_of(type_, namespace=meta["namespace"], name=meta["name"]),
            what=f"delete {meta['namespace']}/{type_.key}/{meta['name']}",
            body=msgspec.json.encode(options),
        )


def _not_let_in(error: ClusterError, move: Move, mover: Mover) -> NotLetIn:
    text = str(error)
    if _POD_SECURITY in text:
        level = text.partition(f'{_POD_SECURITY} "')[2].partition(":")[0] or "restricted"
        who = "root" if mover.user == 0 else f"user {mover.user}"
        return NotLetIn(
            f"namespace {move.namespace} enforces Pod Security level {level}, which does not let a mover in as {who}: "
            f"{text}",
            hint="Set volumes.mover.user to a user that may read the volumes' files, or let the namespace enforce a "
            "lower level.",
        )
    hint = "A quota of the namespace counts it: set volumes.mover.resources." if _UNSAID in text else error.hint
    return NotLetIn(text, hint=hint, passes=_is_about_quota(error))


def _is_about_quota(error: ClusterError) -> bool:
    return any(words in str(error) for words in (_QUOTA, _NO_QUOTA_YET))
