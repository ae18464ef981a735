"""What an answer of an API server means: which error, whether to try again, how long to wait."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.cluster.answers import TRIES_ON_500, may_pass, parse_status, retry_after, to_error
from drsyncer.errors import (
    ClusterError,
    Conflict,
    ExitCode,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    ServerFailed,
    Throttled,
    Unauthorized,
)


def status(message: Any = "no", **more: Any) -> bytes:
    return json.dumps({"kind": "Status", "apiVersion": "v1", "message": message, **more}).encode()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, Invalid),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, Gone),
        (413, Invalid),
        (415, Invalid),
        (422, Invalid),
        (429, Throttled),
        (500, ServerFailed),
        (502, ServerFailed),
        (503, ServerFailed),
        (504, ServerFailed),
        (302, ServerFailed),
        (418, ServerFailed),
    ],
)
def test_each_status_code_has_its_error(code: int, kind: type[ClusterError]) -> None:
    error = to_error(code, status("because"), what="apply shop/configmaps/app")

    assert type(error) is kind
    assert error.status == code
    assert str(error) == "apply shop/configmaps/app: because"
    assert error.exit_code is ExitCode.FAILED


def test_a_refused_login_says_what_to_do() -> None:
    assert "token" in to_error(401, status(), what="discover /api").hint


def test_an_answer_that_is_no_status_is_quoted_in_part() -> None:
    error = to_error(502, b"<html>\xff bad gateway " + b"x" * 5_000, what="list pods")

    assert str(error).startswith("list pods: HTTP 502 <html>� bad gateway x")
    assert len(str(error)) < 300
    assert str(to_error(503, b"", what="list pods")) == "list pods: HTTP 503"


@pytest.mark.parametrize("code", [408, 429, 502, 503, 504])
@pytest.mark.parametrize("attempt", [1, 7, 100])
def test_what_is_about_the_moment_may_pass_at_any_try(code: int, attempt: int) -> None:
    assert may_pass(code, b"", attempt=attempt)


@pytest.mark.parametrize("code", [301, 400, 401, 403, 404, 409, 410, 413, 415, 422, 501])
def test_what_is_about_the_request_never_passes(code: int) -> None:
    assert not may_pass(code, status(), attempt=1)


def test_a_500_gets_few_tries() -> None:
    assert [may_pass(500, status("etcdserver: leader changed"), attempt=n) for n in range(1, 5)] == [
        n < TRIES_ON_500 for n in range(1, 5)
    ]


def test_a_conversion_webhook_that_is_down_gets_one_try() -> None:
    message = (
        "conversion webhook for example.com/v1, Kind=Widget failed: "
        'Post "https://convert.default.svc:443/": dial tcp 127.3.0.1:443: connect: connection refused'
    )
    assert not may_pass(500, status(message), attempt=1)


def test_an_object_that_the_schema_does_not_know_is_invalid_whatever_the_code() -> None:
    message = (
        "failed to create typed patch object (shop/app; /v1, Kind=ConfigMap): .colour: field not declared in schema"
    )
    assert not may_pass(500, status(message), attempt=1)
    assert isinstance(to_error(500, status(message), what="apply a"), Invalid)


def test_a_failing_admission_webhook_is_named() -> None:
    message = 'Internal error occurred: failed calling webhook "check.example.com": connection refused'
    error = to_error(500, status(message), what="apply a")

    assert isinstance(error, ServerFailed)
    assert error.webhook == "check.example.com"
    assert isinstance(plain := to_error(500, status("etcd is gone"), what="apply a"), ServerFailed)
    assert plain.webhook == ""


def test_a_conflict_names_field_and_manager() -> None:
    causes = [
        {"reason": "FieldManagerConflict", "message": 'conflict with "helm" using apps/v1', "field": ".spec.replicas"},
        {"reason": "FieldManagerConflict", "message": "conflict with someone", "field": ".data.a"},
        {"reason": "FieldValueInvalid", "message": "is too long", "field": ".data.b"},
    ]
    error = to_error(409, status("Apply failed", details={"causes": causes}), what="apply a")

    assert isinstance(error, Conflict)
    assert error.owners == {".spec.replicas": "helm", ".data.a": "another manager"}


def test_a_conflict_of_writers_has_no_owners() -> None:
    error = to_error(409, status("the object has been modified"), what="apply a")
    assert isinstance(error, Conflict)
    assert error.owners == {}


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"Retry-After": "7"}, b"", 7.0),
        ({"Retry-After": "0"}, status(details={"retryAfterSeconds": 9}), 0.0),
        ({}, status(details={"retryAfterSeconds": 9}), 9.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, status(details={"retryAfterSeconds": 9}), 9.0),
        ({"Retry-After": "-1"}, b"", None),
        ({"Retry-After": "²"}, b"", None),
        ({"Retry-After": ""}, b"", None),
        ({}, status(details={"retryAfterSeconds": 0}), None),
        ({}, status(details={"retryAfterSeconds": "9"}), None),
        ({}, status(details=None), None),
        ({}, b"<html>", None),
    ],
)
def test_the_wait_that_the_server_asks_for(headers: dict[str, str], body: bytes, seconds: float | None) -> None:
    assert retry_after(headers, body) == seconds


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_CAUSES = st.fixed_dictionaries({}, optional={"reason": st.just("FieldManagerConflict"), "message": _JSON})
_DETAILS = _JSON | st.fixed_dictionaries(
    {}, optional={"causes": _JSON | st.lists(_CAUSES | _JSON, max_size=3), "retryAfterSeconds": _JSON}
)
_STATUS = st.fixed_dictionaries({"kind": st.just("Status")}, optional={"message": _JSON, "details": _DETAILS})


@given(
    body=st.binary(max_size=60) | _STATUS.map(lambda value: json.dumps(value).encode()),
    code=st.integers(300, 599),
    attempt=st.integers(1, 9),
)
def test_no_answer_whatever_it_holds_breaks_the_judgement(body: bytes, code: int, attempt: int) -> None:
    # Aggregated API servers and proxies on the way may send anything at all.
    assert isinstance(to_error(code, body, what="list pods"), ClusterError)
    assert may_pass(code, body, attempt=attempt) in (True, False)
    wait = retry_after({}, body)
    assert wait is None or wait > 0
    assert isinstance(parse_status(body), dict)
