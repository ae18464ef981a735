"""One namespace full of what people make, on a real cluster, and its controllers at work on it."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.capture import manifests
from tests.capture.manifests import SHOP
from tests.cluster.api import Object
from tests.cluster.control_plane import ControlPlane

CORE = f"/api/v1/namespaces/{SHOP}"
APPS = f"/apis/apps/v1/namespaces/{SHOP}"
BATCH = f"/apis/batch/v1/namespaces/{SHOP}"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
EXTENSIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

# Case → where the object is read, once everything has come to rest.
PLACES = {
    "namespace": f"/api/v1/namespaces/{SHOP}",
    "deployment": f"{APPS}/deployments/web",
    "daemon-set": f"{APPS}/daemonsets/agent",
    "stateful-set": f"{APPS}/statefulsets/db",
    "service-cluster-ip": f"{CORE}/services/web",
    "service-node-port-drawn": f"{CORE}/services/drawn",
    "service-node-port-applied": f"{CORE}/services/applied",
    "service-node-port-created": f"{CORE}/services/created",
    "service-load-balancer": f"{CORE}/services/public",
    "service-headless": f"{CORE}/services/headless",
    "service-external-name": f"{CORE}/services/elsewhere",
    "claim-bound": f"{CORE}/persistentvolumeclaims/media",
    "claim-named-volume": f"{CORE}/persistentvolumeclaims/archive",
    "claim-provisioned": f"{CORE}/persistentvolumeclaims/disk",
    "volume-bound": "/api/v1/persistentvolumes/media",
    "volume-provisioned": "/api/v1/persistentvolumes/disk",
    "job": f"{BATCH}/jobs/migrate",
    "job-manual-selector": f"{BATCH}/jobs/manual",
    "cron-job": f"{BATCH}/cronjobs/nightly",
    "pod": f"{CORE}/pods/toolbox",
    "service-account": f"{CORE}/serviceaccounts/app",
    "token-secret": f"{CORE}/secrets/app-token",
    "autoscaler-v1": f"/apis/autoscaling/v1/namespaces/{SHOP}/horizontalpodautoscalers/web",
    "autoscaler-v2": f"/apis/autoscaling/v2/namespaces/{SHOP}/horizontalpodautoscalers/web",
    "validating-webhook": f"{ADMISSION}/validatingwebhookconfigurations/shop",
    "mutating-webhook": f"{ADMISSION}/mutatingwebhookconfigurations/shop",
    "webhook-own-ca": f"{ADMISSION}/validatingwebhookconfigurations/own",
    "definition": f"{EXTENSIONS}/widgets.example.com",
    "api-service": "/apis/apiregistration.k8s.io/v1/apiservices/v1.metrics.example.com",
    "cluster-role-aggregated": f"{RBAC}/clusterroles/monitoring",
    "marked": f"{CORE}/configmaps/marked",
    "owned-by-nobody": f"{CORE}/configmaps/owned",
    "custom": f"/apis/example.com/v1/namespaces/{SHOP}/widgets/one",
}


def play(cluster: ControlPlane) -> dict[str, Object]:
    """Make everything, wait for the controllers, and return the raw objects by case."""
    authority = certificate(cluster)
    cluster.apply(manifests.foundations())
    # What a client sends decides what managedFields say, so each is made in the way that its case is about.
    cluster.kubectl("apply", "-f", "-", input=json.dumps(manifests.deployment()))
    cluster.kubectl("rollout", "restart", "deployment/web", "-n", SHOP)
    cluster.kubectl("create", "-f", "-", input=json.dumps(manifests.service_with_port("created", 30081)))
    cluster.apply([manifests.service_with_port("applied", 30080)])
    for manifest in manifests.posted(authority):
        _post(cluster, manifest)
    made = cluster.post(f"{CORE}/configmaps", manifests.generated_name())["metadata"]["name"]
    owner = cluster.get(PLACES["deployment"])
    _post(cluster, manifests.owned_by(owner))
    _provision(cluster)
    _debug(cluster)
    _wait(cluster)
    found = {case: cluster.get(path) for case, path in PLACES.items()}
    return found | {"generated-name": cluster.get(f"{CORE}/configmaps/{made}")}


def certificate(cluster: ControlPlane) -> str:
    """Return the certificate of the cluster's authority as a caBundle."""
    return base64.b64encode(cluster.authority.file.read_bytes()).decode()


def _post(cluster: ControlPlane, manifest: Object) -> None:
    """Create an object as a client would that knows no apply."""
    path, _, _ = cluster.api.path_of(manifest).rpartition("/")
    cluster.post(f"{path}?fieldManager=client", manifest)


def _provision(cluster: ControlPlane) -> None:
    """Do what an external provisioner does: make the volume for the claim that asks for it."""
    claim = f"{CORE}/persistentvolumeclaims/disk"
    provisioner = "volume.kubernetes.io/storage-provisioner"
    cluster.wait_for(
        lambda: provisioner in cluster.get(claim)["metadata"].get("annotations", {}), what="a provisioner to be asked"
    )
    # The scheduler's note, for classes that wait for the first consumer: there is no scheduler here.
    cluster.patch(claim, {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "node-1"}}})
    _post(cluster, manifests.provisioned_volume(cluster.get(claim)))


def _debug(cluster: ControlPlane) -> None:
    """Start a debugging session in the Pod, as `kubectl debug` does."""
    container = {"name": "debugger", "image": "busybox:1", "stdin": True, "targetContainerName": "main"}
    cluster.patch(
        f"{CORE}/pods/toolbox/ephemeralcontainers",
        {"spec": {"ephemeralContainers": [container]}},
        content_type="application/strategic-merge-patch+json",
    )


def _wait(cluster: ControlPlane) -> None:
    def annotated(case: str, name: str, value: str = "") -> bool:
        found: Any = cluster.get(PLACES[case])["metadata"].get("annotations", {}).get(name, "")
        return found == value if value else bool(found)

    def bound(case: str) -> bool:
        return bool(cluster.get(PLACES[case]).get("status", {}).get("phase") == "Bound")

    conditions = "autoscaling.alpha.kubernetes.io/conditions"
    cluster.wait_for(lambda: annotated("deployment", "deployment.kubernetes.io/revision", "2"), what="the roll-out")
    for case in ("claim-bound", "claim-named-volume", "claim-provisioned", "volume-bound", "volume-provisioned"):
        cluster.wait_for(lambda case=case: bound(case), what=f"{case} to be bound", timeout=40.0)  # type: ignore[misc]
    cluster.wait_for(lambda: annotated("autoscaler-v1", conditions), what="the autoscaler", timeout=60.0)
    cluster.wait_for(lambda: "data" in cluster.get(PLACES["token-secret"]), what="the token")
    cluster.wait_for(lambda: cluster.get(PLACES["cluster-role-aggregated"]).get("rules"), what="the aggregation")
    cluster.wait_for(lambda: cluster.get(PLACES["daemon-set"])["status"].get("observedGeneration"), what="the agent")
    cluster.wait_for(lambda: cluster.get(PLACES["job"])["status"].get("active"), what="the Job to start")
