"""The host map: names that the world uses, in Ingress, Gateway API, OpenShift Routes and ExternalDNS.

An exact key beats a suffix, the longest suffix wins, never chained. `*.prod.example.com` matches every
name below it, at any depth, and itself as a wildcard host; not `prod.example.com`.
"""

from __future__ import annotations

from collections.abc import Mapping

from drsyncer.manifest import Manifest
from transforms.pods import EACH, Ledger, Path, replace
from transforms.settings import Result, Subject

NAME = "hosts"

ROUTE_HOSTS: tuple[Path, ...] = (("spec", "hostnames", EACH),)

HOSTS: dict[str, tuple[Path, ...]] = {
    "ingresses.networking.k8s.io": (("spec", "rules", EACH, "host"), ("spec", "tls", EACH, "hosts", EACH)),
    "gateways.gateway.networking.k8s.io": (("spec", "listeners", EACH, "hostname"),),
    "httproutes.gateway.networking.k8s.io": ROUTE_HOSTS,
    "grpcroutes.gateway.networking.k8s.io": ROUTE_HOSTS,
    "tlsroutes.gateway.networking.k8s.io": ROUTE_HOSTS,
    "routes.route.openshift.io": (("spec", "host"),),
}

# On any type: ExternalDNS reads them from Services, Ingresses, routes and nodes. A comma list each.
HOST_LISTS: tuple[Path, ...] = tuple(
    ("metadata", "annotations", f"external-dns.alpha.kubernetes.io/{name}")
    for name in ("hostname", "internal-hostname")
)


def host_in_dr(host: str, entries: Mapping[str, str]) -> str:
    """Return the host in DR, `host` itself when nothing matches. DNS names have no case, so matching has none."""
    name = host.lower()
    if name in entries:
        return entries[name]
    left = ""
    rest = name
    while "." in rest:
        label, _, rest = rest.partition(".")
        left = f"{left}.{label}" if left else label
        target = entries.get(f"*.{rest}")
        if target is not None:
            return left + target.removeprefix("*")
    return host


def map_hosts(manifest: Manifest, subject: Subject) -> Result:
    """Rewrite every host that the object serves or announces."""
    entries = subject.settings.hosts
    if not entries:
        return Result(manifest)
    ledger = Ledger(NAME)
    for path in HOSTS.get(subject.ref.type, ()):
        manifest = replace(manifest, path, lambda host: host_in_dr(host, entries), ledger=ledger)
    for path in HOST_LISTS:
        manifest = replace(manifest, path, lambda hosts: _each_host(hosts, entries), ledger=ledger)
    return Result(manifest, ledger.applied)


def _each_host(hosts: str, entries: Mapping[str, str]) -> str:
    """Map a comma list; one that needs no change keeps its spaces."""
    names = [name.strip() for name in hosts.split(",")]
    mapped = [host_in_dr(name, entries) for name in names]
    return hosts if mapped == names else ",".join(dict.fromkeys(mapped))
