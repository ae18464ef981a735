"""The status page: one document, made here, without scripts and without anything from elsewhere.

Whoever may create objects in a cluster chooses what stands in it. So everything is escaped, what could turn a line
around is written out, and the browser is told to run nothing and to load nothing.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any

import msgspec

from drsyncer.service.board import Board
from drsyncer.service.http import Handler, Request, Response
from drsyncer.service.report import exact, report_of
from drsyncer.service.status import Status
from drsyncer.wording import many, printable

if TYPE_CHECKING:
    from jinja2 import Template

_SHORTEST, _LONGEST = 5, 3600  # seconds between two refreshes that somebody may ask for
_HTML = "text/html; charset=utf-8"


def html(status: Status, now: datetime, *, state: str, elsewhere: bool = False, refresh: int = 0) -> bytes:
    """Return the page. `state` is that of this replica; `elsewhere`: another one told the status.

    `refresh`: seconds until the browser asks again, 0 for never.
    """
    text: str = _template().render(
        report=report_of(status, now, state=state),
        elsewhere=status.told if elsewhere else None,
        refresh=refresh,
        style=_style(),
    )
    return text.encode("utf-8", "replace")


def routes(board: Board, state: Callable[[], str]) -> dict[tuple[str, str], Handler]:
    """Return what answers for the page and for its data."""

    def page(request: Request) -> Response:
        now, elsewhere = board.current(), board.is_elsewhere()
        body = html(now, datetime.now(UTC), state=state(), elsewhere=elsewhere, refresh=_refresh(request))
        return Response(200, body, _HTML, {"Content-Security-Policy": _policy()})

    def data(_: Request) -> Response:
        body = msgspec.json.format(msgspec.json.encode(board.current()), indent=2)
        return Response(200, body + b"\n", "application/json")

    return {("GET", "/"): page, ("GET", "/status.json"): data}


def _refresh(request: Request) -> int:
    wanted = request.query.get("refresh", "")
    if not wanted.isascii() or not wanted.isdigit() or len(wanted) > 6:
        return 0
    return min(max(int(wanted), _SHORTEST), _LONGEST)


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    environment.globals.update(exact=exact, many=many)
    return environment.from_string(_file("page.html"))


def _finalized(value: Any) -> Any:
    return printable(value) if type(value) is str else value  # not what is markup by now


@functools.cache
def _style() -> str:
    from markupsafe import Markup

    return Markup(_file("page.css"))  # noqa: S704 - a file of ours


@functools.cache
def _policy() -> str:
    """Return what a browser may do with the page: show it, with this very style sheet."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
