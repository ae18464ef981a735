"""What the dashboard shows of volumes: their backups, and their data in DR."""

from __future__ import annotations

from drsyncer.service.alerts import EXPORTER, IMPORTER
from drsyncer.service.graphs import CLUSTER, Panel, Query, age, each, grew, now, rate, times
from drsyncer.service.metrics import CLAIM

_VOLUME = "{{claim_namespace}}/{{persistentvolumeclaim}}"


def _age_of_each() -> str:
    return f"time() - ({now('volume_last_success_timestamp_seconds', IMPORTER, by=CLAIM)} > 0)"


def _throughput() -> str:
    took = now("volume_last_success_duration_seconds", IMPORTER, by=CLAIM)
    return f"{now('volume_last_success_bytes', IMPORTER, by=CLAIM)}\n  / ({took} > 0)"


VOLUMES: tuple[str, tuple[Panel, ...]] = (
    "Volumes",
    (
        Panel(
            "Volumes by their data",
            (Query(each("volumes", IMPORTER, "state"), "{{cluster}} {{state}}"),),
            "Of the recovery point that DR has; `whole` have its data.",
        ),
        Panel(
            "Age of the data in DR's volumes",
            (Query(age("volume_data_timestamp_seconds", IMPORTER), CLUSTER),),
            "Of the oldest snapshot that is in a volume of DR.",
            unit="s",
        ),
        Panel(
            "Age of the newest backups (RPO of the data)",
            (
                Query(age("volume_backup_timestamp_seconds", IMPORTER), "as {{cluster}} sees it"),
                Query(age("restic_answered_timestamp_seconds", IMPORTER), "{{cluster}}, restic's last answer"),
            ),
            "Of the volume whose newest whole snapshot is the oldest.",
            unit="s",
        ),
        Panel(
            "Volumes whose backup is too old",
            (
                Query(now("volumes_too_old", IMPORTER), CLUSTER),
                Query(now("volumes_never_backed_up", IMPORTER), "{{cluster}}, not tried yet"),
            ),
            "Older than volumes.maxAge, gone from restic, or never whole; and claims that are new.",
            kind="stat",
            bad=1,
        ),
        Panel(
            "Newest backups by how they ended",
            (Query(each("volume_backups", IMPORTER, "state"), "{{cluster}} {{state}}"),),
            "One for each volume of the newest recovery point; `Complete` and `Unchanged` are whole.",
        ),
        Panel(
            "Age of the newest backup of each volume",
            (Query(_age_of_each(), _VOLUME),),
            "Since restic began to read the newest whole one, or its copy was made. Without one, a volume is missing.",
            unit="s",
        ),
        Panel(
            "How the newest backup of each volume ended",
            (
                Query(
                    now("volume_backup_state", IMPORTER, by=(*CLAIM, "state"), state="~Partial|Empty|Failed|Locked"),
                    f"{_VOLUME} {{{{state}}}}",
                ),
            ),
            "Of those whose newest one was not whole.",
        ),
        Panel(
            "How fast the newest backups were",
            (Query(_throughput(), _VOLUME),),
            "Bytes of the volume by the time that its backup took: what had not changed was not read again.",
            unit="Bps",
        ),
        Panel(
            "How long the newest backups took",
            (Query(now("volume_last_success_duration_seconds", IMPORTER, by=CLAIM), _VOLUME),),
            "From when restic began to read, or the copy was made that it read, to its end.",
            unit="s",
        ),
        Panel(
            "Size of the volumes",
            (Query(now("volume_last_success_bytes", IMPORTER, by=CLAIM), _VOLUME),),
            "At the newest whole backup.",
            unit="bytes",
        ),
        Panel(
            "Files of the volumes",
            (Query(now("volume_last_success_files", IMPORTER, by=CLAIM), _VOLUME),),
            "At the newest whole backup.",
        ),
        Panel(
            "Volumes without any backup",
            (
                Query(
                    now("volume_backup_state", IMPORTER, by=CLAIM, state="~Waiting|Never"),
                    _VOLUME,
                ),
            ),
            "Claims that should be backed up and that no backup has tried yet.",
        ),
        Panel(
            "Age of the last verdict about the backups",
            (Query(age("verification_timestamp_seconds", EXPORTER), CLUSTER),),
            "Of `volumes verify`. Nothing is shown where there was none.",
            unit="s",
        ),
        Panel(
            "How the last verification ended",
            (Query(each("verification", EXPORTER, "result") + " == 1", "{{cluster}} {{result}}"),),
            "Of what it looked at.",
            kind="stat",
            text="name",
        ),
        Panel(
            "Damage of the backups",
            (Query(now("backups_damaged", EXPORTER), CLUSTER),),
            "1 until a verification that looks there again finds nothing.",
            kind="stat",
            bad=1,
        ),
        Panel(
            "Share that the last verdict is about",
            (
                Query(now("verification_read_ratio", EXPORTER), "{{cluster}} data read"),
                Query(now("verification_compared_ratio", EXPORTER), "{{cluster}} snapshots compared"),
            ),
            "Each verification reads another part of the data.",
            unit="percentunit",
        ),
        Panel(
            "Restores by how they ended",
            (Query(grew("volume_restores_total", IMPORTER, "result"), "{{cluster}} {{result}}"),),
            "Volumes that a mover worked on.",
        ),
        Panel(
            "Bytes restored",
            (Query(rate("volume_restored_bytes_total", IMPORTER), CLUSTER),),
            "Per second.",
            unit="Bps",
            width=12,
        ),
        Panel(
            "How long a restore takes",
            times("volume_restore_duration_seconds", IMPORTER),
            "The mover's work on one volume.",
            unit="s",
            width=12,
        ),
    ),
)
