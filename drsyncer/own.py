"""The labels and annotations that DR-Syncer reads and writes, and the names it is known by."""

from __future__ import annotations

FIELD_MANAGER = "dr-syncer"
PREFIX = "dr-syncer.io/"

# What people write on their objects.
IGNORE = PREFIX + "ignore"  # label or annotation, "true": never exported, never imported
PRUNE = PREFIX + "prune"  # annotation, "false": never deleted by an import
SCALE_OVERRIDE = PREFIX + "scale-override"  # label: a replica count for DR, or "true" for the source's
IDEMPOTENT = PREFIX + "idempotent"  # annotation, "true": this Job may run a second time
TIER = PREFIX + "tier"
BACKUP = PREFIX + "backup"
PRE_BACKUP = PREFIX + "pre-backup"
POST_BACKUP = PREFIX + "post-backup"
RESTORE = PREFIX + "restore"  # annotation of a claim, "false": its data is not restored

# What backups and restores remember on PersistentVolumeClaims, as JSON.
BACKUP_RESULT = (
    PREFIX + "backup-result"
)  # source: a drsyncer.snapshot.Record; the exporter brings it to volumes/ in Git
RESTORED = PREFIX + "restored"  # DR: which snapshot is in the volume, and whether all of it is

# What prunes remember on a Lease.
PRUNED = PREFIX + "pruned-"  # and the id of a restic repository: which history in Git the last prune of it went by

# What the importer remembers on objects that it parks.
REPLICAS = PREFIX + "replicas"  # annotation: the replica count to come back to
SUSPEND = PREFIX + "suspend"  # annotation: the `suspend` to come back to, "true" or "false"
PARKED = PREFIX + "parked"  # node selector of a parked DaemonSet: no node carries it

# What encryption leaves on objects.
DIGEST = PREFIX + "digest"  # annotation in the file of an encrypted object: the exporter's keyed digest of it
CONFIDENTIAL = PREFIX + "confidential"  # annotation in DR, of other objects than Secrets: what of it Git has encrypted

# ApplySet (KEP-3659): how the importer marks what is its own.
APPLYSET_PREFIX = "applyset.kubernetes.io/"
APPLYSET_ID = APPLYSET_PREFIX + "id"
APPLYSET_MEMBER = APPLYSET_PREFIX + "part-of"
APPLYSET_TOOLING = APPLYSET_PREFIX + "tooling"
APPLYSET_TYPES = APPLYSET_PREFIX + "contains-group-kinds"
APPLYSET_NAMESPACES = APPLYSET_PREFIX + "additional-namespaces"

PART_OF = "app.kubernetes.io/part-of"
OWN_NAME = "dr-syncer"
