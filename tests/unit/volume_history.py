"""A recovery repository whose exports name the snapshots of volumes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from drsyncer.manifest import ObjectRef
from drsyncer.recovery import identity, layout, message, volumes
from drsyncer.recovery.identity import Identity
from drsyncer.snapshot import Record
from tests.unit.recovery_sandbox import Sandbox, commit
from tests.unit.volume_records import NIGHT, claim
from volumes import points

SOURCE = Identity("prod", "2c3f5a3e")
DATA, LOGS = claim("data"), claim("logs")


class History:
    """A recovery repository with one export an hour, from `NIGHT` on."""

    def __init__(self, folder, *, path=""):
        self.sandbox = Sandbox(folder)
        self.path = path
        self.hour = 0

    def export(
        self,
        records: Mapping[ObjectRef, Record] = {},
        *,
        more: Mapping[str, str] = {},
        gone=(),
        claims=None,
        at: datetime | None = None,
        committed: datetime | None = None,
    ) -> str:
        """Export claims and their records; return the commit. `committed`: when, if not when it is exported."""
        at = at or NIGHT + timedelta(hours=self.hour)
        self.hour += 1
        put = {identity.FILE: identity.emit(SOURCE).decode(), "cluster/namespaces/shop.yaml": f"hour: {self.hour}\n"}
        for ref in records if claims is None else claims:
            put[layout.path_of(ref)] = f"claim: {ref.name}\n"
        for ref, record in records.items():
            put[layout.record_path(ref.namespace, ref.name)] = volumes.emit(record, ref).decode()
        text = message.build(
            message.Message("prod", "2c3f5a3e", at, at, at, resource_versions="sha256:0", version="0", changes=())
        )
        delete = tuple(layout.record_path(ref.namespace, ref.name) for ref in gone)
        with self.sandbox.open(path=self.path, cache="source") as clone:
            made = commit(clone, put | dict(more), delete=delete, message=text, when=committed or at)
            clone.push(heartbeat=None)
        assert made
        return made

    def choose(self, *, head="main", **asked) -> points.Choice:
        with self.sandbox.open(path=self.path) as clone:
            return points.choose(clone, head=head, **asked)
