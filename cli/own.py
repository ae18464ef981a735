"""What a service has in the cluster of its side: one name for its Lease and its ConfigMap, and Events about that."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drsyncer.cluster.events import Place
    from drsyncer.config.schema import Config
    from drsyncer.service.telling import Teller


def place_of(config: Config, side: str) -> Place:
    """Return namespace and name of what this side has in its cluster."""
    from drsyncer.cluster.events import Place
    from drsyncer.cluster.lease import own_namespace

    if side == "exporter":
        assert config.exporter is not None
        namespace = own_namespace() or config.exporter.secrets.digest_key_namespace
        return Place(namespace, f"dr-syncer-exporter-{config.exporter.cluster}")
    assert config.importer is not None
    namespace = own_namespace() or config.importer.state_namespace
    return Place(namespace, f"dr-syncer-importer-{config.importer.name or config.importer.cluster}")


def teller_of(config: Config, side: str) -> Teller:
    """Return who writes this side's Kubernetes Events; nothing is sent yet."""
    import socket

    from cli.sides import ELECTION, dr_of, source_of
    from drsyncer.cluster.events import EventWriter
    from drsyncer.service.series import Ledger
    from drsyncer.service.telling import Teller

    place = place_of(config, side)

    def connect() -> EventWriter:
        if side == "exporter":
            assert config.exporter is not None
            cluster = source_of(config.exporter, ELECTION)
        else:
            assert config.importer is not None
            cluster = dr_of(config.importer, ELECTION)
        return EventWriter(cluster, place, instance=socket.gethostname())

    return Teller(connect, Ledger(place.name))
