"""From the section `volumes` to the restic repository, for the commands that ask it themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drsyncer.errors import UsageError

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

    from drsyncer.config.schema import Config
    from drsyncer.config.volumes import Volumes
    from volumes.pruning import Subject
    from volumes.restic import Restic
    from volumes.sharing import Meeting


def section_of(config: Config) -> Volumes:
    """Return the section `volumes`. Raises UsageError when there is none."""
    if config.volumes is None:
        raise UsageError(
            "the configuration has no section `volumes`",
            hint="Add `volumes:` with `restic: {repository: …}`; `dr-syncer init -` shows all its keys.",
        )
    return config.volumes


def opening(section: Volumes) -> Callable[[Callable[[], bool]], contextlib.AbstractContextManager[Restic]]:
    """Return what opens restic with a condition to go on."""
    from functools import partial

    from volumes.supplies import restic_of

    return partial(restic_of, section)


def subject_of(config: Config) -> Subject:
    """Return whose snapshots there are, and where it stands which are needed. The section `exporter` must be there."""
    from cli.sides import remote_of
    from volumes.pruning import Subject

    assert config.exporter is not None
    return Subject(
        remote=remote_of(config.repository),
        head=f"refs/heads/{config.repository.branch}",
        cluster=config.exporter.cluster,
        policy=section_of(config).retention,
    )


def meeting_of(config: Config, *, waits: Callable[[str], object]) -> Meeting:
    """Return where those meet who use the restic repository: in the source cluster, as backups do."""
    from cli.sides import Manner, place_of, source_of
    from volumes.sharing import Meeting

    section, exporter = section_of(config), config.exporter
    assert exporter is not None
    return Meeting(
        source_of(exporter),
        lambda: source_of(exporter, Manner(attempts=1, timeout=5.0)),
        namespace=place_of(config, "exporter").namespace,
        repository=exporter.cluster,
        patience=section.restic.retry_lock,
        waits=waits,
    )
