"""From the configuration to the two ends of a command: the recovery repository and a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drsyncer.cluster import Cluster
    from drsyncer.config.schema import Config, Exporter, Importer, Repository, Retry
    from drsyncer.recovery.git import Clone
    from drsyncer.recovery.remote import Remote
    from drsyncer.retry import Schedule
    from drsyncer.service.place import Place


def remote_of(repository: Repository) -> Remote:
    """Return the recovery repository that the configuration names."""
    from drsyncer.recovery.remote import Remote

    auth = repository.auth
    return Remote(
        url=repository.url,
        branch=repository.branch,
        path=repository.path,
        author_name=repository.author.name,
        author_email=repository.author.email,
        ssh_key_file=auth.ssh_key_file,
        known_hosts_file=auth.known_hosts_file,
        username_file=auth.username_file,
        token_file=auth.token_file,
        ca_file=auth.ca_file,
        signing_key_file=repository.signing.key_file,
        allowed_signers_file=repository.verify.allowed_signers_file,
        cache_dir=repository.cache_dir,
        timeout=repository.timeout,
    )


def fetch_if_possible(clone: Clone) -> None:
    """Bring a clone up to date, and go on with what it had, with a warning, while the remote is away.

    Raises GitError when it never had anything.
    """
    from cli.say import warn
    from drsyncer.errors import GitError

    try:
        clone.fetch()
    except GitError as error:
        # What was there when it was last asked is worth having.
        if clone.base() is None:
            raise
        warn([f"as of the last fetch; the remote was not asked: {error}"])


@dataclass(frozen=True, slots=True)
class Manner:
    """How a cluster is asked: `attempts` and `timeout` (seconds, of one try) are upper bounds, None for none."""

    connections: int = 0  # beside one for each worker
    attempts: int | None = None
    timeout: float | None = None


COMMAND = Manner()
# A service tries again by itself. A watched type has a connection of its own; clusters have hundreds of types.
SERVICE = Manner(connections=500, attempts=3)
# Whoever cannot renew his lead in time has lost it.
ELECTION = Manner(attempts=1, timeout=2.0)
# The status is written again when it cannot be written.
STATUS = Manner(attempts=1, timeout=5.0)


def source_of(section: Exporter, manner: Manner = COMMAND) -> Cluster:
    """Return the cluster that is exported. Raises UsageError when the kubeconfig gives none."""
    return _connected(section, manner, timeout=30.0)


def dr_of(section: Importer, manner: Manner = COMMAND) -> Cluster:
    """Return the cluster that is imported into. Raises UsageError when the kubeconfig gives none."""
    return _connected(section, manner, timeout=section.timeouts.request)


def side_of(config: Config, side: str, manner: Manner) -> Cluster:
    """Return the cluster of the side `exporter` or `importer`, whose section there is."""
    if side == "exporter":
        assert config.exporter is not None
        return source_of(config.exporter, manner)
    assert config.importer is not None
    return dr_of(config.importer, manner)


def place_of(config: Config, side: str, *, namespace: str = "") -> Place:
    """Return where the Lease and the status of a side are: in `namespace`, else in the pod's own.

    Outside of a pod that is the configured one.
    """
    from drsyncer.cluster.lease import own_namespace
    from drsyncer.service.place import Place

    namespace = namespace or own_namespace()
    if side == "exporter":
        section = config.exporter
        assert section is not None
        return Place(namespace or section.secrets.digest_key_namespace, f"dr-syncer-exporter-{section.cluster}")
    assert config.importer is not None
    name = config.importer.name or config.importer.cluster
    return Place(namespace or config.importer.state_namespace, f"dr-syncer-importer-{name}")


def _connected(section: Exporter | Importer, manner: Manner, *, timeout: float) -> Cluster:
    from drsyncer.cluster import connect

    return connect(
        kubeconfig=section.kubeconfig,
        context=section.context,
        connections=section.workers + 1 + manner.connections,
        timeout=min(timeout, manner.timeout or timeout),
        schedule=_schedule(section.retry, attempts=manner.attempts),
    )


def _schedule(retry: Retry, *, attempts: int | None) -> Schedule:
    from drsyncer.retry import Schedule

    return Schedule(
        initial=retry.initial,
        factor=retry.factor,
        maximum=retry.maximum,
        jitter=retry.jitter,
        attempts=min(retry.attempts, attempts or retry.attempts),
    )
