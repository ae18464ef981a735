"""The sample shop, from one cluster into another: every object, field by field.

What may differ is written down once, in the tables below and in `comparison.ASSIGNED`. They are independent of the
product's own rules on purpose: a rule that removes too much shows up here as a difference that nobody announced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from importer.plan import Action
from tests.cluster.api import Object
from tests.cluster.control_plane import ControlPlane
from tests.cluster.git_servers import bare_repository
from tests.integration.comparison import ABSENT, Differences, Paths, compared, merged, travelling
from tests.integration.recovery import Recovery, actions, problems
from tests.unit.sops_samples import key_file

SHOP = Path(__file__).parents[2] / "examples" / "shop"
AS_IT_IS: dict[str, Any] = {"standby": {"enabled": False}, "select": {"disable": ["infrastructure"]}}
MAP = {"shop": "shop-dr", "shop-*": "dr-*"}

# The Gateway API's own group, whose references to namespaces follow a namespace map; the sample has one of its own.
PROTECTED = {"api-approved.kubernetes.io": "unapproved, a stand-in for a test"}
ANYTHING = {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
ROUTE = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "parentRefs": [{"name": "public", "namespace": "shop-data"}],
        "hostnames": ["www.shop.example.com"],
        "rules": [{"backendRefs": [{"name": "web", "namespace": "shop", "port": 80}]}],
    },
}
ROUTES = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "httproutes.gateway.networking.k8s.io", "annotations": PROTECTED},
    "spec": {
        "group": "gateway.networking.k8s.io",
        "scope": "Namespaced",
        "names": {"plural": "httproutes", "singular": "httproute", "kind": "HTTPRoute", "listKind": "HTTPRouteList"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": ANYTHING}}],
    },
}

# What the configuration asks for.
SUSPEND = ("spec", "suspend")
REPLICAS = ("spec", "replicas")
REMEMBERED = ("metadata", "annotations", "dr-syncer.io/replicas")
REMEMBERED_SUSPEND = ("metadata", "annotations", "dr-syncer.io/suspend")

ACTIVE_DIFFERENCES: Differences = {
    # Customers who were charged must not be charged again.
    "shop/jobs.batch/charge-backlog": {SUSPEND: (False, True)},
    # Its label dr-syncer.io/scale-override says so.
    "shop/deployments.apps/maintenance-page": {REPLICAS: (2, 1)},
}
STANDBY_DIFFERENCES: Differences = {
    "shop/deployments.apps/web": {REPLICAS: (2, 0), REMEMBERED: (ABSENT, "2")},
    "shop/deployments.apps/cart": {REPLICAS: (3, 0), REMEMBERED: (ABSENT, "3")},
    "shop/deployments.apps/admission": {REPLICAS: (1, 0), REMEMBERED: (ABSENT, "1")},
    "shop/deployments.apps/maintenance-page": {REPLICAS: (2, 1)},
    "shop-data/statefulsets.apps/database": {REPLICAS: (2, 0), REMEMBERED: (ABSENT, "2")},
    "shop/searchclusters.shop.example.com/products": {REPLICAS: (3, 0), REMEMBERED: (ABSENT, "3")},
    "shop/cronjobs.batch/invoices": {SUSPEND: (False, True), REMEMBERED_SUSPEND: (ABSENT, "false")},
    "shop/cronjobs.batch/old-reports": {REMEMBERED_SUSPEND: (ABSENT, "true")},
    "shop/jobs.batch/charge-backlog": {SUSPEND: (False, True), REMEMBERED_SUSPEND: (ABSENT, "false")},
}
HELD = {
    "shop/pods/toolbox",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io/shop-sidecar",
    "validatingwebhookconfigurations.admissionregistration.k8s.io/shop-regions",
}
INFRASTRUCTURE = {
    "persistentvolumes/shop-media",
    "storageclasses.storage.k8s.io/shop-fast",
    "storageclasses.storage.k8s.io/shop-shared",
    "ingressclasses.networking.k8s.io/shop-public",
}
# References to a namespace that move with it.
MOVED: Differences = {
    "shop-dr/rolebindings.rbac.authorization.k8s.io/config-reader": {
        ("subjects", 0, "namespace"): ("shop", "shop-dr"),
        ("subjects", 1, "namespace"): ("shop-data", "dr-data"),
        ("subjects", 2, "name"): ("system:serviceaccounts:shop", "system:serviceaccounts:shop-dr"),
    },
    "clusterrolebindings.rbac.authorization.k8s.io/shop-support": {
        ("subjects", 0, "namespace"): ("shop", "shop-dr"),
        ("subjects", 1, "name"): ("system:serviceaccount:shop-data:database", "system:serviceaccount:dr-data:database"),
    },
    "validatingwebhookconfigurations.admissionregistration.k8s.io/shop-regions": {
        ("webhooks", 0, "clientConfig", "service", "namespace"): ("shop", "shop-dr"),
    },
    "mutatingwebhookconfigurations.admissionregistration.k8s.io/shop-sidecar": {
        ("webhooks", 0, "clientConfig", "service", "namespace"): ("shop", "shop-dr"),
        ("webhooks", 0, "namespaceSelector", "matchLabels", "kubernetes.io/metadata.name"): ("shop", "shop-dr"),
    },
    "validatingadmissionpolicies.admissionregistration.k8s.io/shop-labels": {
        ("spec", "matchConstraints", "namespaceSelector", "matchExpressions", 0, "values", 0): ("shop", "shop-dr"),
        ("spec", "matchConstraints", "namespaceSelector", "matchExpressions", 0, "values", 1): ("shop-data", "dr-data"),
    },
    "validatingadmissionpolicybindings.admissionregistration.k8s.io/shop-labels": {
        ("spec", "paramRef", "namespace"): ("shop", "shop-dr"),
    },
    "dr-data/networkpolicies.networking.k8s.io/database": {
        ("spec", "ingress", 0, "from", 0, "namespaceSelector", "matchLabels", "kubernetes.io/metadata.name"): (
            "shop",
            "shop-dr",
        ),
    },
    "persistentvolumes/shop-media": {("spec", "claimRef", "namespace"): ("shop", "shop-dr")},
    "shop-dr/httproutes.gateway.networking.k8s.io/web": {
        ("spec", "parentRefs", 0, "namespace"): ("shop-data", "dr-data"),
        ("spec", "rules", 0, "backendRefs", 0, "namespace"): ("shop", "shop-dr"),
    },
    **{
        f"namespaces/{new}": {
            ("metadata", "name"): (old, new),
            ("metadata", "labels", "kubernetes.io/metadata.name"): (old, new),
        }
        for old, new in (("shop", "shop-dr"), ("shop-data", "dr-data"))
    },
}


@dataclass(frozen=True, slots=True)
class Shop:
    """The shop in the source cluster, exported once, Secrets encrypted. Tests change it in DR only."""

    source: ControlPlane
    remote: Path
    objects: dict[str, Object]
    exporter: dict[str, Any]
    importer: dict[str, Any]


@pytest.fixture(scope="module")
def shop(_pair: tuple[ControlPlane, ControlPlane], tmp_path_factory: pytest.TempPathFactory) -> Shop:
    source, folder = _pair[0], tmp_path_factory.mktemp("shop")
    source.reset()
    definitions = [f"--filename={SHOP / name}" for name in ("00-namespaces.yaml", "10-definitions.yaml")]
    source.kubectl("apply", "--server-side", *definitions)
    source.kubectl("wait", "--for=condition=Established", "crd", "--all")
    source.kubectl("apply", "--server-side", f"--filename={SHOP}")
    source.apply([ROUTES, ROUTE])
    source.settle()
    key, recipient = key_file(folder / "age.key")
    (folder / "digest.key").write_bytes(b"k" * 32)
    exporter = {"secrets": {"recipients": [recipient], "digestKeyFile": str(folder / "digest.key")}}
    importer = {"secrets": {"ageKeyFile": str(key)}}
    recovery = Recovery(bare_repository(folder / "recovery.git"), folder, exporter=exporter, importer=importer)
    exported = recovery.export(source)
    assert exported.incomplete == {}
    return Shop(source, recovery.remote, travelling(source), exporter, importer)


@pytest.fixture
def shop_recovery(shop: Shop, tmp_path: Path) -> Recovery:
    return Recovery(shop.remote, tmp_path, exporter=shop.exporter, importer=shop.importer)


def without_the_autoscalers_part(found: Differences, namespace: str = "shop") -> Differences:
    """An awake workload comes without replicas when an autoscaler decides them, so the count is whatever it says."""
    web = found.get(f"{namespace}/deployments.apps/web", {})
    web.pop(REPLICAS, None)
    return {key: paths for key, paths in found.items() if paths}


def test_in_an_active_dr_cluster_every_object_equals_the_sources(
    shop: Shop, clean_dr: ControlPlane, shop_recovery: Recovery
) -> None:
    imported = shop_recovery.import_into(clean_dr, config=AS_IT_IS)
    clean_dr.settle()

    assert problems(imported) == {}
    assert set(actions(imported).values()) == {Action.CREATE, Action.UPDATE}
    # The account `default` is there before we come: the controllers of DR make it with the namespace.
    assert [key for key, action in actions(imported).items() if action is Action.UPDATE] in (
        ["shop/serviceaccounts/default"],
        [],
    )
    found = compared(shop.objects, travelling(clean_dr))
    assert without_the_autoscalers_part(found) == ACTIVE_DIFFERENCES

    clean_dr.audit.mark()
    again = shop_recovery.import_into(clean_dr, config=AS_IT_IS)
    assert actions(again) == {}
    assert clean_dr.audit.writes() == []


BOUND_IN_THE_SOURCE: Paths = {
    ("spec", "volumeName"): ("shop-media", ABSENT),
    ("metadata", "annotations", "pv.kubernetes.io/bind-completed"): ("yes", ABSENT),
    ("metadata", "annotations", "pv.kubernetes.io/bound-by-controller"): ("yes", ABSENT),
}


def test_in_standby_only_what_would_run_differs(shop: Shop, clean_dr: ControlPlane, shop_recovery: Recovery) -> None:
    imported = shop_recovery.import_into(clean_dr)
    clean_dr.settle()

    assert problems(imported) == {}
    assert {key for key, action in actions(imported).items() if action is Action.HELD} == HELD
    missing: Differences = {key: {(): ("there", "missing")} for key in HELD | INFRASTRUCTURE}
    # Nothing in DR claims what only the source's volume could give.
    media: Differences = {"shop/persistentvolumeclaims/media": BOUND_IN_THE_SOURCE}
    assert compared(shop.objects, travelling(clean_dr)) == merged(STANDBY_DIFFERENCES, missing, media)
    assert not [key for key in clean_dr.objects() if "/pods/" in key and "maintenance-page" not in key]


def test_the_second_export_makes_no_commit(shop: Shop, shop_recovery: Recovery) -> None:
    head = shop_recovery.head()

    exported = shop_recovery.export(shop.source)

    assert (exported.commit, list(exported.changes), exported.incomplete) == ("", [], {})
    assert shop_recovery.head() == head


def test_the_second_import_writes_nothing_and_costs_one_list_per_type(
    shop: Shop, clean_dr: ControlPlane, shop_recovery: Recovery
) -> None:
    shop_recovery.import_into(clean_dr)
    clean_dr.settle()
    before, ours = clean_dr.resource_versions(), _our_entries(clean_dr)
    clean_dr.audit.mark()

    imported = shop_recovery.import_into(clean_dr)

    assert set(actions(imported).values()) == {Action.HELD}
    assert clean_dr.audit.writes() == []
    moved = {key for key, _ in set(before.items()) ^ set(clean_dr.resource_versions().items())}
    # The autoscaler's own controller looks every 15 s and notes what it sees in the status.
    assert moved <= {"shop/horizontalpodautoscalers.autoscaling/web"}
    assert _our_entries(clean_dr) == ours

    requests = clean_dr.audit.requests(user="admin")
    lists = Counter((event.type, event.namespace) for event in requests if event.verb == "list")
    assert max(lists.values()) == 1
    whole = [type_ for type_, namespace in lists if not namespace]
    assert len(whole) == len(set(whole)) <= len({key.split("/")[-2] for key in travelling(clean_dr)}) + 8
    # Beside them: the records, what backs the held webhooks, the classes that claims name.
    assert len(requests) - len(whole) <= 12


def _our_entries(cluster: ControlPlane) -> dict[str, list[Object]]:
    """Object → what its managedFields say of us, times included: an apply that changed something would show."""
    return {
        key: [entry for entry in found["metadata"].get("managedFields", []) if entry["manager"] == "dr-syncer"]
        for key, found in cluster.objects().items()
    }


def test_what_another_hand_changed_in_dr_is_put_back_and_nothing_else(
    shop: Shop, clean_dr: ControlPlane, shop_recovery: Recovery
) -> None:
    shop_recovery.import_into(clean_dr)
    before = travelling(clean_dr)
    in_shop = ("--namespace", "shop")
    clean_dr.kubectl("scale", "deployment/cart", "--replicas=5", *in_shop)
    clean_dr.kubectl("label", "service/web", "checked=yes", *in_shop)  # nobody asked for this label: not ours
    clean_dr.kubectl("label", "statefulset/database", "app.kubernetes.io/name=db", "--overwrite", "-n", "shop-data")
    clean_dr.kubectl("set", "env", "deployment/web", "-c=web", "DATABASE=elsewhere", "EXTRA=1", *in_shop)
    clean_dr.kubectl("annotate", "ingress/web", "example.com/rate-limit-", *in_shop)
    clean_dr.kubectl("delete", "configmap/banner", *in_shop)
    clean_dr.audit.mark()

    imported = shop_recovery.import_into(clean_dr)

    reasons = {str(result.step.ref): result.reason for result in imported.results}
    done = {key: action for key, action in actions(imported).items() if action is not Action.HELD}
    assert {key: (action, reasons[key]) for key, action in done.items()} == {
        "shop/deployments.apps/cart": (Action.UPDATE, "spec.replicas was changed by kubectl"),
        "shop-data/statefulsets.apps/database": (
            Action.UPDATE,
            "metadata.labels.app.kubernetes.io/name was changed by kubectl-label",
        ),
        "shop/deployments.apps/web": (
            Action.UPDATE,
            "spec.template.spec.containers[name=web].env[name=DATABASE].value was changed by kubectl-set",
        ),
        "shop/ingresses.networking.k8s.io/web": (
            Action.UPDATE,
            "metadata.annotations.example.com/rate-limit was removed",
        ),
        "shop/configmaps/banner": (Action.CREATE, "not in DR yet"),
    }
    written = {f"{event.namespace}/{event.type}/{event.name}" for event in clean_dr.audit.writes(user="admin")}
    assert {key for key in written if not key.startswith("dr-syncer/")} == set(done)
    clean_dr.settle()
    left = compared(before, travelling(clean_dr))
    # What we never wrote stays theirs: a label, an environment variable. The Deployment was rolled out anew.
    assert {key: [path[-1] for path in paths] for key, paths in left.items()} == {
        "shop/services/web": ["checked"],
        "shop/deployments.apps/web": ["deployment.kubernetes.io/revision", "env"],
    }
    env = {entry["name"]: entry.get("value") for entry in _container(clean_dr, "web")["env"]}
    assert env == {**env, "EXTRA": "1", "DATABASE": "postgres://database.shop-data.svc.cluster.local:5432/shop"}


def _container(cluster: ControlPlane, deployment: str) -> Object:
    found = cluster.get(f"/apis/apps/v1/namespaces/shop/deployments/{deployment}")
    return found["spec"]["template"]["spec"]["containers"][0]  # type: ignore[no-any-return]


def test_mapped_namespaces_take_every_reference_along(
    shop: Shop, clean_dr: ControlPlane, shop_recovery: Recovery
) -> None:
    imported = shop_recovery.import_into(clean_dr, config={**AS_IT_IS, "transforms": {"namespaces": MAP}})
    clean_dr.settle()

    assert problems(imported) == {}
    there = {"shop": "shop-dr", "shop-data": "dr-data"}
    renamed = {_renamed(key, there): manifest for key, manifest in shop.objects.items()}
    moved: Differences = {
        key: {("metadata", "namespace"): (manifest["metadata"]["namespace"], key.split("/")[0])}
        for key, manifest in renamed.items()
        if manifest["metadata"].get("namespace") in there
    }
    active = {_renamed(key, there): paths for key, paths in ACTIVE_DIFFERENCES.items()}
    found = without_the_autoscalers_part(compared(renamed, travelling(clean_dr)), namespace="shop-dr")
    assert found == merged(moved, MOVED, active)
    assert not [key for key in clean_dr.objects() if key.startswith(("shop/", "shop-data/"))]
    # What only may be a reference is reported and never touched.
    notes = {str(result.step.ref): result.notes for result in imported.results if result.notes}
    assert any("cart.shop.svc" in note for note in notes["shop-dr/configmaps/web"])
    assert any("database.shop-data.svc" in note for note in notes["shop-dr/deployments.apps/web"])


def _renamed(key: str, names: Mapping[str, str]) -> str:
    namespace, slash, rest = key.partition("/")
    if namespace == "namespaces":
        return f"namespaces/{names.get(rest, rest)}"
    return f"{names.get(namespace, namespace)}{slash}{rest}"
