"""The host map."""

from __future__ import annotations

import pytest

from drsyncer.manifest import ObjectRef
from transforms.hosts import host_in_dr, map_hosts
from transforms.settings import Settings, Subject, TransformFailed

HOSTS = {
    "*.prod.example.com": "*.dr.example.com",
    "*.eu.prod.example.com": "*.eu.example.net",
    "www.example.com": "dr.example.com",
    "api.prod.example.com": "api.example.net",
}


def run(type_key, manifest):
    return map_hosts(manifest, Subject(ObjectRef(type_key, "shop", "x"), Settings(hosts=HOSTS)))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("www.example.com", "dr.example.com"),
        ("api.prod.example.com", "api.example.net"),
        ("a.prod.example.com", "a.dr.example.com"),
        ("a.b.prod.example.com", "a.b.dr.example.com"),
        ("a.eu.prod.example.com", "a.eu.example.net"),
        ("*.prod.example.com", "*.dr.example.com"),
        ("A.Prod.Example.com", "a.dr.example.com"),
        ("prod.example.com", "prod.example.com"),
        ("aprod.example.com", "aprod.example.com"),
        ("", ""),
    ],
)
def test_exact_beats_suffix_and_the_longest_suffix_wins(host, expected):
    assert host_in_dr(host, HOSTS) == expected


SERVED = {
    "ingresses.networking.k8s.io": lambda host: {
        "spec": {"rules": [{"host": host}, {"http": {}}], "tls": [{"hosts": ["kept.org", host], "secretName": "s"}]}
    },
    "gateways.gateway.networking.k8s.io": lambda host: {"spec": {"listeners": [{"hostname": host}, {"port": 80}]}},
    "httproutes.gateway.networking.k8s.io": lambda host: {"spec": {"hostnames": [host]}},
    "grpcroutes.gateway.networking.k8s.io": lambda host: {"spec": {"hostnames": [host]}},
    "tlsroutes.gateway.networking.k8s.io": lambda host: {"spec": {"hostnames": [host]}},
    "routes.route.openshift.io": lambda host: {"spec": {"host": host}},
    "listenersets.gateway.networking.k8s.io": lambda host: {"spec": {"listeners": [{"hostname": host}]}},
    "certificates.cert-manager.io": lambda host: {"spec": {"commonName": host, "dnsNames": ["kept.org", host]}},
    "dnsendpoints.externaldns.k8s.io": lambda host: {"spec": {"endpoints": [{"dnsName": host, "targets": ["x"]}]}},
    "virtualservices.networking.istio.io": lambda host: {"spec": {"hosts": [host, "web"]}},
}
REDIRECT = "httproutes.gateway.networking.k8s.io"


@pytest.mark.parametrize("kind", ["requestRedirect", "urlRewrite"])
def test_hosts_that_a_route_leads_to_are_mapped(kind):
    def route(host):
        return {"spec": {"rules": [{"filters": [{"type": "x", kind: {"hostname": host}}]}]}}

    assert run(REDIRECT, route("www.example.com")).manifest == route("dr.example.com")


@pytest.mark.parametrize(
    "name",
    [
        "external-dns.alpha.kubernetes.io/ingress-hostname",
        "cert-manager.io/common-name",
        "cert-manager.io/alt-names",
        "nginx.ingress.kubernetes.io/server-alias",
    ],
)
def test_hosts_in_annotations_are_mapped(name):
    done = run("ingresses.networking.k8s.io", {"metadata": {"annotations": {name: "kept.org, www.example.com"}}})

    assert done.manifest == {"metadata": {"annotations": {name: "kept.org,dr.example.com"}}}


@pytest.mark.parametrize("type_key", SERVED)
def test_every_served_host_is_mapped(type_key):
    around = SERVED[type_key]

    assert run(type_key, around("a.prod.example.com")).manifest == around("a.dr.example.com")
    untouched = around("a.example.org")
    assert run(type_key, untouched).manifest is untouched


def test_names_announced_to_dns_are_mapped_on_any_type():
    key = "external-dns.alpha.kubernetes.io/hostname"

    result = run("services", {"metadata": {"annotations": {key: "a.prod.example.com, kept.org"}}})

    assert result.manifest["metadata"]["annotations"][key] == "a.dr.example.com,kept.org"
    untouched = {"metadata": {"annotations": {key: "kept.org,  b.org"}}}
    assert run("services", untouched).manifest is untouched


def test_malformed_hosts_block_the_object():
    with pytest.raises(TransformFailed, match="hosts: /spec/tls/0/hosts: found a string, expected a list"):
        run("ingresses.networking.k8s.io", {"spec": {"tls": [{"hosts": "a.prod.example.com"}]}})
