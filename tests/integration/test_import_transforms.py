"""The built-in transforms between two real API servers: what DR has, field by field, and that it stays so."""

from __future__ import annotations

import base64
import copy
from typing import Any

from drsyncer.manifest import Manifest
from tests.cluster.control_plane import ControlPlane
from tests.integration.comparison import ABSENT, Differences, compared, travelling
from tests.integration.recovery import Recovery, actions, configmap, deployment, namespace, problems
from tests.integration.written import cron_job, result_of, service, with_annotations, with_labels, write

ZONE = "topology.kubernetes.io/zone"
RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
AWAKE: dict[str, Any] = {"standby": {"enabled": False}}
POD = ("spec", "template", "spec")
JOB_POD = ("spec", "jobTemplate", *POD)
DEDICATED = {"key": "dedicated", "operator": "Equal", "value": "dr", "effect": "NoSchedule"}
DSN = "postgres://u:canary@db.shop.svc:5432/x"

TRANSFORMS: dict[str, Any] = {
    "namespaces": {"shop": "shop-dr"},
    "replicas": [{"match": {"names": ["web", "jobs"]}, "scale": 0.5}, {"match": {"types": ["sts"]}, "replicas": 2}],
    "scheduling": [
        {
            "nodeLabels": {f"{ZONE}=eu-1a": f"{ZONE}=us-1b", "old.example.com/pool": "new.example.com/pool"},
            "dropNodeSelector": ["disk"],
            "tolerations": {
                "drop": ["dedicated"],
                "add": [DEDICATED],
            },
            "podAffinity": "drop",
            "topologySpread": "soften",
            "priorityClasses": {"gold": "silver"},
            "runtimeClasses": {"gvisor": ""},
        }
    ],
    "resources": [
        {"containers": ["side*"], "dropLimits": ["*"]},
        {"scale": {"cpu": 0.5, "memory": 0.25, "example.com/gpu": 0.5}},
    ],
    "env": [
        {"set": {"SITE": "dr", "TOKEN": "none"}},
        {"match": {"types": ["deployments.apps"]}, "containers": ["main"], "set": {"ADDED": "1"}, "add": True},
    ],
    "loadBalancers": [
        {"match": {"names": ["inner"]}, "type": "ClusterIP"},
        {"match": {"names": ["ports"]}, "type": "NodePort"},
        {
            "classes": {"example.com/prod": "example.com/dr"},
            "dropAnnotations": ["cloud.example.com/*"],
            "sourceRanges": ["198.51.100.0/24"],
            "externalIPs": "drop",
        },
    ],
    "literals": {
        "mode": "rewrite",
        "entries": [{"match": {"types": ["secrets"], "names": ["dsn"]}, "mode": "rewrite"}],
    },
}


def rich_pod() -> dict[str, Any]:
    amounts = {"cpu": "1", "memory": "1Gi", "example.com/gpu": "2"}
    main = {
        "name": "main",
        "image": "nginx:1",
        "args": ["--db", "http://db.shop.svc:80"],
        "env": [
            {"name": "SITE", "value": "prod"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "dsn", "key": "dsn"}}},
            {"name": "CACHE", "value": "db.shop.svc.cluster.local"},
        ],
        "resources": {"requests": amounts, "limits": {**amounts, "cpu": "3"}},
    }
    side = {"name": "sidecar", "image": "busybox:1", "resources": {"requests": {"cpu": "9m"}, "limits": {"cpu": "1"}}}
    expressions = [{"key": ZONE, "operator": "In", "values": ["eu-1a", "eu-1c"]}]
    labels = {"matchLabels": {"app": "web"}}
    required, preferred = (f"{word}DuringSchedulingIgnoredDuringExecution" for word in ("required", "preferred"))
    return {
        "containers": [main, side],
        "nodeSelector": {"disk": "ssd", "old.example.com/pool": "a"},
        "affinity": {
            "nodeAffinity": {required: {"nodeSelectorTerms": [{"matchExpressions": expressions}]}},
            "podAntiAffinity": {required: [{"topologyKey": ZONE, "labelSelector": labels}]},
            "podAffinity": {
                preferred: [{"weight": 1, "podAffinityTerm": {"topologyKey": ZONE, "labelSelector": labels}}]
            },
        },
        "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "prod"}, {"operator": "Exists"}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "minDomains": 2,
                "topologyKey": "old.example.com/pool",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": labels,
            }
        ],
        "priorityClassName": "gold",
        "runtimeClassName": "gvisor",
        "dnsConfig": {"searches": ["shop.svc.cluster.local"]},
    }


def rich_deployment() -> Manifest:
    made = deployment("shop", "web", replicas=5)
    made["spec"]["template"]["spec"] = rich_pod()
    return made


def balancer(name: str, **spec: Any) -> Manifest:
    """A load balancer with everything that belongs to one site."""
    made = service(
        "shop",
        name,
        type="LoadBalancer",
        loadBalancerIP="192.0.2.7",
        loadBalancerClass="example.com/prod",
        loadBalancerSourceRanges=["192.0.2.0/24"],
        externalTrafficPolicy="Local",
        allocateLoadBalancerNodePorts=True,
        **spec,
    )
    return with_annotations(made, {"cloud.example.com/size": "xl", RANGES: "192.0.2.0/24"})


def autoscaler() -> Manifest:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"minReplicas": 4, "maxReplicas": 9, "scaleTargetRef": {**target, "name": "nobody"}},
    }


def secret() -> Manifest:
    data = {"dsn": base64.b64encode(DSN.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "dsn", "namespace": "shop"}, "data": data}


def shop() -> list[Manifest]:
    stateful = deployment("shop", "db", replicas=3)
    night = cron_job("shop", "jobs")
    night["spec"]["jobTemplate"]["spec"]["template"]["spec"]["nodeSelector"] = {ZONE: "eu-1a", "disk": "ssd"}
    return [
        namespace("shop"),
        rich_deployment(),
        with_labels(deployment("shop", "kept", replicas=7), {"dr-syncer.io/scale-override": "true"}),
        {**stateful, "kind": "StatefulSet", "spec": {**stateful["spec"], "serviceName": "db"}},
        night,
        autoscaler(),
        balancer("outer", externalIPs=["192.0.2.9"]),
        balancer("inner"),
        balancer("ports"),
        service("shop", "db"),
        service("shop", "alias", type="ExternalName", externalName="db.shop.svc.cluster.local"),
        configmap("shop", "app", url="http://db.shop:80 and db.shop.svc", world="myshop.svc, cart.shop"),
        secret(),
    ]


EXPECTED: Differences = {
    "shop-dr/deployments.apps/web": {("spec", "replicas"): (5, 3)},
    "shop-dr/deployments.apps/kept": {
        (*POD, "tolerations"): (ABSENT, [DEDICATED]),
        (*POD, "containers", 0, "env"): (ABSENT, [{"name": "ADDED", "value": "1"}]),
    },
    "shop-dr/statefulsets.apps/db": {
        ("spec", "replicas"): (3, 2),
        (*POD, "tolerations"): (ABSENT, [DEDICATED]),
    },
    "shop-dr/cronjobs.batch/jobs": {
        (*JOB_POD, "nodeSelector", ZONE): ("eu-1a", "us-1b"),
        (*JOB_POD, "nodeSelector", "disk"): ("ssd", ABSENT),
        (*JOB_POD, "tolerations"): (ABSENT, [DEDICATED]),
    },
    "shop-dr/horizontalpodautoscalers.autoscaling/web": {
        ("spec", "minReplicas"): (4, 2),
        ("spec", "maxReplicas"): (9, 5),
    },
    "shop-dr/services/outer": {
        ("metadata", "annotations", "cloud.example.com/size"): ("xl", ABSENT),
        ("metadata", "annotations", RANGES): ("192.0.2.0/24", "198.51.100.0/24"),
        ("spec", "externalIPs"): (["192.0.2.9"], ABSENT),
        ("spec", "loadBalancerIP"): ("192.0.2.7", ABSENT),
        ("spec", "loadBalancerClass"): ("example.com/prod", "example.com/dr"),
        ("spec", "loadBalancerSourceRanges", 0): ("192.0.2.0/24", "198.51.100.0/24"),
    },
    "shop-dr/services/inner": {
        ("metadata", "annotations", RANGES): ("192.0.2.0/24", ABSENT),
        ("spec", "type"): ("LoadBalancer", "ClusterIP"),
        ("spec", "loadBalancerIP"): ("192.0.2.7", ABSENT),
        ("spec", "loadBalancerClass"): ("example.com/prod", ABSENT),
        ("spec", "loadBalancerSourceRanges"): (["192.0.2.0/24"], ABSENT),
        ("spec", "externalTrafficPolicy"): ("Local", ABSENT),
        ("spec", "allocateLoadBalancerNodePorts"): (True, ABSENT),
    },
    "shop-dr/services/ports": {
        ("metadata", "annotations", RANGES): ("192.0.2.0/24", ABSENT),
        ("spec", "type"): ("LoadBalancer", "NodePort"),
        ("spec", "loadBalancerIP"): ("192.0.2.7", ABSENT),
        ("spec", "loadBalancerClass"): ("example.com/prod", ABSENT),
        ("spec", "loadBalancerSourceRanges"): (["192.0.2.0/24"], ABSENT),
        ("spec", "allocateLoadBalancerNodePorts"): (True, ABSENT),
    },
    "shop-dr/services/alias": {("spec", "externalName"): ("db.shop.svc.cluster.local", "db.shop-dr.svc.cluster.local")},
    "shop-dr/configmaps/app": {
        ("data", "url"): ("http://db.shop:80 and db.shop.svc", "http://db.shop-dr:80 and db.shop-dr.svc")
    },
}


def in_dr(pod: dict[str, Any]) -> dict[str, Any]:
    """Return what DR is to have of the rich pod."""
    pod = copy.deepcopy(pod)
    main, side = pod["containers"]
    main["args"][1] = "http://db.shop-dr.svc:80"
    main["env"] = [
        {"name": "SITE", "value": "dr"},
        {"name": "TOKEN", "value": "none"},
        {"name": "CACHE", "value": "db.shop-dr.svc.cluster.local"},
        {"name": "ADDED", "value": "1"},
    ]
    main["resources"] = {
        "requests": {"cpu": "500m", "memory": "256Mi", "example.com/gpu": "1"},
        "limits": {"cpu": "1500m", "memory": "256Mi", "example.com/gpu": "1"},
    }
    side["resources"] = {"requests": {"cpu": "9m"}}
    pod["nodeSelector"] = {"new.example.com/pool": "a"}
    pod["affinity"].pop("podAffinity")
    pod["affinity"].pop("podAntiAffinity")
    (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    term["matchExpressions"][0]["values"] = ["us-1b", "eu-1c"]
    pod["tolerations"] = [{"operator": "Exists"}, DEDICATED]
    (spread,) = pod["topologySpreadConstraints"]
    spread |= {"topologyKey": "new.example.com/pool", "whenUnsatisfiable": "ScheduleAnyway"}
    del spread["minDomains"], pod["runtimeClassName"]
    pod["priorityClassName"] = "silver"
    pod["dnsConfig"]["searches"] = ["shop-dr.svc.cluster.local"]
    return pod


def moved(objects: dict[str, Any]) -> dict[str, Any]:
    """Return the source's objects as if the namespace had been called `shop-dr` there."""
    found = {}
    for key, manifest in objects.items():
        meta = dict(manifest["metadata"])
        if meta.get("namespace") == "shop":
            meta["namespace"] = "shop-dr"
        found[key.replace("shop/", "shop-dr/", 1) if key.startswith("shop/") else key] = {**manifest, "metadata": meta}
    return found


def test_dr_has_what_the_settings_say_and_nothing_else_differs(
    clean_source: ControlPlane, clean_dr: ControlPlane, recovery: Recovery
) -> None:
    clean_source.apply(shop())
    clean_source.settle()
    recovery.export(clean_source)
    config = {**AWAKE, "transforms": TRANSFORMS}

    imported = recovery.import_into(clean_dr, config=config)

    clean_dr.settle()
    assert problems(imported) == {}
    assert [line for line in imported.warnings if "decided nothing" in line] == []
    source, dr = moved(travelling(clean_source)), travelling(clean_dr)
    web = "shop-dr/deployments.apps/web"
    pods = [side[web]["spec"]["template"].pop("spec") for side in (source, dr)]
    assert pods[1] == in_dr(pods[0])
    found = {key: paths for key, paths in compared(source, dr).items() if key.startswith("shop-dr/")}
    dsn = found.pop("shop-dr/secrets/dsn")
    assert base64.b64decode(dsn["data", "dsn"][1]).decode() == DSN.replace("db.shop", "db.shop-dr")
    assert found == EXPECTED
    assert "canary" not in repr(imported.results)

    clean_dr.audit.mark()
    again = recovery.import_into(clean_dr, config=config)

    assert actions(again) == {}
    assert clean_dr.audit.writes(user="admin") == []


def test_a_service_that_comes_or_goes_changes_what_texts_mean(clean_dr: ControlPlane, recovery: Recovery) -> None:
    config = {"transforms": {"namespaces": {"shop": "shop-dr"}, "literals": {"mode": "rewrite"}}}
    path = "/api/v1/namespaces/shop-dr/configmaps/app"
    texts = configmap("shop", "app", url="http://web.shop/")
    write(recovery, namespace("shop"), texts, service("shop", "db"))
    recovery.import_into(clean_dr, config=config)
    assert clean_dr.get(path)["data"] == {"url": "http://web.shop/"}

    write(recovery, service("shop", "web"))
    recovery.import_into(clean_dr, config=config)

    assert clean_dr.get(path)["data"] == {"url": "http://web.shop-dr/"}


def test_an_import_of_one_namespace_makes_the_same_objects(clean_dr: ControlPlane, recovery: Recovery) -> None:
    config = {"transforms": {"namespaces": {"*": "dr-*"}, "literals": {"mode": "rewrite"}}}
    texts = configmap("shop", "app", url="http://web.pay/ and dns.kube-system.svc")
    write(recovery, namespace("shop"), namespace("pay"), texts, service("pay", "web"))

    recovery.import_into(clean_dr, config=config, only=("shop",))

    data = clean_dr.get("/api/v1/namespaces/dr-shop/configmaps/app")["data"]
    assert data == {"url": "http://web.dr-pay/ and dns.kube-system.svc"}
    recovery.import_into(clean_dr, config=config)
    assert clean_dr.get("/api/v1/namespaces/dr-shop/configmaps/app")["data"] == data


def test_an_entry_that_had_no_say_is_a_warning(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, namespace("shop"), deployment("shop", "web", replicas=4))
    entries = [{"match": {"names": ["wbe"]}, "replicas": 1}, {"scale": 0.5}]

    imported = recovery.import_into(clean_dr, config={"transforms": {"replicas": entries}})

    said = [line for line in imported.warnings if "decided nothing" in line]
    assert said == ["importer.transforms.replicas[0] (names wbe) decided nothing"]
    found = clean_dr.get("/apis/apps/v1/namespaces/shop/deployments/web")
    assert found["metadata"]["annotations"]["dr-syncer.io/replicas"] == "2"


def test_an_object_whose_labels_cannot_be_mapped_is_blocked_with_the_place(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    both = deployment("shop", "both")
    both["spec"]["template"]["spec"]["nodeSelector"] = {"a": "1", "b": "2"}
    write(recovery, namespace("shop"), both, deployment("shop", "web"))

    imported = recovery.import_into(clean_dr, config={"transforms": {"scheduling": [{"nodeLabels": {"a": "b"}}]}})

    assert list(problems(imported)) == ["shop/deployments.apps/both"]
    assert "scheduling: /spec/template/spec/nodeSelector/" in problems(imported)["shop/deployments.apps/both"]
    assert result_of(imported, "shop/deployments.apps/web").error == ""


def test_a_class_that_dr_lacks_is_a_warning_long_before_a_pod_needs_it(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    web = deployment("shop", "web")
    pod = web["spec"]["template"]["spec"]
    pod |= {"priorityClassName": "gold", "runtimeClassName": "gvisor"}
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "fast",
    }
    pod["volumes"] = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": claim}}}]
    system = deployment("shop", "system")
    system["spec"]["template"]["spec"]["priorityClassName"] = "system-cluster-critical"
    write(recovery, namespace("shop"), web, system)

    imported = recovery.import_into(clean_dr)
    mapped = recovery.import_into(
        clean_dr,
        config={"transforms": {"scheduling": [{"priorityClasses": {"gold": ""}}], "storageClasses": {"a": "b"}}},
    )

    where = "does not exist in DR; named by shop/deployments.apps/web"
    missing = [f"PriorityClass gold {where}", f"RuntimeClass gvisor {where}", f"StorageClass fast {where}"]
    assert sorted(line for line in imported.warnings if "does not exist" in line) == missing
    assert sorted(line for line in mapped.warnings if "does not exist" in line) == missing[1:]
