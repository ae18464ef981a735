"""The section `server`: where a service listens, who may wake it, and whether several replicas take turns."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StrictInt, StrictStr

from drsyncer.config.section import Kind, Section, written
from drsyncer.config.values import Duration, Flag, LocalPath


def _address(text: str) -> str:
    import ipaddress

    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("expected an IP address of this machine such as 127.0.0.1, or 0.0.0.0 for all") from None


def _url_path(text: str) -> str:
    allowed = text.isascii() and text.isprintable() and not set(text) & set(' ?#%"<>\\')
    if not text.startswith("/") or text == "/" or not allowed:
        raise ValueError("expected the path of a URL such as /webhook")
    if text in ("/metrics", "/healthz", "/readyz", "/status.json"):
        raise ValueError("this path is taken by the service itself")
    return text


Address = Annotated[StrictStr, Kind("an IP address", "0.0.0.0"), AfterValidator(_address)]  # noqa: S104 - an example
Port = Annotated[StrictInt, Kind("a port from 1 to 65535", "8080"), Field(ge=1, le=65_535)]
UrlPath = Annotated[StrictStr, Kind("the path of a URL", "/webhook"), AfterValidator(_url_path)]


class Webhook(Section):
    secret_file: LocalPath = Field(
        default="",
        description="File with the secret that a Git server signs its calls with, at least 16 characters; a second "
        "line is a second one, while they are changed. It is read anew for every call. Left out: there is no webhook.",
        examples=["/etc/dr-syncer/webhook/secret"],
    )
    path: UrlPath = Field(default="/webhook", description="Where the Git server posts to.")


class Server(Section):
    address: Address = Field(
        default="127.0.0.1", description="Address to listen at: this machine only, or 0.0.0.0 for a pod."
    )
    port: Port = Field(default=8080, description="Port of metrics, health, status page and webhook.")
    webhook: Webhook = Field(default=written({}), description="Calls of the Git server that wake the importer.")
    leader_election: Flag = Field(
        default=False, description="Several replicas: one works, another one takes over when it fails."
    )
    events: Flag = Field(
        default=True,
        description="Kubernetes Events in the cluster of this side: what a person on call should see.",
    )
    stuck_after: Duration = Field(
        default=written("60s"),
        description="How long a loop of the service may say nothing until `/healthz` answers 503. A run may take an "
        "hour, whatever this says.",
    )
