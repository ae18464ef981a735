"""The users of a test cluster, and the files and flags that its programs are started with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.audit import HARNESS_USER, POLICY
from tests.cluster.certificates import Authority, write_signing_key

HOST = "127.0.0.1"
CONTROLLER_MANAGER = "system:kube-controller-manager"
USERS = {  # user → groups
    HARNESS_USER: ("system:masters",),
    "admin": ("system:masters",),
    # As admin, for what must be told apart in the audit log.
    **{f"replica-{number}": ("system:masters",) for number in range(48)},
    "viewer": (),  # may read everything, Secrets too, and write nothing
    "limited": (),  # may do nothing but discovery, until `ControlPlane.grant` says more
    CONTROLLER_MANAGER: (),
}
ABAC = {"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy"}
# Not RBAC objects: an export takes in a whole cluster, and these would be in it.
VIEWER_MAY = (
    {"user": "viewer", "readonly": True, "namespace": "*", "apiGroup": "*", "resource": "*"},
    {"user": "viewer", "readonly": True, "nonResourcePath": "*"},
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where one cluster lives: its folder, its loopback ports, and the n of its Service range 127.n.0.0/16.

    The Service range lies on loopback on purpose: the API server calls webhooks and aggregated APIs at their Service's
    address. There a dead one refuses at once, and a test can listen on that very address.
    """

    folder: Path
    port: int
    etcd_port: int
    etcd_peer_port: int
    network: int

    @property
    def pki(self) -> Path:
        """The folder of keys and certificates."""
        return self.folder / "pki"


def token_of(user: str) -> str:
    """The bearer token of one of `USERS`. Raises `KeyError` for others."""
    if user not in USERS:
        raise KeyError(f"no user {user}; there are {', '.join(USERS)}")
    return f"token-{user}"


def write_files(layout: Layout, authority: Authority) -> None:
    """Write certificates, signing keys, tokens and policies."""
    authority.issue("apiserver")
    write_signing_key(layout.pki / "service-account.key", layout.pki / "service-account.pub")
    rows = [f'{token_of(user)},{user},{user},"{",".join(groups)}"' for user, groups in USERS.items()]
    (layout.folder / "tokens.csv").write_text("\n".join(rows) + "\n")
    policies = [json.dumps({**ABAC, "spec": spec}) for spec in VIEWER_MAY]
    (layout.folder / "abac.jsonl").write_text("\n".join(policies) + "\n")
    (layout.folder / "audit-policy.yaml").write_text(POLICY)


def etcd_arguments(layout: Layout) -> list[str]:
    """Flags of etcd: one member that never waits for the disk."""
    client, peer = f"http://{HOST}:{layout.etcd_port}", f"http://{HOST}:{layout.etcd_peer_port}"
    return [
        "--unsafe-no-fsync",
        f"--data-dir={layout.folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--log-level=warn",
    ]


def api_server_arguments(layout: Layout, authority: Authority, *, extra: Sequence[str]) -> list[str]:
    """Flags of kube-apiserver."""
    folder, pki = layout.folder, layout.pki
    return [
        f"--bind-address={HOST}",
        f"--advertise-address={HOST}",
        f"--secure-port={layout.port}",
        f"--etcd-servers=http://{HOST}:{layout.etcd_port}",
        f"--cert-dir={pki}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        "--authorization-mode=RBAC,ABAC",
        f"--authorization-policy-file={folder / 'abac.jsonl'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        f"--client-ca-file={authority.file}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki / 'service-account.pub'}",
        f"--service-account-signing-key-file={pki / 'service-account.key'}",
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
        f"--service-cluster-ip-range=127.{layout.network}.0.0/16",
        f"--audit-policy-file={folder / 'audit-policy.yaml'}",
        f"--audit-log-path={folder / 'audit.log'}",
        "--audit-log-format=json",
        "--audit-log-mode=blocking",
        *extra,
    ]


def controller_manager_arguments(layout: Layout, authority: Authority, *, kubeconfig: Path) -> list[str]:
    """Flags of kube-controller-manager: all controllers, not slowed down, no port of its own."""
    return [
        f"--kubeconfig={kubeconfig}",
        "--secure-port=0",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={layout.pki / 'service-account.key'}",
        f"--root-ca-file={authority.file}",
        "--concurrent-namespace-syncs=20",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
    ]
