"""What an import stands on before it looks at any object: the commit, whose it is, and what was imported before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drsyncer.cluster import Cluster, Discovery
from drsyncer.config.schema import Importer
from drsyncer.errors import Refused
from drsyncer.recovery.git import Clone, TreeFile
from drsyncer.recovery.identity import Identity
from drsyncer.recovery.vouching import source_of
from importer import following, revision, rulebook
from importer.inventory import Inventory
from importer.mandate import Mandate
from importer.memory import Memory
from importer.records import Record
from importer.rules import Rules, rules_of, scope_of
from transforms.steps import Render


@dataclass(frozen=True, slots=True)
class Request:
    """One run. `revision` "" means the configured one; `only` limits it to namespaces as Git names them.

    `confirmed` lets the prune guard pass; `adopt` accepts that the recovery repository now holds another cluster.

    For a service: without `fetch` the remote is not asked; `audit` trusts no record; `leave_drift` leaves alone what
    other hands changed and Git did not; `head` is the newest accepted commit that the caller knows of (None: any),
    and Overtaken is raised when another run accepted another one since.
    """

    revision: str = ""
    only: tuple[str, ...] = ()
    plan_only: bool = False
    confirmed: bool = False
    adopt: bool = False
    fetch: bool = True
    audit: bool = False
    leave_drift: bool = False
    head: str | None = None


class Overtaken(Refused):
    """Another run, by a person or another replica, has accepted another recovery point meanwhile."""


@dataclass(frozen=True, slots=True)
class Basis:
    """The commit and what is known of it and of DR.

    `files` are those of the commit, by path; `source` is the cluster that they come from. `records` are those of the
    last import, `trusted` what this run may believe of them. `standing` is what to remember as accepted.
    """

    chosen: following.Chosen
    files: Mapping[str, TreeFile]
    source: Identity
    memory: Memory
    inventory: Inventory
    records: Mapping[str, Record]
    trusted: Mapping[str, Record]
    standing: following.Standing
    rules: Rules
    discovery: Discovery


def basis_of(
    *, config: Importer, clone: Clone, cluster: Cluster, request: Request, render: Render, mandate: Mandate
) -> Basis:
    """Return what an import of `request` stands on.

    Raises Refused when the commit may not be imported here: not signed, not built on what was accepted before, of
    another cluster; Overtaken; UsageError for a scope that nothing is in; GitError, ClusterError, ConfigurationError;
    Abandoned when the `mandate` ended.
    """
    chosen = following.choose(clone, config.revision, request.revision, fetch=request.fetch)
    mandate.check()
    # Of this very commit, and no other, the signature was verified.
    files = clone.files(chosen.point.id)
    source = source_of(clone, chosen.point.id, files)
    memory = Memory(cluster, namespace=config.state_namespace, importer=config.name or source.cluster)
    inventory, records = memory.load()
    if request.head not in (None, inventory.head):
        raise Overtaken(f"another import accepted {inventory.head[:12] or 'another recovery point'} meanwhile")
    revision.check_clusters(source, inventory, cluster.uid(), adopt=request.adopt)
    # Another cluster's history has nothing to do with what was accepted of the one before.
    anew = inventory.source_uid != source.uid
    standing = following.accept(clone, chosen, config.revision, inventory, anew=anew)
    rules = rules_of(
        config,
        inventory,
        repository=rulebook.in_repository(clone, files) if config.transforms.from_repository else (),
        scope=scope_of(config, source, chosen.point.id, render),
    )
    revision.check_scope(request.only, files, inventory, rules)
    return Basis(
        chosen=chosen,
        files=files,
        source=source,
        memory=memory,
        inventory=inventory,
        records=records,
        trusted={} if request.audit else records,
        standing=standing,
        rules=rules,
        discovery=cluster.discover(),
    )
