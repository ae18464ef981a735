"""From the configuration to the two ends of a command: the recovery repository and a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drsyncer.cluster import Cluster
    from drsyncer.config.schema import Exporter, Importer, Repository, Retry
    from drsyncer.recovery.remote import Remote
    from drsyncer.retry import Schedule


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


def source_of(section: Exporter, manner: Manner = COMMAND) -> Cluster:
    """Return the cluster that is exported. Raises UsageError when the kubeconfig gives none."""
    return _connected(section, manner, timeout=30.0)


def dr_of(section: Importer, manner: Manner = COMMAND) -> Cluster:
    """Return the cluster that is imported into. Raises UsageError when the kubeconfig gives none."""
    return _connected(section, manner, timeout=section.timeouts.request)


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
