"""The ground floor: what every other part of DR-Syncer stands on."""

__version__ = "0.1.0"
