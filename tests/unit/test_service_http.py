"""The HTTP server of a service, with real sockets: what it answers, and whom it cuts off."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from drsyncer.errors import UsageError
from drsyncer.service.health import Health
from drsyncer.service.http import LARGEST_BODY, Request, Response, Server


def echo(request: Request) -> Response:
    return Response(200, request.body + request.headers.get("x-event", "").encode())


def broken(_: Request) -> Response:
    raise RuntimeError("s3cret")


@pytest.fixture
def server() -> Iterator[Server]:
    routes = {("GET", "/"): lambda _: Response(200, b"here\n"), ("POST", "/hook"): echo, ("GET", "/broken"): broken}
    made = Server(address="127.0.0.1", port=0, routes=routes)
    made.start()
    yield made
    made.stop()


def ask(server: Server, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_each_route_answers_its_method_and_nothing_else_does(server: Server) -> None:
    assert ask(server, "GET", "/") == (200, b"here\n")
    assert ask(server, "HEAD", "/") == (200, b"")
    assert ask(server, "POST", "/")[0] == 405
    assert ask(server, "GET", "/../etc/passwd")[0] == 404
    assert ask(server, "POST", "/hook", b"body ", **{"X-Event": "push"}) == (200, b"body push")


def test_what_goes_wrong_inside_is_told_to_nobody_outside(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    assert ask(server, "GET", "/broken") == (500, b"it is in the log\n")
    assert "could not be answered" in caplog.text


def test_a_body_that_is_too_large_is_refused(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(f"POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: {LARGEST_BODY + 1}\r\n\r\n".encode())
        client.sendall(b"x" * 1_000)  # what it says decides, before most of it is there
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")
    assert ask(server, "POST", "/hook", b"x" * 1_000)[0] == 200


def test_clients_that_say_nothing_keep_nobody_else_from_being_served(server: Server) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(30)]
    for connection in idle:
        connection.sendall(b"POST /hook HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")

    assert ask(server, "GET", "/") == (200, b"here\n")
    for connection in idle:
        connection.close()


def test_after_its_end_nothing_of_a_server_is_left() -> None:
    before = set(threading.enumerate())
    made = Server(address="127.0.0.1", port=0, routes={})
    made.start()
    assert ask(made, "GET", "/")[0] == 404

    made.stop()

    with pytest.raises(ConnectionRefusedError):
        ask(made, "GET", "/")
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(threading.enumerate()) <= before


def test_a_port_that_is_taken_says_so(server: Server) -> None:
    with pytest.raises(UsageError, match=f"127.0.0.1:{server.port}"):
        Server(address="127.0.0.1", port=server.port, routes={})


def test_a_loop_that_does_not_turn_any_more_is_stuck() -> None:
    now = [100.0]
    health = Health(clock=lambda: now[0])
    health.turned("export", within=10)
    health.turned("watch", within=60)
    now[0] += 11

    assert health.stuck() == {"export": 11.0}
    health.turned("export", within=10)
    assert health.stuck() == {}
    health.ended("watch")
    now[0] += 1_000
    assert list(health.stuck()) == ["export"]
