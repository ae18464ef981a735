"""What people may write in the values of the two charts.

`config` is the service's own configuration, by the schema of `drsyncer.config`; all else is about the pod around it.
From here come each chart's values.yaml, values.schema.json and the table in its README.md: `make charts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, StrictInt, StrictStr

from charts.kinds import Object, Objects, TypeName, Words
from charts.volumes import Backup, Prune, ResticCredentials, Verify
from drsyncer.config.schema import Exporter, Importer, Repository, Server
from drsyncer.config.section import Section, written
from drsyncer.config.server import Port
from drsyncer.config.values import Flag, Namespace, Text
from drsyncer.config.volumes import Volumes


class ExporterConfig(Section):
    repository: Repository = Field(description="The recovery repository.")
    exporter: Exporter = Field(description="The source side.")
    volumes: Volumes | None = Field(default=None, description="The data of volumes.")
    server: Server = Field(default=written({}), description="What the service listens on.")


class ImporterConfig(Section):
    repository: Repository = Field(description="The recovery repository.")
    importer: Importer = Field(description="The DR side.")
    volumes: Volumes | None = Field(default=None, description="The data of volumes.")
    server: Server = Field(default=written({}), description="What the service listens on.")


class Image(Section):
    repository: Text = Field(default="dr-syncer", description="Where the image is, without its tag.")
    tag: Text = Field(default="", description="Left out: the chart's appVersion.")
    digest: Text = Field(default="", description="`sha256:…`; goes before the tag.")
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field(
        default="IfNotPresent", description="When a node pulls it."
    )


class GitKeys(Section):
    ssh_private_key: Text = Field(default="ssh-privatekey", description="ssh: the private key.")
    known_hosts: Text = Field(
        default="known_hosts", description="ssh: the host keys. Not looked for where `git.knownHosts` is given."
    )
    token: Text = Field(default="password", description="https: the token or password.")
    username: Text = Field(
        default="",
        description="https: the user name, such as `username`. Left out: none is needed, as with most tokens.",
    )
    ca: Text = Field(
        default="",
        description="https: the certificates of the server's authority, such as `ca.crt`. Left out: the system's.",
    )


class Git(Section):
    existing_secret: Text = Field(
        default="",
        description="Name of a Secret in the release's namespace with the credentials. Left out: the values below.",
    )
    keys: GitKeys = Field(default=written({}), description="Which keys of the existing Secret hold what.")
    ssh_private_key: Text = Field(default="", description="ssh: the private key itself, without a passphrase.")
    known_hosts: Text = Field(
        default="",
        description="ssh: the server's host keys, as `ssh-keyscan` prints them (compare the fingerprint). They are no "
        "secret and may stand here also beside an existing Secret.",
    )
    token: Text = Field(default="", description="https: the token or password itself.")
    username: Text = Field(
        default="", description="https: the user name. Left out: none is needed, as with most tokens."
    )
    ca: Text = Field(
        default="", description="https: the certificates (PEM) of the server's authority. Left out: the system's."
    )


class SigningKey(Section):
    existing_secret: Text = Field(
        default="",
        description="Name of a Secret with the SSH private key that signs the commits. Left out, and no "
        "`privateKey`: they are not signed.",
    )
    key: Text = Field(default="ssh-privatekey", description="The key of the existing Secret that holds it.")
    private_key: Text = Field(default="", description="The private key itself, without a passphrase.")


class Age(Section):
    existing_secret: Text = Field(
        default="",
        description="Name of a Secret with the private keys that decrypt. Left out, and no `identities`: "
        "encrypted objects are reported as blocked.",
    )
    key: Text = Field(default="age.key", description="The key of the existing Secret that holds them.")
    identities: Text = Field(default="", description="The age identities themselves, one a line.")


class WebhookSecret(Section):
    existing_secret: Text = Field(
        default="",
        description="Name of a Secret with what the Git server signs its calls with. Left out, and no "
        "`secret`: there is no webhook.",
    )
    key: Text = Field(default="secret", description="The key of the existing Secret that holds it.")
    secret: Text = Field(default="", description="The secret itself, at least 16 characters.")


class ServiceAccount(Section):
    create: Flag = Field(default=True, description="Make one.")
    name: Text = Field(default="", description="Left out: the release's name where one is made, else `default`.")
    annotations: Words = Field(default={}, description="Its annotations.")


class ExporterRbac(Section):
    create: Flag = Field(default=True, description="Make roles and bindings.")
    types: tuple[TypeName, ...] = Field(
        default=("*",),
        min_length=1,
        description="Types that it may list and watch: `configmaps`, `deployments.apps`, `*.cert-manager.io`, or `*`. "
        "Where `config.exporter.select.include` is left out, the export is limited to them, too.",
    )
    namespaces: tuple[Namespace, ...] = Field(
        default=(),
        description="Namespaces that it may look into; they must exist. Left out: all of them. Where "
        "`config.exporter.select.include` is left out, the export is limited to them, too.",
    )
    extra_rules: Objects = Field(default=(), description="Further rules of its ClusterRole.")


class ImporterRbac(Section):
    create: Flag = Field(default=True, description="Make roles and bindings.")
    types: tuple[TypeName, ...] = Field(
        default=("*",),
        min_length=1,
        description="Types that it may read, make, change and delete: `configmaps`, `deployments.apps`, "
        "`*.cert-manager.io`, or `*`. Where `config.importer.select.include` is left out, the import is limited to "
        "them, too.",
    )
    namespaces: tuple[Namespace, ...] = Field(
        default=(),
        description="Namespaces of DR that it may work in; they must exist. Left out: all of them, and it makes those "
        "that are missing. `config.importer.select.include` must then name the same ones as Git has them; left out, it "
        "is filled in where no namespace is mapped.",
    )
    restores: Flag = Field(
        default=False,
        description="It may restore volumes, also where `config.volumes.restore.follow` is not set: for people who run "
        "`dr-syncer volumes restore` in its pods.",
    )
    extra_rules: Objects = Field(default=(), description="Further rules of its ClusterRole.")


class Service(Section):
    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(default="ClusterIP", description="Its type.")
    port: Port = Field(default=8080, description="Port of metrics, health and webhook.")
    annotations: Words = Field(default={}, description="Its annotations.")


class Ports(Section):
    ports: tuple[Port, ...] = Field(default=(), description="Ports.")
    to: Objects = Field(default=(), description="Peers. Left out: any.")


class ApiServerPorts(Ports):
    ports: tuple[Port, ...] = Field(
        default=(443, 6443, 8443, 16443), description="Ports at which the API server answers."
    )


class GitPorts(Ports):
    ports: tuple[Port, ...] = Field(default=(), description="Left out: the one that the URL says.")


class ResticPorts(Ports):
    ports: tuple[Port, ...] = Field(
        default=(), description="Left out: the one that `config.volumes.restic.repository` says."
    )


class NetworkPolicy(Section):
    enabled: Flag = Field(default=True, description="Let nothing but what is needed in and out.")
    from_: Objects = Field(
        default=(),
        alias="from",
        description="Who may ask for metrics and call the webhook (peers). Left out: everybody.",
    )
    api_server: ApiServerPorts = Field(default=written({}), description="The way to the API server.")
    git: GitPorts = Field(default=written({}), description="The way to the recovery repository.")
    restic: ResticPorts = Field(
        default=written({}), description="The way to the restic repository, from the pods of ours in this namespace."
    )
    dns: Objects = Field(default=(), description="Who answers DNS (peers). Left out: anybody, at port 53.")
    extra_ingress: Objects = Field(default=(), description="Further rules for what comes in.")
    extra_egress: Objects = Field(default=(), description="Further rules for what goes out, such as to a proxy.")


class PodDisruptionBudget(Section):
    enabled: Flag = Field(default=True, description="With more than one replica: let a drain take one at a time.")
    max_unavailable: StrictInt = Field(default=1, ge=1, description="How many may be away at a time.")


class ServiceMonitor(Section):
    enabled: Flag = Field(default=False, description="Needs the CRDs of the Prometheus operator.")
    interval: Text = Field(default="30s", description="How often metrics are asked for.")
    scrape_timeout: Text = Field(default="10s", description="How long that may take.")
    labels: Words = Field(default={}, description="Labels by which a Prometheus selects it.")


class PrometheusRule(Section):
    enabled: Flag = Field(default=False, description="Alerts. Needs the CRDs of the Prometheus operator.")
    labels: Words = Field(default={}, description="Labels by which a Prometheus selects it.")


class Dashboard(Section):
    enabled: Flag = Field(default=False, description="A ConfigMap with the Grafana dashboard.")
    labels: Words = Field(default={"grafana_dashboard": "1"}, description="Labels by which Grafana's sidecar finds it.")
    annotations: Words = Field(default={}, description="Its annotations, such as the folder.")


class Ingress(Section):
    enabled: Flag = Field(default=False, description="Lets the Git server reach the webhook, and nothing else.")
    class_name: Text = Field(default="", description="The IngressClass. Left out: the cluster's default.")
    host: Text = Field(default="", description="Its host name. Needed where it is enabled.")
    tls_secret: Text = Field(default="", description="Name of the Secret with its certificate. Left out: no TLS here.")
    annotations: Words = Field(default={}, description="Its annotations.")


class Cache(Section):
    size_limit: Text = Field(default="", description="The most that the clone of the repository may take, such as 2Gi.")
    medium: Literal["", "Memory"] = Field(default="", description="`Memory` keeps it off the node's disk.")


class Values(Section):
    """What both charts have. `config`, `git` and `rbac` are each side's own."""

    config: Any = Field(default=written({}), description="The service's configuration.")
    replicas: StrictInt = Field(
        default=2, ge=1, le=9, description="One works, the others stand by; more than one needs leader election."
    )
    git: Git = Field(
        default=written({}), description="Credentials for the recovery repository, by its URL: ssh or https."
    )
    restic: ResticCredentials = Field(
        default=written({}), description="Credentials for the restic repository of `config.volumes`."
    )
    image: Image = Field(default=written({}), description="The container image.")
    image_pull_secrets: Objects = Field(default=(), description="Secrets for pulling it: `[{name: …}]`.")
    name_override: Text = Field(default="", description="Instead of the chart's name.")
    fullname_override: Text = Field(default="", description="Instead of the release's and the chart's name.")
    rbac: Any = Field(default=written({}), description="What it may do in the cluster.")
    service_account: ServiceAccount = Field(default=written({}), description="Whom it is in the cluster.")
    service: Service = Field(default=written({}), description="How it is reached.")
    network_policy: NetworkPolicy = Field(default=written({}), description="The network around it.")
    pod_disruption_budget: PodDisruptionBudget = Field(default=written({}), description="What a drain of nodes may do.")
    service_monitor: ServiceMonitor = Field(default=written({}), description="Scraping by the Prometheus operator.")
    prometheus_rule: PrometheusRule = Field(default=written({}), description="Alerts for the Prometheus operator.")
    dashboard: Dashboard = Field(default=written({}), description="The dashboard for Grafana.")
    log_format: Literal["json", "text"] = Field(default="json", description="The form of the log.")
    extra_args: tuple[StrictStr, ...] = Field(default=(), description="Further arguments, such as `-v`.")
    resources: Object = Field(
        default={"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        description="Of the container. How much is needed: docs/how-to/operate.md.",
    )
    cache: Cache = Field(default=written({}), description="The volume of the clone, an emptyDir.")
    env: Objects = Field(default=(), description="Further environment, such as `[{name: HTTPS_PROXY, value: …}]`.")
    env_from: Objects = Field(default=(), description="Environment out of ConfigMaps and Secrets.")
    extra_volumes: Objects = Field(default=(), description="Further volumes.")
    extra_volume_mounts: Objects = Field(default=(), description="Where they are mounted.")
    pod_security_context: Object = Field(
        default={"runAsNonRoot": True, "fsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        description="Of the pod, by the standard `restricted`. `fsGroup: null` where the platform chooses it.",
    )
    security_context: Object = Field(
        default={
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        description="Of the container.",
    )
    liveness_probe: Object = Field(
        default={"periodSeconds": 15, "timeoutSeconds": 5, "failureThreshold": 4},
        description="How often `/healthz` is asked: a loop that is stuck has the container restarted.",
    )
    readiness_probe: Object = Field(
        default={"periodSeconds": 5, "timeoutSeconds": 5}, description="How often `/readyz` is asked."
    )
    startup_probe: Object = Field(
        default={"periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 30},
        description="How long it may take to begin.",
    )
    termination_grace_period_seconds: StrictInt = Field(default=30, ge=15, description="It ends within 10 seconds.")
    node_selector: Words = Field(default={}, description="Nodes that it may run on.")
    tolerations: Objects = Field(default=(), description="Taints that it bears.")
    affinity: Object = Field(
        default={}, description="Left out: replicas keep apart from each other where there are several nodes."
    )
    topology_spread_constraints: Objects = Field(default=(), description="How replicas are spread.")
    priority_class_name: Text = Field(default="", description="Its priority.")
    labels: Words = Field(default={}, description="Labels of everything that the chart makes.")
    annotations: Words = Field(default={}, description="Annotations of everything that the chart makes.")
    pod_labels: Words = Field(default={}, description="Further labels of the pods.")
    pod_annotations: Words = Field(default={}, description="Further annotations of the pods.")


class ExporterValues(Values):
    """Values of dr-syncer-exporter."""

    config: ExporterConfig = Field(
        description="The service's configuration, as docs/configuration.md has it: `repository`, `exporter`, "
        "`volumes`, `server`. Required are repository.url, exporter.cluster and exporter.secrets.recipients (or "
        "another mode). The chart fills in where the credentials are, server.address, server.leaderElection, "
        "volumes.mover.image and exporter.secrets.digestKeyNamespace.",
    )
    rbac: ExporterRbac = Field(default=written({}), description="What it may do in the cluster.")
    signing: SigningKey = Field(default=written({}), description="Signatures of the commits.")
    backup: Backup = Field(
        default=written({}), description="The CronJob that backs volumes up: `dr-syncer volumes backup`."
    )
    verify: Verify = Field(
        default=written({}), description="The CronJob that checks the restic repository: `dr-syncer volumes verify`."
    )
    git_read_only: Git = Field(
        default=written({}),
        description="Credentials for the recovery repository that can only read it, for the CronJobs `verify` and "
        "`prune`. Host keys (`knownHosts`) and certificates (`ca`) are those of `git` where they are left out. Left "
        "out, all of it: `git`, whose key may push.",
    )
    prune: Prune = Field(
        default=written({}), description="The CronJob that forgets old snapshots: `dr-syncer volumes prune`."
    )


class ImporterValues(Values):
    """Values of dr-syncer-importer."""

    config: ImporterConfig = Field(
        description="The service's configuration, as docs/configuration.md has it: `repository`, `importer`, "
        "`volumes`, `server`. Required are repository.url and importer.cluster. The chart fills in where the "
        "credentials are, server.address, server.leaderElection, volumes.mover.image and importer.stateNamespace.",
    )
    rbac: ImporterRbac = Field(default=written({}), description="What it may do in the cluster.")
    age: Age = Field(default=written({}), description="The keys that decrypt.")
    allowed_signers: Text = Field(
        default="",
        description="SSH public keys whose signatures count, in the format of ssh-keygen(1). A recovery point "
        "that none of them signed is refused. Left out: signatures are not looked at.",
    )
    webhook: WebhookSecret = Field(default=written({}), description="Calls of the Git server that wake the importer.")
    ingress: Ingress = Field(default=written({}), description="The webhook's way in.")


CHARTS: Mapping[str, type[Values]] = {"dr-syncer-exporter": ExporterValues, "dr-syncer-importer": ImporterValues}
