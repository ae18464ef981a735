"""Names of moved Services in texts: reported, or rewritten where asked."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.config.rules import Transforms
from drsyncer.manifest import ObjectRef
from drsyncer.sops.scope import covering, keys_named
from tests.unit.configured import pod_of, pod_template, settings, transformed
from transforms.literals import rewrite_literals
from transforms.pods import MAX_NOTES
from transforms.settings import Literals, Settings, Subject

MAP = {"shop": "shop-dr", "team-*": "dr-team-*"}
KNOWN = ("shop", "team-a", "default", "other")
SERVICES = (("shop", "web"), ("shop", "db"), ("team-a", "api"))
DOMAINS = {"prod.local": "dr.local"}


def run(type_key: str, manifest: Any, *, mode: str = "rewrite", **more: Any) -> Any:
    literals = {"mode": mode, **more.pop("literals", {})}
    return transformed(
        type_key,
        manifest,
        **{"namespaces": MAP, "known": KNOWN, "services": SERVICES, **more},
        literals=literals,
    )


def in_config_map(text: str, **more: Any) -> str:
    found: str = run("configmaps", {"data": {"key": text}}, **more).manifest["data"]["key"]
    return found


def notes_on(text: str, **more: Any) -> tuple[str, ...]:
    found: tuple[str, ...] = run("configmaps", {"data": {"key": text}}, **more).notes
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web.shop.svc", "web.shop-dr.svc"),
        ("http://web.shop.svc:80/path?x=web.shop.svc", "http://web.shop-dr.svc:80/path?x=web.shop-dr.svc"),
        ("web.shop.svc.cluster.local", "web.shop-dr.svc.cluster.local"),
        ("web.shop.svc.cluster.local.", "web.shop-dr.svc.cluster.local."),
        ("db-0.db.shop.svc", "db-0.db.shop-dr.svc"),
        ("_http._tcp.web.shop.svc", "_http._tcp.web.shop-dr.svc"),
        ("*.shop.svc", "*.shop-dr.svc"),
        ("operators-own.shop.svc", "operators-own.shop-dr.svc"),
        ("api.team-a.svc,web.shop.svc", "api.dr-team-a.svc,web.shop-dr.svc"),
        ("10-0-0-1.shop.pod.cluster.local", "10-0-0-1.shop-dr.pod.cluster.local"),
        ("web.shop", "web.shop-dr"),
        ("web.shop:8080", "web.shop-dr:8080"),
        ("a=web.shop:1,b=db.shop:2", "a=web.shop-dr:1,b=db.shop-dr:2"),
        ("http://web.shop/x", "http://web.shop-dr/x"),
        ("postgres://u:p@db.shop/x", "postgres://u:p@db.shop-dr/x"),
        ("see web.shop.svc. Then", "see web.shop-dr.svc. Then"),
    ],
)
def test_a_name_of_a_moved_service_is_rewritten(text: str, expected: str) -> None:
    assert in_config_map(text) == expected
    assert notes_on(text) == ()
    assert in_config_map(text, mode="report") == text
    assert notes_on(text, mode="report") != ()
    assert in_config_map(text, mode="ignore") == text
    assert notes_on(text, mode="ignore") == ()


@pytest.mark.parametrize(
    "text",
    [
        "myshop.svc",
        "web.myshop.svc",
        "web.shop.svcs",
        "web.shop.svc-x",
        "web.other.svc",
        "web.unknown.svc",
        "kubernetes.default.svc",
        "http://cart.shop/",
        "web.shop.com",
        "www.web.shop",
        "web.shop-x",
        "web_shop.svc",
        "webshop",
        "10-0-0-1.shop.pod",
        "x-.shop.svc",
        "",
    ],
)  # fmt: skip
def test_what_is_no_such_name_is_left_alone_and_not_told(text: str) -> None:
    assert in_config_map(text, namespaces={**MAP, "default": "default-dr"}) == text
    assert notes_on(text, namespaces={**MAP, "default": "default-dr"}) == ()


@pytest.mark.parametrize("text", ["host = web.shop", "mail info@web.shop", "web.shop.svc.elsewhere.example.com"])
def test_what_may_be_something_else_is_told_and_stays(text: str) -> None:
    assert in_config_map(text) == text
    assert len(notes_on(text)) == 1


def test_another_cluster_domain_is_put_in_its_place() -> None:
    more = {"literals": {"clusterDomains": DOMAINS}}

    assert in_config_map("web.shop.svc.prod.local", **more) == "web.shop-dr.svc.dr.local"
    assert in_config_map("dns.kube-system.svc.prod.local", **more) == "dns.kube-system.svc.dr.local"
    assert in_config_map("web.other.svc", **more) == "web.other.svc"
    assert in_config_map("x.other.svc.prod.local", namespaces={}, **more) == "x.other.svc.dr.local"
    assert notes_on("x.other.svc.prod.local", mode="report", **more) == (
        "/data/key names x.other.svc.prod.local, not rewritten: prod.local is dr.local in DR",
    )


def test_swapped_namespaces_are_swapped() -> None:
    assert in_config_map("x.a.svc x.b.svc", namespaces={"a": "b", "b": "a"}, known=("a", "b")) == "x.b.svc x.a.svc"


def test_every_text_of_a_pod_is_read_and_images_are_not() -> None:
    host = "web.shop.svc"
    container = {
        "name": "web",
        "image": f"{host}/app",
        "command": ["run", host],
        "args": [f"--api=http://{host}:80"],
        "env": [{"name": "DB", "value": host}, {"name": host, "valueFrom": {"fieldRef": {"fieldPath": "x"}}}],
        "readinessProbe": {"httpGet": {"host": host}},
        "lifecycle": {"preStop": {"exec": {"command": ["curl", host]}}},
    }
    pod = {
        "containers": [container],
        "initContainers": [container],
        "dnsConfig": {"searches": ["shop.svc.cluster.local", "shop.svc", "svc.cluster.local", "example.com"]},
    }

    done = pod_of(run("deployments.apps", pod_template(pod)))

    moved = "web.shop-dr.svc"
    assert done["containers"][0] == {
        "name": "web",
        "image": f"{host}/app",
        "command": ["run", moved],
        "args": [f"--api=http://{moved}:80"],
        "env": [{"name": "DB", "value": moved}, {"name": moved, "valueFrom": {"fieldRef": {"fieldPath": "x"}}}],
        "readinessProbe": {"httpGet": {"host": moved}},
        "lifecycle": {"preStop": {"exec": {"command": ["curl", moved]}}},
    }
    assert done["initContainers"] == done["containers"]
    assert done["dnsConfig"]["searches"] == [
        "shop-dr.svc.cluster.local",
        "shop-dr.svc",
        "svc.cluster.local",
        "example.com",
    ]


def test_malformed_containers_stay_as_they_are() -> None:
    pod = {"containers": ["web.shop.svc", {"args": "web.shop.svc"}, None], "initContainers": "web.shop.svc"}

    done = pod_of(run("deployments.apps", pod_template(pod)))

    assert done["containers"] == ["web.shop.svc", {"args": "web.shop-dr.svc"}, None]
    assert done["initContainers"] == "web.shop.svc"


def test_external_names_annotations_and_endpoints_are_read_and_ours_are_not() -> None:
    service = {
        "metadata": {"annotations": {"note": "web.shop.svc", "dr-syncer.io/note": "web.shop.svc"}},
        "spec": {"externalName": "db.shop.svc.cluster.local"},
    }

    done = run("services", service).manifest

    assert done["spec"]["externalName"] == "db.shop-dr.svc.cluster.local"
    assert done["metadata"]["annotations"] == {"note": "web.shop-dr.svc", "dr-syncer.io/note": "web.shop.svc"}
    slices = run("endpointslices.discovery.k8s.io", {"endpoints": [{"addresses": ["db.shop.svc"]}]}).manifest
    assert slices["endpoints"] == [{"addresses": ["db.shop-dr.svc"]}]


def test_a_custom_resource_is_rewritten_only_where_its_type_is_named() -> None:
    widget = {"spec": {"url": "http://web.shop.svc"}, "status": {"at": ["web.shop.svc"]}}
    entry = {"match": {"types": ["widgets.example.com"]}, "mode": "rewrite"}
    glob = {"match": {"types": ["*.example.com"]}, "mode": "rewrite"}

    assert run("widgets.example.com", widget).manifest["spec"] == widget["spec"]
    assert run("widgets.example.com", widget).notes[0] == (
        "/spec/url names web.shop.svc, not rewritten: shop is shop-dr in DR"
    )
    assert run("widgets.example.com", widget, literals={"entries": [glob]}).manifest["spec"] == widget["spec"]
    named = run("widgets.example.com", widget, literals={"entries": [entry]})
    assert named.manifest["spec"] == {"url": "http://web.shop-dr.svc"}
    assert named.used == {"literals.entries[0]"}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


DSN = "postgres://u:canary@db.shop.svc/x"


def test_of_a_secret_only_the_key_is_told() -> None:
    secret = {"data": {"dsn": encoded(DSN), "other": encoded("x"), "bin": "////"}, "stringData": {"plain": DSN}}

    done = run("secrets", secret)

    assert {key: done.manifest[key] for key in secret} == secret
    assert done.notes == (
        "/data/dsn names a Service that is called otherwise in DR, not rewritten",
        "/stringData/plain names a Service that is called otherwise in DR, not rewritten",
    )


def test_a_secret_is_rewritten_where_it_is_asked_for_by_name_and_nothing_of_it_is_told() -> None:
    entry = {"match": {"types": ["secrets"], "names": ["web"]}, "mode": "rewrite"}
    secret = {"data": {"dsn": encoded(DSN)}, "stringData": {"plain": DSN}}

    done = run("secrets", secret, mode="report", literals={"entries": [entry]})

    new = DSN.replace("db.shop", "db.shop-dr")
    assert done.manifest["data"] == {"dsn": encoded(new)}
    assert done.manifest["stringData"] == {"plain": new}
    assert [line for line in done.applied if "literals" in line] == [
        "literals: /data/dsn rewritten",
        "literals: /stringData/plain rewritten",
    ]
    assert done.notes == ()


@pytest.mark.parametrize("mode", ["report", "rewrite"])
def test_of_what_was_encrypted_of_any_object_nothing_is_told_either(mode: str) -> None:
    hidden = covering([keys_named("data")])
    config_map = {"metadata": {"annotations": {"a": "db.shop.svc"}}, "data": {"dsn": DSN}}
    moved = settings(namespaces=MAP, literals={"mode": mode})

    done = rewrite_literals(config_map, Subject(ObjectRef("configmaps", "shop", "web"), moved, hidden=hidden))

    told = " ".join((*done.applied, *done.notes))
    assert "/data/dsn" in told
    assert told.count("db.shop.svc") == 1  # that of the annotation
    assert ("db.shop-dr" in done.manifest["data"]["dsn"]) == (mode == "rewrite")


def test_the_first_entry_that_matches_decides_for_its_objects() -> None:
    entries = [{"match": {"names": ["w*"]}, "mode": "report"}, {"mode": "rewrite"}]

    assert in_config_map("web.shop.svc", mode="ignore", literals={"entries": entries}) == "web.shop.svc"
    assert in_config_map("web.shop.svc", mode="ignore", literals={"entries": entries[1:]}) == "web.shop-dr.svc"


@pytest.mark.parametrize("names", [[], ["db-*"]])
def test_secrets_are_asked_for_by_name_or_not_at_all(names: list[str]) -> None:
    entry = {"match": {"types": ["secrets"], "names": names}, "mode": "rewrite"}

    with pytest.raises(ValueError, match="only by name"):
        Transforms.model_validate({"literals": {"entries": [entry]}})


def test_a_line_names_the_place_and_the_first_of_many() -> None:
    done = run("configmaps", {"data": {"a": "web.shop.svc db.shop.svc api.team-a.svc"}})

    assert done.applied[-1] == "literals: /data/a web.shop.svc -> web.shop-dr.svc and 2 more"


def test_notes_are_bounded() -> None:
    data = {f"k{index:03}": "db.shop.svc" for index in range(MAX_NOTES + 5)}

    notes = run("configmaps", {"data": data}, mode="report").notes

    assert len(notes) == MAX_NOTES + 1
    assert notes[-1] == "and 5 more names of moved Services"


def test_without_moved_names_nothing_is_read() -> None:
    manifest = {"data": {"key": "web.shop.svc"}}

    assert run("configmaps", manifest, namespaces={}).notes == ()


HOSTILE = [
    "a" * 1_000_000,
    "a." * 500_000,
    "a-" * 500_000,
    "a.b.svc" * 140_000,
    "web.shop." * 110_000,
    "a.b.svc." + "c." * 490_000,
    "*." * 500_000,
    "web.shop.svc " * 77_000,
    "://" * 330_000 + "web.shop",
    "http://u:p@" * 90_000 + "web.shop",
    "web.shop@" * 110_000,
    " web.shop," * 100_000,
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", HOSTILE, ids=[text[:12] for text in HOSTILE])
def test_a_hostile_megabyte_is_read_to_its_end(text: str) -> None:
    """A pattern that looks back over what it has read would take hours."""
    in_config_map(text)


LABELS = st.sampled_from(["web", "shop", "svc", "other", "a-b", "cluster", "local", "x", "db", "pod", "default"])
WORDS = st.lists(LABELS, min_size=1, max_size=6).map(".".join)
TEXTS = st.lists(WORDS | st.sampled_from(["://", ":80", " ", "@", "*.", "-", ","]), max_size=8).map("".join)


@given(text=TEXTS)
def test_what_was_rewritten_holds_no_name_to_rewrite(text: str) -> None:
    once = in_config_map(text)

    assert in_config_map(once) == once


@given(text=TEXTS)
def test_the_way_back_leads_to_the_same_text(text: str) -> None:
    services = (*SERVICES, ("shop-dr", "web"), ("shop-dr", "db"))
    known = ("shop", "shop-dr")
    there = in_config_map(text, namespaces={"shop": "shop-dr", "shop-dr": "shop"}, known=known, services=services)
    back = in_config_map(there, namespaces={"shop": "shop-dr", "shop-dr": "shop"}, known=known, services=services)

    assert back == text


@given(
    manifest=st.dictionaries(
        st.sampled_from(["data", "stringData", "spec", "metadata2"]),
        st.recursive(
            st.none() | st.integers() | st.sampled_from(["web.shop.svc", "x", encoded(DSN)]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["template", "spec", "containers", "env", "a"]), inner, max_size=3)
            ),
            max_leaves=12,
        ),
    ),
    type_key=st.sampled_from(["configmaps", "secrets", "pods", "deployments.apps", "services", "widgets.example.com"]),
)
def test_whatever_comes_in_never_fails_and_is_never_changed(manifest: Any, type_key: str) -> None:
    before = copy.deepcopy(manifest)
    subject = Subject(
        ObjectRef(type_key, "shop", "x"),
        Settings(namespaces=MAP, literals=Literals(mode="rewrite")),
        known_services=frozenset(SERVICES),
    )

    rewrite_literals(manifest, subject)

    assert manifest == before
