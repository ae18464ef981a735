"""What a Service cannot take along to another cluster: the address that its cloud gave it there."""

from __future__ import annotations

from drsyncer import paths
from drsyncer.manifest import Manifest
from transforms.settings import Result, Subject

NAME = "loadBalancerIP"
SERVICES = "services"
_ADDRESS = paths.parse("/spec/loadBalancerIP")


def drop_load_balancer_ip(manifest: Manifest, subject: Subject) -> Result:
    """Return a Service without `spec.loadBalancerIP`: it is an address of the source's site.

    Two sites that announce the same address would take each other's traffic; DR's own load balancer
    chooses one there. Other objects come back unchanged.
    """
    if subject.ref.type != SERVICES:
        return Result(manifest)
    left, removed = paths.remove(manifest, _ADDRESS)
    if not removed:
        return Result(manifest)
    return Result(
        left,
        applied=("/spec/loadBalancerIP removed",),
        notes=("its loadBalancerIP stays behind: it belongs to the source's site",),
    )
