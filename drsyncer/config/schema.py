"""The schema of `dr-syncer.yaml`: every key that has an effect, its default and what it means.

The descriptions are for people: they become the comments of the sample, the reference page and the JSON Schema.
Make one with `Config.model_validate(...)`, or read a file with `drsyncer.config.load.load`.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from drsyncer.config.match_spec import MatchSpec
from drsyncer.config.modes import CronText, Drift, Mode, TimeZone
from drsyncer.config.rules import (
    AccessMode,
    AnnotationChanges,
    Clean,
    CleanRule,
    LabelChanges,
    Select,
    Standby,
    Transforms,
)
from drsyncer.config.secrets import AlsoEncrypt, Decryption, Secrets
from drsyncer.config.section import Section, written
from drsyncer.config.server import Server
from drsyncer.config.signing import Signing, Verify
from drsyncer.config.values import (
    Attempts,
    Branch,
    Count,
    Duration,
    Factor,
    Flag,
    FolderInRepository,
    Fraction,
    Line,
    LocalPath,
    Name,
    Namespace,
    OptionalBranch,
    OptionalCommit,
    OptionalName,
    OptionalRange,
    OptionalTag,
    PageSize,
    Percent,
    RemoteUrl,
    Text,
    Workers,
)
from drsyncer.config.volumes import Volumes

__all__ = [
    "API_VERSION",
    "AccessMode",
    "AlsoEncrypt",
    "AnnotationChanges",
    "Auth",
    "Author",
    "Clean",
    "CleanRule",
    "Config",
    "Decryption",
    "Drift",
    "Exporter",
    "Guard",
    "Importer",
    "LabelChanges",
    "MatchSpec",
    "Prune",
    "Repository",
    "Retry",
    "Revision",
    "Secrets",
    "Select",
    "Server",
    "Signing",
    "Standby",
    "Timeouts",
    "Transforms",
    "Verify",
    "Volumes",
]

API_VERSION = "dr-syncer.io/v1"


class Author(Section):
    name: Line = Field(default="DR-Syncer", description="Name in the commits.")
    email: Line = Field(default="dr-syncer@localhost", description="Mail address in the commits.")


class Auth(Section):
    ssh_key_file: LocalPath = Field(
        default="", description="ssh: file with the private key.", examples=["/etc/dr-syncer/ssh/id_ed25519"]
    )
    known_hosts_file: LocalPath = Field(
        default="",
        description="ssh: file with the host keys that are trusted. Left out: ~/.ssh/known_hosts. An unknown host is "
        "refused.",
        examples=["/etc/dr-syncer/ssh/known_hosts"],
    )
    username_file: LocalPath = Field(
        default="", description="https: file with the user name.", examples=["/etc/dr-syncer/git/username"]
    )
    token_file: LocalPath = Field(
        default="",
        description="https: file with the token or password. It is read anew for every connection, so it can be "
        "rotated.",
        examples=["/etc/dr-syncer/git/token"],
    )
    ca_file: LocalPath = Field(
        default="",
        description="https: file with the certificates that the server's is checked against, instead of the system's.",
        examples=["/etc/ssl/company-ca.pem"],
    )


class Repository(Section):
    url: RemoteUrl = Field(
        description="Where the recovery repository is: ssh://…, https://…, file://…, user@host:path, or a path.",
        examples=["ssh://git@git.example.com/dr/recovery.git"],
    )
    branch: Branch = Field(default="main", description="The branch that holds the recovery points.")
    path: FolderInRepository = Field(
        default="",
        description="A folder inside, so that several source clusters can share one repository.",
        examples=["clusters/prod"],
    )
    author: Author = Field(default=written({}), description="Who the exporter's commits are by.")
    auth: Auth = Field(default=written({}), description="Credentials for git: always files, never values.")
    signing: Signing = Field(default=written({}), description="Signatures that the exporter makes.")
    verify: Verify = Field(default=written({}), description="Signatures that the importer insists on.")
    cache_dir: LocalPath = Field(
        default="",
        description="Folder for the local clone. Left out: dr-syncer below $XDG_CACHE_HOME or ~/.cache.",
        examples=["/var/cache/dr-syncer"],
    )
    timeout: Duration = Field(default=written("60s"), description="How long one network command of git may take.")


class Retry(Section):
    initial: Duration = Field(default=written("500ms"), description="Delay after the first failed try.")
    factor: Factor = Field(default=2, description="Each further delay is this many times the one before.")
    maximum: Duration = Field(default=written("30s"), alias="max", description="The longest delay.")
    jitter: Fraction = Field(
        default=0.2, description="The share of a delay that is random, so that clients do not come back all at once."
    )
    attempts: Attempts = Field(default=8, description="Tries in all, the first one counted.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.maximum < self.initial:
            raise ValueError("max must not be shorter than initial")
        return self


class Guard(Section):
    max_deletions: Count = Field(
        default=50, description="More deletions than this in one commit are refused until somebody confirms them."
    )
    max_deletion_percent: Percent = Field(
        default=20, description="The same, as a percentage of what the recovery repository holds."
    )
    window: Duration = Field(
        default=written("10m"),
        description="What the commits of so long deleted counts, too: what is deleted bit by bit is gone as well. What "
        "they had created counts for nothing, nor does what somebody confirmed, or what is there again.",
    )


class Prune(Section):
    enabled: Flag = Field(
        default=True, description="Delete in DR what an earlier import made and what is no longer in Git."
    )
    max_deletions: Count = Field(
        default=50, description="More deletions than this in one import are refused until somebody confirms them."
    )
    max_deletion_percent: Percent = Field(
        default=20, description="The same, as a percentage of what this importer has made in DR."
    )


class Exporter(Section):
    cluster: Name = Field(
        description="Name of the source cluster in commits, metrics and reports.",
        examples=["prod"],
    )
    kubeconfig: LocalPath = Field(
        default="",
        description="Kubeconfig of the source cluster. Left out: $KUBECONFIG, ~/.kube/config, or in a pod its service "
        "account.",
        examples=["/etc/dr-syncer/kubeconfig"],
    )
    context: Text = Field(
        default="", description="Context in the kubeconfig. Left out: its current one.", examples=["prod-admin"]
    )
    mode: Mode = Field(
        default="continuous",
        description="When the service exports: at every change (`continuous`), at the ticks of `schedule` "
        "(`scheduled`), or when it is told to (`manual`).",
    )
    schedule: CronText = Field(default="*/15 * * * *", description="scheduled: when to export, as in crontab(5).")
    timezone: TimeZone = Field(default="UTC", description="scheduled: the time zone of `schedule`.")
    select: Select = Field(default=written({}), description="Which objects are exported.")
    clean: Clean = Field(default=written({}), description="Which fields are exported, beyond the built-in cleaning.")
    secrets: Secrets = Field(default=written({}), description="How Secrets are treated.")
    guard: Guard = Field(
        default=written({}), description="Limits on what one commit may delete from the recovery repository."
    )
    quiet_period: Duration = Field(
        default=written("2s"),
        description="As a service: what has changed is committed when nothing else has changed for so long.",
    )
    max_delay: Duration = Field(
        default=written("15s"), description="As a service: the longest that a change waits for others to come."
    )
    workers: Workers = Field(default=4, description="Types that are listed at the same time.")
    page_size: PageSize = Field(default=500, description="Objects that are asked for in one request.")
    retry: Retry = Field(default=written({}), description="How a request that can succeed later is tried again.")

    @model_validator(mode="after")
    def _patient(self) -> Self:
        if self.max_delay < self.quiet_period:
            raise ValueError("maxDelay must not be shorter than quietPeriod")
        return self


class Revision(Section):
    branch: OptionalBranch = Field(default="", description="Newest commit of this branch.", examples=["main"])
    tag: OptionalTag = Field(default="", description="The commit of this tag.", examples=["v1.4.0"])
    commit: OptionalCommit = Field(default="", description="This commit.", examples=["3f2c1a9"])
    semver: OptionalRange = Field(
        default="",
        description="The commit of the newest tag in this range of versions. Tags are `v1.4.0`, `1.4.0` or `1.4`; "
        "pre-releases count only where the range names one of the same version (`>=2.0.0-rc.1`).",
        examples=[">=1.0 <2"],
    )

    @model_validator(mode="after")
    def _only_one(self) -> Self:
        if sum(map(bool, (self.branch, self.tag, self.commit, self.semver))) > 1:
            raise ValueError("expected only one of branch, tag, commit and semver")
        return self

    @property
    def text(self) -> str:
        """The branch, tag, commit or range that was chosen, as people write it."""
        return self.branch or self.tag or self.commit or self.semver


class Timeouts(Section):
    request: Duration = Field(default=written("30s"), description="One request to the API server.")
    crds: Duration = Field(default=written("60s"), description="Until new CustomResourceDefinitions are served.")
    namespaces: Duration = Field(
        default=written("120s"), description="Until a namespace that is being deleted is gone."
    )


class Importer(Section):
    name: OptionalName = Field(
        default="",
        description="Identity of this importer's inventory in DR, so that several importers can share a cluster. "
        "Left out: the source cluster's name as the recovery repository gives it.",
        examples=["prod"],
    )
    cluster: Name = Field(description="Name of the DR cluster in metrics and reports.", examples=["dr"])
    kubeconfig: LocalPath = Field(
        default="",
        description="Kubeconfig of the DR cluster. Left out: $KUBECONFIG, ~/.kube/config, or in a pod its service "
        "account.",
        examples=["/etc/dr-syncer/kubeconfig"],
    )
    context: Text = Field(
        default="", description="Context in the kubeconfig. Left out: its current one.", examples=["dr-admin"]
    )
    mode: Mode = Field(
        default="continuous",
        description="When the service imports: whenever what it follows moved (`continuous`), at the ticks of "
        "`schedule` (`scheduled`), or when it is told to (`manual`).",
    )
    interval: Duration = Field(
        default=written("30s"), description="continuous: how often the recovery repository is asked for news."
    )
    schedule: CronText = Field(default="0 * * * *", description="scheduled: when to import, as in crontab(5).")
    timezone: TimeZone = Field(default="UTC", description="scheduled: the time zone of `schedule`.")
    drift: Drift = Field(default=written({}), description="continuous: what other hands change in DR.")
    audit_interval: Duration = Field(
        default=written("24h"),
        description="continuous: how often everything is read anew and asked of DR, as if nothing were remembered.",
    )
    state_namespace: Namespace = Field(
        default="dr-syncer", description="Namespace in DR where the inventory and the records of imports live."
    )
    revision: Revision = Field(
        default=written({}),
        description="What is imported: exactly one of these. Left out: the branch of `repository.branch`.",
    )
    select: Select = Field(
        default=written({}), description="Which objects are imported. Infrastructure types are out unless named."
    )
    secrets: Decryption = Field(default=written({}), description="How encrypted objects are decrypted.")
    standby: Standby = Field(default=written({}), description="Whether imported workloads wait or run.")
    transforms: Transforms = Field(default=written({}), description="What changes on the way into DR.")
    adopt: Literal["never", "matching", "always"] = Field(
        default="matching",
        description="Objects that already exist in DR and were made by other hands: leave them (`never`), take over "
        "those where nothing changes that another manager owns (`matching`), or take over all (`always`).",
    )
    conflicts: Literal["force", "fail", "skip"] = Field(
        default="force",
        description="Fields of imported objects that somebody else changed in DR: put them back (`force`), report the "
        "object as failed (`fail`), or leave the object (`skip`).",
    )
    immutable: Literal["fail", "recreate"] = Field(
        default="fail",
        description="Changes to fields that cannot be changed: report them (`fail`), or delete and create the object "
        "anew (`recreate`; never namespaces, CRDs, volumes and claims).",
    )
    node_ports: Literal["report", "drop"] = Field(
        default="report",
        description="A NodePort that another Service in DR holds: report it with its holder (`report`), or let DR "
        "choose another port (`drop`).",
    )
    prune: Prune = Field(default=written({}), description="Deletion of what left Git.")
    workers: Workers = Field(default=16, description="Objects that are applied at the same time.")
    page_size: PageSize = Field(default=500, description="Objects that are asked for in one request.")
    timeouts: Timeouts = Field(default=written({}), description="How long to wait for the DR cluster.")
    retry: Retry = Field(default=written({}), description="How a request that can succeed later is tried again.")


class Config(Section):
    api_version: Literal["dr-syncer.io/v1"] = Field(description="Version of this format.", examples=[API_VERSION])
    repository: Repository = Field(description="The recovery repository: the Git repository between the clusters.")
    exporter: Exporter | None = Field(
        default=None, description="The source side: what goes from the source cluster into the recovery repository."
    )
    importer: Importer | None = Field(
        default=None, description="The DR side: what goes from the recovery repository into the DR cluster."
    )
    volumes: Volumes | None = Field(
        default=None, description="The data of PersistentVolumeClaims: how it goes to the restic repository and back."
    )
    server: Server = Field(default=written({}), description="What `dr-syncer serve` listens on.")

    @model_validator(mode="after")
    def _revision_by_default(self) -> Self:
        """Let an importer without a revision follow the repository's branch."""
        if self.importer is None or self.importer.revision.text:
            return self
        followed = Revision(branch=self.repository.branch)
        return self.model_copy(update={"importer": self.importer.model_copy(update={"revision": followed})})
