"""The host map: names that the world uses, in Ingress, Gateway API, certificates, and what is like them.

An exact key beats a suffix, the longest suffix wins, never chained. `*.prod.example.com` matches every
name below it, at any depth, and itself as a wildcard host; not `prod.example.com`.
"""

from __future__ import annotations

from collections.abc import Mapping

from drsyncer.manifest import Manifest
from transforms.pods import EACH, Ledger, Path, replace
from transforms.settings import Result, Subject

NAME = "hosts"

_FILTERS: tuple[Path, ...] = (
    ("spec", "rules", EACH, "filters", EACH, "requestRedirect", "hostname"),
    ("spec", "rules", EACH, "filters", EACH, "urlRewrite", "hostname"),
)
ROUTE_HOSTS: tuple[Path, ...] = (("spec", "hostnames", EACH), *_FILTERS)
LISTENER_HOSTS: tuple[Path, ...] = (("spec", "listeners", EACH, "hostname"),)

HOSTS: dict[str, tuple[Path, ...]] = {
    "ingresses.networking.k8s.io": (("spec", "rules", EACH, "host"), ("spec", "tls", EACH, "hosts", EACH)),
    "gateways.gateway.networking.k8s.io": LISTENER_HOSTS,
    "listenersets.gateway.networking.k8s.io": LISTENER_HOSTS,
    "xlistenersets.gateway.networking.x-k8s.io": LISTENER_HOSTS,
    "httproutes.gateway.networking.k8s.io": ROUTE_HOSTS,
    "grpcroutes.gateway.networking.k8s.io": ROUTE_HOSTS,
    "tlsroutes.gateway.networking.k8s.io": ROUTE_HOSTS,
    "routes.route.openshift.io": (("spec", "host"),),
    "certificates.cert-manager.io": (("spec", "commonName"), ("spec", "dnsNames", EACH)),
    "dnsendpoints.externaldns.k8s.io": (("spec", "endpoints", EACH, "dnsName"),),
    "virtualservices.networking.istio.io": (("spec", "hosts", EACH),),
}

# On any type, a comma list each. ExternalDNS reads its own from Services, Ingresses, routes and nodes; cert-manager
# and ingress-nginx read theirs from Ingresses and Gateways.
HOST_LISTS: tuple[Path, ...] = tuple(
    ("metadata", "annotations", name)
    for name in (
        "external-dns.alpha.kubernetes.io/hostname",
        "external-dns.alpha.kubernetes.io/internal-hostname",
        "external-dns.alpha.kubernetes.io/ingress-hostname",
        "cert-manager.io/common-name",
        "cert-manager.io/alt-names",
        "nginx.ingress.kubernetes.io/server-alias",
    )
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
