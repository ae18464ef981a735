"""`dr-syncer trigger`: let a service do a run now."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from cli import options
from cli.context import Context
from cli.say import warn
from drsyncer import durations
from drsyncer.errors import ClusterError, DrSyncerError, NotFound

if TYPE_CHECKING:
    from rich.console import Console

    from drsyncer.cluster import Cluster
    from drsyncer.config.schema import Config
    from drsyncer.service.place import Notice, Place
    from drsyncer.service.status import Run

_LOOK = 1.0  # seconds between two looks at what became of it


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        if isinstance(value, float):
            return value
        try:
            return durations.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("trigger", short_help="Let a service export or import now.")
@click.argument("side", type=click.Choice(["exporter", "importer"]))
@options.config
@options.cluster
@options.output
@options.verbosity
@click.option("--wait", is_flag=True, help="Wait until it is done; the exit code is that of the run.")
@click.option(
    "--timeout", type=_Duration(), default="10m", metavar="TIME", help="Wait for so long at most. Default: 10m."
)
@click.option(
    "-n",
    "--namespace",
    default="",
    metavar="NAME",
    help="Namespace of the service's pod. Left out: wherever its status is found.",
)
def trigger(ctx: Context, side: str, wait: bool, timeout: float, namespace: str) -> None:
    """Let the service of one side do a run now, in whatever mode it is: a full export, or an import.

    The request is the annotation dr-syncer.io/requested-at of the ConfigMap with the service's status, in the
    cluster of that side. It is kept there: a service that is not up now does the run when it is.

    \b
    Examples:
      dr-syncer trigger exporter
      dr-syncer trigger importer --wait --timeout 5m
      kubectl annotate -n dr-syncer configmap/dr-syncer-importer-dr \\
        dr-syncer.io/requested-at="$(date)" --overwrite      # the same, without this program
    """
    from cli.sides import COMMAND, place_of, side_of
    from drsyncer.service import place as places

    config = (ctx.load_exporter() if side == "exporter" else ctx.load_importer())[0]
    cluster = side_of(config, side, COMMAND)
    try:
        place = place_of(config, side, namespace=namespace)
        place = place if namespace else places.found(cluster, place)
        before = places.read(cluster, place)
        value = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        _ask(cluster, place, value)
        if not wait:
            _warn_of_nobody(before, side)
            ctx.show(
                lambda out: _draw(out, side, place, None), lambda: _data(side, config, place, value=value, run=None)
            )
            return
        with ctx.progress.task(f"Waiting for the {side}", total=None):
            run = _awaited(cluster, place, value, before=before, side=side, timeout=timeout)
    finally:
        cluster.close()
    ctx.show(lambda out: _draw(out, side, place, run), lambda: _data(side, config, place, value=value, run=run))
    ctx.exit(run.exit_code)


def _ask(cluster: Cluster, place: Place, value: str) -> None:
    from drsyncer.service import place as places

    try:
        places.request(cluster, place, value)
    except NotFound as error:
        raise DrSyncerError(
            f"there is no namespace {place.namespace}, so nothing was asked for",
            hint="Say with --namespace where the service's pod is.",
        ) from error


def _warn_of_nobody(before: Notice, side: str) -> None:
    from drsyncer.service.status import State

    if before.status is None:
        warn([f"no {side} has told its status here yet: one that starts will do the run"])
    elif before.status.state is State.ENDED:
        warn([f"the {side} ended at {before.status.told:%Y-%m-%d %H:%M:%S} UTC: it does the run when it starts again"])


def _awaited(cluster: Cluster, place: Place, value: str, *, before: Notice, side: str, timeout: float) -> Run:
    """Return the run that was made for this request, or for one that came after it.

    Raises DrSyncerError when there is none in time.
    """
    from drsyncer.service import place as places

    end = time.monotonic() + timeout
    known = before.status.request.value if before.status and before.status.request else ""
    earlier = {known, before.requested} - {value}
    notice, away = places.Notice(), ""
    while True:
        try:
            notice, away = places.read(cluster, place), ""
        except ClusterError as error:
            away = str(error)
        request = notice.status.request if notice.status else None
        if request is not None and request.run is not None and request.value not in earlier:
            return request.run
        if time.monotonic() >= end:
            hint = "The request stays: it is done as soon as that can be. `dr-syncer status` says more."
            raise DrSyncerError(
                f"not done within {durations.text(timeout)}: {away or _why(notice, value, side)}", hint=hint
            )
        time.sleep(_LOOK)


def _why(notice: Notice, value: str, side: str) -> str:
    """Return what is known about why nothing was done."""
    from drsyncer.service.status import State

    status = notice.status
    if status is None:
        return f"no {side} has told its status in this cluster"
    if status.state is State.ENDED:
        return f"the {side} ended at {status.told:%Y-%m-%d %H:%M:%S} UTC"
    if status.troubles:
        return "; ".join(f"{trouble.what}: {trouble.text}" for trouble in status.troubles)
    if status.request is None or status.request.value != value:
        return f"the {side} has not noticed it; its status is of {status.told:%Y-%m-%d %H:%M:%S} UTC"
    return f"the {side} has noticed it and is at work"


def _draw(out: Console, side: str, place: Place, run: Run | None) -> None:
    from cli import render

    if run is None:
        render.line(out, f"asked the {side} for a run ({place})")
        return
    seconds = (run.ended - run.begun).total_seconds()
    commit = f", {run.commit[:12]}" if run.commit else ""
    render.line(out, f"the {side}'s run ended: {run.result}{commit}, after {durations.text(round(seconds, 1))}")
    for text in filter(None, (run.reason, run.hint)):
        render.paragraph(out, text, indent=2)


def _data(side: str, config: Config, place: Place, *, value: str, run: Run | None) -> dict[str, Any]:
    from msgspec import to_builtins

    section = config.exporter if side == "exporter" else config.importer
    assert section is not None
    return {
        "side": side,
        "cluster": section.cluster,
        "configMap": {"namespace": place.namespace, "name": place.name},
        "requestedAt": value,
        "run": to_builtins(run) if run else None,
    }
