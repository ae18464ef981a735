"""`dr-syncer serve`: what the pods run."""

from __future__ import annotations

import hashlib
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from cli import options
from cli.context import Context

if TYPE_CHECKING:
    from cli.volumes_following import Beside
    from drsyncer.cluster import Cluster
    from drsyncer.cluster.lease import Election
    from drsyncer.config.schema import Config
    from drsyncer.service.board import Board
    from drsyncer.service.frame import Frame, Worker
    from drsyncer.service.health import Health
    from drsyncer.service.http import Handler, Request
    from drsyncer.service.metrics import Metrics
    from drsyncer.service.reasons import Tell
    from importer.observing import Observer

    Make = Callable[[Config, Metrics, Health, Board, Tell, Callable[[], bool]], Worker]


@click.group("serve", short_help="Run as a service: the loop, metrics and health.")
def serve() -> None:
    """Run one side as a service, as the pods do.

    \b
    Examples:
      dr-syncer serve exporter
      dr-syncer serve importer -c /etc/dr-syncer/dr-syncer.yaml --log-format json
    """


@serve.command("exporter", short_help="Export whenever the source cluster changes, or on schedule.")
@options.config
@options.cluster
@options.verbosity
def exporter(ctx: Context) -> None:
    """Export for as long as this runs: exporter.mode says when.

    Serves a status page, /metrics, /healthz and /readyz at server.address and server.port. Stops within 10
    seconds of SIGTERM or Ctrl-C. SIGHUP reads the configuration again, which happens by itself within seconds of a
    change of the file; SIGUSR1 starts a run at once.

    \b
    Examples:
      dr-syncer serve exporter
      dr-syncer serve exporter --context prod -v
      kill -USR1 PID
    """
    ctx.load_exporter()  # a missing section is an error before anything starts
    _serve(ctx, side="exporter", make=_exporting)


@serve.command("importer", short_help="Keep the DR cluster at what Git has.")
@options.config
@options.cluster
@options.verbosity
def importer(ctx: Context) -> None:
    """Import for as long as this runs: importer.mode says when.

    Serves a status page, /metrics, /healthz and /readyz at server.address and server.port, and the webhook
    for the Git server where server.webhook.secretFile is given. Stops within 10 seconds of SIGTERM or Ctrl-C. SIGHUP
    reads the configuration again, which happens by itself within seconds of a change of the file; SIGUSR1
    looks at Git at once.

    \b
    Examples:
      dr-syncer serve importer
      dr-syncer serve importer --context dr -v
      kill -USR1 PID
    """
    ctx.load_importer()
    _serve(ctx, side="importer", make=_importing)


def _exporting(
    config: Config, metrics: Metrics, health: Health, board: Board, tell: Tell, leading: Callable[[], bool]
) -> Worker:
    from cli.sides import remote_of
    from exporter.serving import worker_of

    section = config.exporter
    assert section is not None  # a reload without the section was refused
    return worker_of(
        config=section,
        remote=remote_of(config.repository),
        connect=_dialling(config, "exporter", metrics, leading),
        metrics=metrics,
        health=health,
        board=board,
        tell=tell,
        leading=leading,
        verify_within=config.volumes.verify_max_age if config.volumes is not None else None,
    )


def _importing(
    config: Config, metrics: Metrics, health: Health, board: Board, tell: Tell, leading: Callable[[], bool]
) -> Worker:
    from cli.sides import remote_of
    from importer.serving import worker_of

    section = config.importer
    assert section is not None  # a reload without the section was refused
    connect = _dialling(config, "importer", metrics, leading)
    listeners, besides = _about_volumes(config, connect, metrics, board, tell, leading)
    worker = worker_of(
        config=section,
        remote=remote_of(config.repository),
        connect=connect,
        metrics=metrics,
        health=health,
        board=board,
        tell=tell,
        leading=leading,
        listeners=listeners,
    )
    if not besides:
        return worker
    from cli.volumes_following import WithVolumes

    return WithVolumes(worker, *besides)


def _about_volumes(
    config: Config,
    connect: Callable[[], Cluster],
    metrics: Metrics,
    board: Board,
    tell: Tell,
    leading: Callable[[], bool],
) -> tuple[list[Observer], list[Beside]]:
    """Return who listens to imports for the sake of volumes, and what works beside them."""
    if config.volumes is None:
        return [], []
    from cli.volumes_following import Heard, Told, follower_of
    from cli.volumes_watching import Ages, watch_of

    watch = watch_of(config, leading=leading, told=Ages(metrics, board))
    if not config.volumes.restore.follow:
        return [], [watch]
    follower = follower_of(config, connect=connect, leading=leading, told=Told(metrics, board, tell))
    return [Heard(follower)], [watch, follower]


def _dialling(config: Config, side: str, metrics: Metrics, leading: Callable[[], bool]) -> Callable[[], Cluster]:
    """Return what connects to a side's cluster: requests are counted, and who does not lead any more writes nothing."""
    from cli.sides import SERVICE, side_of

    def connect() -> Cluster:
        cluster = _counted(side_of(config, side, SERVICE), metrics)
        cluster.connection.may_write = leading
        return cluster

    return connect


def _counted(cluster: Cluster, metrics: Metrics) -> Cluster:
    """Let `metrics` know of each request."""

    def count(method: str, status: int, attempt: int) -> None:
        metrics.count("api_requests_total", verb=method, code=str(status))
        if attempt > 1:
            metrics.count("api_retries_total")

    cluster.on_try = count
    return cluster


def _serve(ctx: Context, *, side: str, make: Make) -> None:
    from cli.events import teller_of
    from drsyncer import __version__, log
    from drsyncer.service import memory, page
    from drsyncer.service.frame import Frame, Source
    from drsyncer.service.health import Health
    from drsyncer.service.http import Server
    from drsyncer.service.metrics import Metrics
    from drsyncer.service.reasons import nobody
    from drsyncer.service.verification import measuring

    memory.keep_heaps_few()
    log.configure(format=ctx.log_format, verbosity=max(ctx.verbosity, 1))
    loaded = ctx.load()
    config = loaded.config
    metrics, health = Metrics(side), Health(stuck_after=config.server.stuck_after)
    teller = teller_of(config, side) if config.server.events else None
    tell = teller.tell if teller else nobody

    def made(current: Config, leading: Callable[[], bool]) -> Worker:
        _tell_mode(metrics, current, side)
        return make(current, metrics, health, board, tell, leading)

    board = _board_of(config, side, metrics, lambda: frame.leading())
    frame = Frame(
        source=Source(load=lambda: _reloaded(ctx, side), fingerprint=lambda: _fingerprint(loaded.file)),
        make=made,
        candidate=candidate_of(config, side) if config.server.leader_election else None,
        health=health,
        metrics=metrics,
        tell=tell,
        listener=board.trouble,
    )
    section = config.exporter if side == "exporter" else config.importer
    assert section is not None
    metrics.set("build_info", 1, version=__version__, side=side, cluster=section.cluster)
    before = measuring(metrics, board.current) if side == "exporter" else lambda: None
    routes = _routes(frame, metrics, health, before) | page.routes(board, frame.state)
    if side == "importer" and config.server.webhook.secret_file:
        routes["POST", config.server.webhook.path] = _hook(config, frame, metrics)
    server = Server(address=config.server.address, port=config.server.port, routes=routes)
    server.start()
    board.start()
    if teller:
        teller.start()
    for number, action in ((signal.SIGTERM, frame.stop), (signal.SIGINT, frame.stop)):
        signal.signal(number, lambda *_, act=action: act())
    signal.signal(signal.SIGHUP, lambda *_: frame.reload())
    signal.signal(signal.SIGUSR1, lambda *_: frame.wake())
    log.get(__name__).info(f"serving the {side}", address=config.server.address, port=server.port, mode=section.mode)
    try:
        ended = frame.run(config)
    finally:
        board.stop()
        if teller:
            teller.stop()
        server.stop()
    log.get(__name__).info("ended")
    ctx.exit(0 if ended else 1)


def _tell_mode(metrics: Metrics, config: Config, side: str) -> None:
    from drsyncer.config.modes import Mode

    section = config.exporter if side == "exporter" else config.importer
    assert section is not None
    for mode in get_args(Mode):
        metrics.set("mode_info", float(mode == section.mode), mode=mode)


def _reloaded(ctx: Context, side: str) -> Config:
    return (ctx.load_exporter() if side == "exporter" else ctx.load_importer())[0]


def _fingerprint(file: str) -> str:
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError as error:  # in the middle of being replaced
        return str(error)


def _routes(
    frame: Frame[Config], metrics: Metrics, health: Health, before: Callable[[], None]
) -> dict[tuple[str, str], Handler]:
    from drsyncer.service.http import Response

    def healthz(_: Request) -> Response:
        stuck = health.stuck()
        if not stuck:
            return Response(200, b"ok\n")
        lines = "".join(f"{loop} has not turned for {seconds:.0f} s\n" for loop, seconds in sorted(stuck.items()))
        return Response(503, lines.encode())

    def readyz(_: Request) -> Response:
        state = frame.state()
        return Response(200 if frame.ready() else 503, f"{state}\n".encode())

    def metrics_text(_: Request) -> Response:
        before()
        body, content_type = metrics.text()
        return Response(200, body, content_type)

    return {("GET", "/healthz"): healthz, ("GET", "/readyz"): readyz, ("GET", "/metrics"): metrics_text}


def _hook(config: Config, frame: Frame[Config], metrics: Metrics) -> Handler:
    """Return what answers the Git server's calls. Its secret is read anew for each, so that it can be changed."""
    from drsyncer.service import webhook
    from drsyncer.service.http import Response
    from importer.following import refs_of

    assert config.importer is not None
    secret_file = config.server.webhook.secret_file
    webhook.read_secrets(secret_file)  # a file that cannot be used is an error at the start
    refs = refs_of(config.importer.revision)
    seen = webhook.Seen()
    for kind in webhook.Kind:
        metrics.count("webhook_calls_total", 0, verdict=str(kind))  # a first call is a growth, too

    def called(request: Request) -> Response:
        now = time.time()
        secrets = webhook.read_secrets(secret_file)
        found = seen.judge(webhook.verdict(request.headers, request.body, secrets=secrets, refs=refs, now=now), now)
        metrics.count("webhook_calls_total", verdict=str(found.kind))
        if found.wakes:
            frame.wake()
        return Response(found.status, f"{found.reason}\n".encode())

    return called


def candidate_of(config: Config, side: str) -> Election:
    """Return who stands for election on this side, in the cluster that it works with."""
    from cli.sides import ELECTION, place_of, side_of
    from drsyncer.cluster.lease import Election, identity

    place = place_of(config, side)
    connect = partial(side_of, config, side, ELECTION)
    return Election(connect, namespace=place.namespace, name=place.name, identity=identity())


def _board_of(config: Config, side: str, metrics: Metrics, leading: Callable[[], bool]) -> Board:
    """Return what keeps the status of this side."""
    from cli.sides import STATUS, place_of, side_of
    from drsyncer import __version__
    from drsyncer.service.board import Board
    from drsyncer.service.status import State, Status

    section = config.exporter if side == "exporter" else config.importer
    assert section is not None
    now = datetime.now(UTC)
    first = Status(
        side=side,
        name=getattr(section, "name", "") or section.cluster,
        cluster=section.cluster,
        program=__version__,
        state=State.ENDED,
        mode=section.mode,
        started=now,
        told=now,
    )
    return Board(
        first,
        connect=lambda: _counted(side_of(config, side, STATUS), metrics),
        place=place_of(config, side),
        leading=leading,
    )
