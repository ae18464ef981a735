"""From the configuration to the two ends of a command: the recovery repository and a cluster."""

from __future__ import annotations

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


def source_of(section: Exporter) -> Cluster:
    """Return the cluster that is exported. Raises UsageError when the kubeconfig gives none."""
    from drsyncer.cluster import connect

    return connect(
        kubeconfig=section.kubeconfig,
        context=section.context,
        connections=section.workers + 1,
        schedule=_schedule(section.retry),
    )


def dr_of(section: Importer) -> Cluster:
    """Return the cluster that is imported into. Raises UsageError when the kubeconfig gives none."""
    from drsyncer.cluster import connect

    return connect(
        kubeconfig=section.kubeconfig,
        context=section.context,
        connections=section.workers + 1,
        timeout=section.timeouts.request,
        schedule=_schedule(section.retry),
    )


def _schedule(retry: Retry) -> Schedule:
    from drsyncer.retry import Schedule

    return Schedule(
        initial=retry.initial,
        factor=retry.factor,
        maximum=retry.maximum,
        jitter=retry.jitter,
        attempts=retry.attempts,
    )
