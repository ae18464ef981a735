"""One way to a Kubernetes API server: raw bytes, own discovery, one owner of retries and time-outs."""

from drsyncer.cluster.client import Applied, Cluster, Page
from drsyncer.cluster.connection import connect
from drsyncer.cluster.discovery import Discovery

__all__ = ["Applied", "Cluster", "Discovery", "Page", "connect"]
