"""One export: the source cluster, selected and cleaned, as one commit of the recovery repository."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from drsyncer.cluster import Cluster
from drsyncer.config.schema import Exporter
from drsyncer.errors import GitError
from drsyncer.progress import Progress
from drsyncer.recovery import layout
from drsyncer.recovery.git import Clone, Remote
from drsyncer.recovery.heartbeat import Heartbeat
from drsyncer.recovery.identity import Identity
from drsyncer.recovery.message import Verb
from exporter import committing
from exporter.committing import Base, Pushed, Reading
from exporter.digest_key import DigestKey
from exporter.outcome import Outcome
from exporter.sealing import Sealing
from exporter.survey import Survey


@dataclass(frozen=True, slots=True)
class Request:
    """One run. `confirmed` lets the deletion guard pass; `adopt` takes over another cluster's path.

    `due` is when the next run begins, None for whenever somebody wants it; where it is not `foreseen`, what the last
    heartbeat promised still stands: a person's export does not make a service that is silent forgotten.
    """

    dry_run: bool = False
    confirmed: bool = False
    adopt: bool = False
    due: datetime | None = None
    foreseen: bool = False


def export(
    *,
    config: Exporter,
    remote: Remote,
    cluster: Cluster,
    request: Request,
    progress: Progress,
    goes_on: Callable[[], bool] = lambda: True,
) -> Outcome:
    """Read the cluster once and commit what changed; return what was done. Nothing is pushed unless it `goes_on`.

    Raises Refused when the path belongs to another cluster or too much would be deleted, GitError
    when there is no recovery repository to compare with, ClusterError when the cluster cannot be read.
    A commit that cannot be pushed is kept for the next run and told by `Outcome.push_error`. Raises Abandoned once
    `goes_on` returns false.
    """
    begun = time.monotonic()
    found = Identity(cluster=config.cluster, uid=cluster.uid())
    with ExitStack() as stack:
        clone = stack.enter_context(Clone.open(remote, goes_on=goes_on))
        clone.check_signing()
        offline = committing.fetch(clone)
        base = Base.of(clone)
        committing.check_identity(clone, base, found, adopt=request.adopt)
        stage = None if request.dry_run else stack.enter_context(clone.stage())
        key = DigestKey(config.secrets, cluster, dry_run=request.dry_run, environ=os.environ)
        survey = Survey(config, cluster, paths=base.files, progress=progress)
        sealing = Sealing(recipients=config.secrets.recipients, key=key.find)
        store = stage.add if stage else clone.blob_id
        gathering = committing.gathering_of(survey, clone, base, sealing=sealing, store=store)
        survey.read(gathering)
        deleted = survey.deleted(gathering)
        refusal = None if request.confirmed else committing.guarded(config, clone, base, deleted)
        if refusal is not None and not request.dry_run:
            raise refusal

        files = gathering.files()
        changes = tuple(sorted([*gathering.changes(), *deleted.values()], key=lambda change: change.ref))
        records = gathering.records_gone(deleted)
        volumes = committing.volumes_of(gathering, records)
        incomplete = gathering.incomplete() | survey.failing
        reading, yes = Reading.of(gathering), request.confirmed
        text = committing.text_of(
            found, base, changes, reading=reading, volumes=volumes, incomplete=incomplete, confirmed=yes
        )
        commit = ""
        if stage is not None:
            put, gone = files | gathering.records(), [*deleted, *records]
            commit = committing.write(clone, stage, base, found=found, files=put, deleted=gone, text=text)
        pushed = Pushed(offline, commit or base.commit or "")
        if stage is not None and offline is None:
            due = _due(request, begun, clone, found)
            pushed = committing.push(
                clone, pushed.head, Heartbeat(datetime.now(UTC), pushed.head, not incomplete, found.uid, due)
            )
            clone.gc_if_due()
        warnings = [*committing.warnings_of(gathering, survey, key), *pushed.warnings]
        warnings += [f"without --yes this is refused: {refusal}"] if refusal else []
        return Outcome(
            cluster=config.cluster,
            dry_run=request.dry_run,
            commit=pushed.head if commit else "",
            parent=base.commit or "",
            head=pushed.head,
            changes=changes,
            unchanged=len(files) - sum(change.verb is not Verb.DELETED for change in changes),
            excluded=dict(gathering.excluded()),
            incomplete=incomplete,
            warnings=(*clone.notices, *warnings),
            secrets_omitted=gathering.secrets_omitted(),
            seconds=time.monotonic() - begun,
            message=text,
            push_error=pushed.error,
            beaten=pushed.beaten,
            unpushed=len(clone.unpushed()) if pushed.error else 0,
            volumes=volumes,
            counts=layout.counts((base.files.keys() | files.keys()) - deleted.keys()),
        )


def _due(request: Request, begun: float, clone: Clone, found: Identity) -> datetime | None:
    """Return when the next heartbeat is due. The next run may take twice as long as this one."""
    if request.foreseen:
        return request.due + timedelta(seconds=2 * (time.monotonic() - begun)) if request.due else None
    try:
        before = clone.heartbeat()
    except GitError:  # no heartbeat: ours takes its place
        return None
    return before.due if before is not None and before.cluster == found.uid else None
