"""Who writes the Kubernetes Events of a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drsyncer.config.schema import Config
    from drsyncer.service.telling import Teller


def teller_of(config: Config, side: str) -> Teller:
    """Return who writes this side's Kubernetes Events; nothing is sent yet."""
    import socket

    from cli.sides import ELECTION, place_of, side_of
    from drsyncer.cluster.events import EventWriter
    from drsyncer.service.series import Ledger
    from drsyncer.service.telling import Teller

    place = place_of(config, side)

    def connect() -> EventWriter:
        return EventWriter(side_of(config, side, ELECTION), place, instance=socket.gethostname())

    return Teller(connect, Ledger(place.name))
