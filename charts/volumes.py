"""What people may write in the values about the data of volumes: the restic repository's credentials, and CronJobs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictInt

from charts.kinds import Object, VariableName, Words
from drsyncer.config.section import Section, written
from drsyncer.config.values import Flag, Namespace, Text

JobHistory = Annotated[StrictInt, Field(ge=0, le=100)]


class ResticKeys(Section):
    password: Text = Field(default="password", description="The password of the repository.")
    ca: Text = Field(
        default="", description="The certificates of the backend's authority, such as `ca.crt`. Left out: the system's."
    )
    ssh_private_key: Text = Field(default="ssh-privatekey", description="sftp: the private key.")
    known_hosts: Text = Field(
        default="known_hosts", description="sftp: the host keys. Not looked for where `knownHosts` is given."
    )
    environment: tuple[VariableName, ...] = Field(
        default=(),
        description="Keys that are named like environment variables which restic needs for its backend, such as "
        "`[AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY]`.",
    )


class ResticCredentials(Section):
    existing_secret: Text = Field(
        default="",
        description="Name of a Secret in the release's namespace with the password and whatever else the backend "
        "needs. Left out: the values below.",
    )
    keys: ResticKeys = Field(default=written({}), description="Which keys of the existing Secret hold what.")
    password: Text = Field(default="", description="The password itself. Whoever loses it has lost the backups.")
    ca: Text = Field(
        default="", description="The certificates (PEM) of the backend's authority. Left out: the system's."
    )
    ssh_private_key: Text = Field(default="", description="sftp: the private key itself, without a passphrase.")
    known_hosts: Text = Field(
        default="",
        description="sftp: the server's host keys, as `ssh-keyscan` prints them. They are no secret and may stand here "
        "also beside an existing Secret.",
    )
    environment: Words = Field(
        default={},
        description="Environment variables for restic by name, such as `{RESTIC_REST_USERNAME: prod}`; also beside an "
        "existing Secret.",
    )


class VolumeJob(Section):
    """What all CronJobs of volumes have."""

    enabled: Flag = Field(default=True, description="Make it, once there is a `config.volumes`.")
    schedule: Text = Field(default="", description="When, as a cron expression.")
    time_zone: Text = Field(
        default="", description="The time zone of the schedule, such as Europe/Berlin. Left out: the cluster's."
    )
    suspend: Flag = Field(
        default=False, description="Do not run by itself; `kubectl create job --from=cronjob/…` runs it all the same."
    )
    successful_jobs_history_limit: JobHistory = Field(default=3, description="Successful Jobs that are kept.")
    failed_jobs_history_limit: JobHistory = Field(default=3, description="Failed Jobs that are kept.")
    starting_deadline_seconds: StrictInt = Field(
        default=3600, ge=10, description="How late it may still begin when its time was missed."
    )
    active_deadline_seconds: StrictInt = Field(
        default=43200, ge=60, description="How long it may take; then it is ended, which is a failure."
    )
    resources: Object = Field(
        default={"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        description="Of its container.",
    )


class Backup(VolumeJob):
    schedule: Text = Field(default="30 1 * * *", description="When, as a cron expression.")
    namespaces: tuple[Namespace, ...] = Field(
        default=(),
        description="Namespaces that it may work in: it makes Jobs and Secrets there, which is as good as all rights "
        "in them. They must exist. Where `config.volumes.select.include` is left out, backups are limited to them. "
        "Left out: `rbac.namespaces`; without those, all.",
    )
    hooks: Flag = Field(
        default=True,
        description="It may run commands in containers: those that the annotations dr-syncer.io/pre-backup and "
        "dr-syncer.io/post-backup ask for. Without it, a volume with such an annotation is not backed up.",
    )


class Verify(VolumeJob):
    schedule: Text = Field(
        default="30 12 * * 0",
        description="When, as a cron expression. Where that is not each week, set `config.volumes.verifyMaxAge`, too.",
    )
    resources: Object = Field(
        default={"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}},
        description="Of its container: restic holds the index of the whole repository in memory.",
    )


class Prune(Verify):
    enabled: Flag = Field(
        default=False,
        description="Forget old snapshots by `config.volumes.retention`. Left out, nothing is ever deleted, which is "
        "right for a source whose credentials can only append.",
    )
    schedule: Text = Field(default="30 14 * * 6", description="When, as a cron expression.")
    repository: Text = Field(
        default="",
        description="Where it reaches the same restic repository, when another address than "
        "`config.volumes.restic.repository` lets it delete.",
    )
    restic: ResticCredentials = Field(
        default=written({}), description="Credentials that may delete. Left out: those of `restic`, above."
    )
