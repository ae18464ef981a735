"""What the services tell as Kubernetes Events, as one table: what a person on call wants to see, and nothing else.

Every run, commit and applied object would be noise; the log and the metrics have those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reason:
    """One row. `ends` names the reason whose trouble is over with this one; `side` is "" for both."""

    name: str
    help: str
    side: str = ""
    ends: str = ""
    warning: bool = True


class Tell(Protocol):
    """Tells one thing that happened. For any thread; it returns at once and raises nothing.

    What happens again under the same reason and `subject` is the same Event, with a higher count and the new message.
    """

    def __call__(self, reason: Reason, message: str, subject: str = "") -> None: ...


def nobody(reason: Reason, message: str, subject: str = "") -> None:
    """Nobody is told."""


def _over(name: str, help: str, *, ends: str, side: str = "") -> Reason:
    return Reason(name, help, side, ends, warning=False)


LEADERSHIP_GAINED = Reason("LeadershipGained", "This replica works from now on.", warning=False)
LEADERSHIP_LOST = Reason(
    "LeadershipLost", "It could not renew its lead in time and has stopped; another one takes over."
)
CONFIGURATION_FAULTY = Reason(
    "ConfigurationFaulty", "The file changed and has faults; the configuration before stays in force."
)
CONFIGURATION_CHANGED = _over(
    "ConfigurationChanged", "A changed configuration is in force.", ends="ConfigurationFaulty"
)
WORKER_FAILED = Reason("WorkerFailed", "The work ended with an error and is started again.")
CLUSTER_UNAVAILABLE = Reason(
    "ClusterUnavailable", "The cluster of this side did not answer; the Event is written when it does."
)
CLUSTER_AVAILABLE = _over("ClusterAvailable", "It answers again.", ends="ClusterUnavailable")
REPOSITORY_UNAVAILABLE = Reason(
    "RepositoryUnavailable", "The recovery repository cannot be reached, or refuses a fetch or a push."
)
REPOSITORY_AVAILABLE = _over("RepositoryAvailable", "It works again.", ends="RepositoryUnavailable")
DELETIONS_HELD = Reason("DeletionsHeld", "The guard holds back more deletions than may go unasked.")
DELETIONS_RELEASED = _over(
    "DeletionsReleased",
    "None is held back any more: somebody confirmed them, or they are not due.",
    ends="DeletionsHeld",
)
EXPORT_FAILING = Reason("ExportFailing", "A part of the exporter's work fails.", "exporter")
EXPORT_WORKS = _over("ExportWorks", "It works again.", ends="ExportFailing", side="exporter")
TYPES_INCOMPLETE = Reason(
    "TypesIncomplete", "Types cannot be read in full; nothing of them is deleted from Git.", "exporter"
)
TYPES_COMPLETE = _over("TypesComplete", "All types are read in full again.", ends="TypesIncomplete", side="exporter")
IMPORT_FAILING = Reason("ImportFailing", "A part of the importer's work fails.", "importer")
IMPORT_WORKS = _over("ImportWorks", "It works again.", ends="ImportFailing", side="importer")
REVISION_MISSING = Reason("RevisionMissing", "The repository does not have what is followed.", "importer")
REVISION_FOUND = _over("RevisionFound", "It is there.", ends="RevisionMissing", side="importer")
REVISION_REFUSED = Reason(
    "RevisionRefused",
    "The newest recovery point is refused (a signature, a rewritten branch, another cluster, a faulty rule); DR is "
    "kept at the last good one.",
    "importer",
)
REVISION_ACCEPTED = _over(
    "RevisionAccepted", "The newest recovery point is accepted again.", ends="RevisionRefused", side="importer"
)
OBJECTS_BLOCKED = Reason(
    "ObjectsBlocked", "Objects cannot be brought to DR: one Event for each cause, with the first of them.", "importer"
)
OBJECTS_UNBLOCKED = _over("ObjectsUnblocked", "All are there.", ends="ObjectsBlocked", side="importer")
DRIFT_CORRECTED = Reason(
    "DriftCorrected",
    "Other hands had changed objects in DR, and they were put back: one Event for each hand.",
    "importer",
)
DRIFT_FOUND = Reason("DriftFound", "The same, and they are left as they are (`importer.drift.mode`).", "importer")
BACKUPS_DAMAGED = Reason(
    "BackupsDamaged",
    "`dr-syncer volumes verify` found what recovery points need in the restic repository missing, damaged or "
    "different.",
    "exporter",
)
VOLUMES_NOT_RESTORED = Reason(
    "VolumesNotRestored",
    "Volumes in DR do not have the data of the recovery point (`volumes.restore.follow`); the status names each.",
    "importer",
)
VOLUMES_RESTORED = _over("VolumesRestored", "All have it.", ends="VolumesNotRestored", side="importer")

REASONS: tuple[Reason, ...] = (
    LEADERSHIP_GAINED,
    LEADERSHIP_LOST,
    CONFIGURATION_FAULTY,
    CONFIGURATION_CHANGED,
    WORKER_FAILED,
    CLUSTER_UNAVAILABLE,
    CLUSTER_AVAILABLE,
    REPOSITORY_UNAVAILABLE,
    REPOSITORY_AVAILABLE,
    DELETIONS_HELD,
    DELETIONS_RELEASED,
    EXPORT_FAILING,
    EXPORT_WORKS,
    TYPES_INCOMPLETE,
    TYPES_COMPLETE,
    IMPORT_FAILING,
    IMPORT_WORKS,
    REVISION_MISSING,
    REVISION_FOUND,
    REVISION_REFUSED,
    REVISION_ACCEPTED,
    OBJECTS_BLOCKED,
    OBJECTS_UNBLOCKED,
    DRIFT_CORRECTED,
    DRIFT_FOUND,
    BACKUPS_DAMAGED,
    VOLUMES_NOT_RESTORED,
    VOLUMES_RESTORED,
)
