"""The section `volumes`: the restic repository, and how the data of PersistentVolumeClaims goes there and back.

Backups run on the source side, restores on the DR side; both read the same section, each what concerns it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictInt, StrictStr, field_validator

from drsyncer.config.adjustments import Toleration
from drsyncer.config.match_spec import MatchSpec
from drsyncer.config.section import Kind, Section, written
from drsyncer.config.values import (
    Count,
    Duration,
    Flag,
    LabelValue,
    LocalPath,
    LongDuration,
    MetadataKey,
    ObjectName,
    Percent,
    Text,
)

_USER_AND_PASSWORD = re.compile(r"://[^/@\s]*@")
SUBSET = re.compile(r"[1-9][0-9]?%|100%", re.ASCII)


def _repository(text: str) -> str:
    if not text or text != text.strip() or any(ord(letter) < 32 for letter in text):
        raise ValueError("fill in where the restic repository is, as restic writes it: s3:https://…, sftp:…, rest:…")
    if text.startswith("rest:") and _USER_AND_PASSWORD.search(text):
        raise ValueError(
            "credentials do not belong here; use files RESTIC_REST_USERNAME and RESTIC_REST_PASSWORD in "
            "auth.environmentDir"
        )
    return text


def _option(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9.-]+\.[a-z0-9.-]+", text):
        raise ValueError("expected the name of one of restic's extended options, such as s3.storage-class")
    return text


def _some(exclude: tuple[MatchSpec, ...]) -> tuple[MatchSpec, ...]:
    if any(match.is_everything for match in exclude):
        raise ValueError("an entry names nothing, so it would exclude every volume")
    return exclude


def _subset(text: str) -> str:
    if not SUBSET.fullmatch(text):
        raise ValueError('expected a percentage from "1%" to "100%"')
    return text


def _quantity(text: str) -> str:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?", text, re.ASCII):
        raise ValueError("expected a quantity of Kubernetes such as 500m or 1Gi")
    return text


ResticUrl = Annotated[
    StrictStr, Kind("a restic repository", "s3:https://s3.example.com/dr-syncer"), AfterValidator(_repository)
]
ResticOption = Annotated[StrictStr, Kind("an option of restic", "s3.storage-class"), AfterValidator(_option)]
Subset = Annotated[StrictStr, Kind("a percentage", '"5%"'), AfterValidator(_subset)]
Quantity = Annotated[StrictStr, Kind("a quantity", "500m"), AfterValidator(_quantity)]
Parallel = Annotated[StrictInt, Kind("a whole number from 1 to 100", "5"), Field(ge=1, le=100)]
UserId = Annotated[StrictInt, Kind("a user id", "1000"), Field(ge=0, le=2**31 - 1)]


class ResticAuth(Section):
    password_file: LocalPath = Field(
        default="",
        description="File with the password of the restic repository. Whoever loses it has lost the backups.",
        examples=["/etc/dr-syncer/restic/password"],
    )
    environment_dir: LocalPath = Field(
        default="",
        description="Folder with one file per environment variable that restic needs for its backend, named like the "
        "variable, such as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and RESTIC_REST_PASSWORD.",
        examples=["/etc/dr-syncer/restic/environment"],
    )
    ca_file: LocalPath = Field(
        default="",
        description="File with the certificates that the backend's is checked against, instead of the system's.",
        examples=["/etc/ssl/company-ca.pem"],
    )
    ssh_key_file: LocalPath = Field(
        default="", description="sftp: file with the private key.", examples=["/etc/dr-syncer/restic/id_ed25519"]
    )
    known_hosts_file: LocalPath = Field(
        default="",
        description="sftp: file with the host keys that are trusted. An unknown host is refused.",
        examples=["/etc/dr-syncer/restic/known_hosts"],
    )


class Restic(Section):
    repository: ResticUrl = Field(
        description="Where the restic repository is, as restic writes it: s3:…, rest:…, sftp:…, azure:…, gs:…, b2:…. "
        "A path is for what needs no mover: init, list, verify and prune.",
        examples=["s3:https://s3.example.com/dr-syncer"],
    )
    auth: ResticAuth = Field(default=written({}), description="Credentials: always files, never values.")
    options: Mapping[ResticOption, Text] = Field(
        default={},
        description="restic's extended options (`-o`), passed on as they are.",
        examples=[{"s3.bucket-lookup": "path"}],
    )
    compression: Literal["auto", "off", "max"] = Field(default="auto", description="restic's --compression.")
    upload_limit: Count = Field(default=0, description="KiB per second that one mover may send; 0: no limit.")
    download_limit: Count = Field(default=0, description="KiB per second that one mover may receive; 0: no limit.")
    read_concurrency: Parallel = Field(default=2, description="Files that a mover reads at the same time.")
    retry_lock: Duration = Field(
        default=written("15m"),
        description="How long restic waits for a lock that somebody else holds, a backup or a restore for a prune or a "
        "verification, and these for backups and restores.",
    )


class VolumeSelect(Section):
    include: tuple[MatchSpec, ...] = Field(
        default=(),
        description="PersistentVolumeClaims that any of these entries matches are backed up. Left out: all whose "
        'annotation dr-syncer.io/backup is not "false".',
        examples=[[{"namespaces": ["shop"]}]],
    )
    exclude: tuple[MatchSpec, ...] = Field(
        default=(),
        description="PersistentVolumeClaims that any of these entries matches are left out.",
        examples=[[{"labels": "tier=cache"}]],
    )
    annotated_only: Flag = Field(
        default=False, description='Only those whose annotation dr-syncer.io/backup is "true".'
    )

    @field_validator("exclude")
    @classmethod
    def _never_everything(cls, exclude: tuple[MatchSpec, ...]) -> tuple[MatchSpec, ...]:
        return _some(exclude)


class MoverResources(Section):
    requests: Mapping[Literal["cpu", "memory", "ephemeral-storage"], Quantity] = Field(
        default=written({"cpu": "100m", "memory": "256Mi"}), description="What a mover pod asks for."
    )
    limits: Mapping[Literal["cpu", "memory", "ephemeral-storage"], Quantity] = Field(
        default={}, description="What a mover pod may not exceed.", examples=[{"memory": "2Gi"}]
    )


class Mover(Section):
    image: Text = Field(
        default="",
        description="Image of the mover Jobs: DR-Syncer's own. The charts fill it in.",
        examples=["registry.example.com/dr-syncer:0.1.0"],
    )
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field(
        default="IfNotPresent", description="imagePullPolicy of the mover Jobs."
    )
    pull_secrets: tuple[ObjectName, ...] = Field(
        default=(),
        description="imagePullSecrets of the mover Jobs; they must exist in each namespace with volumes.",
        examples=[["registry"]],
    )
    user: UserId = Field(
        default=0,
        description="User that movers run as. 0 reads everything with no more than the capability DAC_READ_SEARCH; "
        "another one can read only what it may, and what it could not read makes the backup Partial.",
    )
    resources: MoverResources = Field(default=written({}), description="Resources of a mover pod.")
    tolerations: tuple[Toleration, ...] = Field(
        default=(),
        description="Taints that mover pods bear. A backup's also bears those that the pods on its volume do.",
        examples=[[{"key": "dedicated", "value": "dr"}]],
    )
    node_selector: Mapping[MetadataKey, LabelValue] = Field(
        default={},
        description="Labels of the nodes that movers run on. It does not count for a backup that must run on the node "
        "where its volume is.",
        examples=[{"example.com/pool": "storage"}],
    )
    parallel: Parallel = Field(default=5, description="Movers that run at the same time.")
    parallel_per_node: Parallel = Field(
        default=2,
        description="Of these, on one node, as far as their volumes say on which. A mover that the scheduler places, "
        "as all of a restore, rather goes where no other one is, and counts on its node from then on.",
    )
    jitter: Duration = Field(
        default=written("5s"),
        description="Movers start at random moments within so long, so that not all come at once.",
    )
    start_timeout: Duration = Field(
        default=written("10m"), description="How long a mover pod may take until it runs; then it is given up."
    )
    timeout: Duration = Field(default=written("6h"), description="How long one mover may run.")


class Retention(Section):
    last: Count = Field(default=7, description="The newest snapshots of each volume that are kept.")
    hourly: Count = Field(default=24, description="Hours of which the last snapshot is kept.")
    daily: Count = Field(default=14, description="Days of which the last snapshot is kept.")
    weekly: Count = Field(default=8, description="Weeks of which the last snapshot is kept.")
    monthly: Count = Field(default=12, description="Months of which the last snapshot is kept.")
    yearly: Count = Field(default=3, description="Years of which the last snapshot is kept.")
    recovery_points: Count = Field(
        default=100, description="The newest recovery points whose snapshots are never forgotten."
    )
    recovery_point_days: Count = Field(
        default=30, description="Days for which the snapshots of every recovery point are never forgotten."
    )


class RestoreSelect(Section):
    include: tuple[MatchSpec, ...] = Field(
        default=(),
        description="Volumes whose PersistentVolumeClaim any of these entries matches, as Git has it, are restored. "
        'Left out: all whose claim in DR is not annotated dr-syncer.io/restore: "false".',
        examples=[[{"namespaces": ["shop"]}]],
    )
    exclude: tuple[MatchSpec, ...] = Field(
        default=(),
        description="Volumes whose claim any of these entries matches are left alone.",
        examples=[[{"labels": "tier=cache"}]],
    )

    @field_validator("exclude")
    @classmethod
    def _never_everything(cls, exclude: tuple[MatchSpec, ...]) -> tuple[MatchSpec, ...]:
        return _some(exclude)


class RestoreSection(Section):
    follow: Flag = Field(
        default=False,
        description="Restore the volumes into their claims in DR after each import that brought a new snapshot, as "
        "long as nothing runs on them.",
    )
    select: RestoreSelect = Field(
        default=written({}), description="Which volumes are restored, by the service and by hand."
    )
    verify: Literal["none", "metadata", "all"] = Field(
        default="metadata",
        description="Compare what was restored with the manifest made at the source: not at all, without the content "
        "of the files, or with all of it.",
    )


class Volumes(Section):
    restic: Restic = Field(description="The restic repository that the data goes to.")
    select: VolumeSelect = Field(default=written({}), description="Which volumes are backed up.")
    copy_method: Literal["auto", "direct", "snapshot"] = Field(
        default="auto",
        description="What a mover reads: the volume itself (`direct`), a CSI VolumeSnapshot of it (`snapshot`), or a "
        "VolumeSnapshot where the volume's driver has a class for that and the claim a StorageClass of that driver, "
        "else the volume itself (`auto`).",
    )
    snapshot_class: Text = Field(
        default="", description="VolumeSnapshotClass to use. Left out: the driver's default one.", examples=["csi-snap"]
    )
    mover: Mover = Field(default=written({}), description="The Jobs that move the data.")
    manifest: Literal["full", "metadata"] = Field(
        default="full",
        description="What is written down of each file for the comparison after a restore: everything with the SHA-256 "
        "of its content (`full`), or all but the content (`metadata`).",
    )
    shrink_percent: Percent = Field(
        default=90,
        description="A volume that has lost more than this share of its bytes or files since its last whole snapshot "
        "counts as Empty until somebody confirms it.",
    )
    max_age: LongDuration = Field(
        default=written("30h"),
        description="The age of a volume's newest whole snapshot at which status and alerts begin to complain, and for "
        "how long a new claim may wait for its first one: the RPO target of the data. Some longer than from one backup "
        "to the next: the default is for one each night, `8d` would be for one each week.",
    )
    retention: Retention = Field(default=written({}), description="Which snapshots `volumes prune` keeps.")
    check_subset: Subset = Field(
        default="5%", description="`volumes verify`: the share of the repository's data that each run reads."
    )
    verify_max_age: LongDuration | None = Field(
        default=None,
        description="How long ago the last verdict of `volumes verify` may be before status and alerts of the exporter "
        "complain: some longer than the time between two of them. Left out: nobody complains. The chart fills it in "
        "where it makes the CronJob `verify`.",
        examples=["8d"],
    )
    restore: RestoreSection = Field(default=written({}), description="The way back, in DR.")
