"""One way to a Kubernetes API server: raw bytes, own discovery, one owner of retries and time-outs."""

from drsyncer.cluster.client import Cluster
from drsyncer.cluster.connection import connect
from drsyncer.cluster.discovery import Discovery
from drsyncer.cluster.results import Applied, Page

__all__ = ["Applied", "Cluster", "Discovery", "Page", "connect"]
