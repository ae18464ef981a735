"""Which calls of a Git server wake the importer. All signatures are made here, as each server documents them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.errors import UsageError
from drsyncer.service.http import LARGEST_BODY
from drsyncer.service.webhook import WINDOW, Kind, Seen, Verdict, read_secrets, verdict

SECRET = b"correct horse battery staple"
OTHER = b"wrong horse battery staple"
NOW = 1_790_000_000.0
REFS = ("refs/heads/main",)
PUSH = json.dumps({"ref": "refs/heads/main", "before": "1" * 40, "after": "2" * 40}).encode()

Headers = dict[str, str]
Signer = Callable[[bytes, bytes], Headers]


def hexadecimal(secret: bytes, body: bytes) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def github(secret: bytes, body: bytes) -> Headers:
    return {
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "X-Hub-Signature-256": f"sha256={hexadecimal(secret, body)}",
        "Content-Type": "application/json",
    }


def gitea(secret: bytes, body: bytes) -> Headers:
    signature = hexadecimal(secret, body)
    return {
        "X-Gitea-Event": "push",
        "X-GitHub-Event": "push",
        "X-Gitea-Signature": signature,
        "X-Hub-Signature-256": f"sha256={signature}",
    }


def forgejo(secret: bytes, body: bytes) -> Headers:
    return {"X-Forgejo-Event": "push", "X-Forgejo-Signature": hexadecimal(secret, body)}


def gitlab(secret: bytes, body: bytes) -> Headers:
    return {"X-Gitlab-Event": "Push Hook", "Idempotency-Key": "f5e5f430", "X-Gitlab-Token": secret.decode()}


def standard(secret: bytes, body: bytes, *, at: float = NOW, name: str = "msg_1") -> Headers:
    signed = b"%b.%d.%b" % (name.encode(), int(at), body)
    signature = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": name, "webhook-timestamp": str(int(at)), "webhook-signature": f"v1,{signature}"}


def gitlab_signed(secret: bytes, body: bytes) -> Headers:
    return {"X-Gitlab-Event": "Push Hook", **standard(secret, body)}


each_server = pytest.mark.parametrize("sign", [github, gitea, forgejo, gitlab, gitlab_signed, standard])
each_signing_server = pytest.mark.parametrize("sign", [github, gitea, forgejo, gitlab_signed, standard])


def judge(headers: Headers, body: bytes = PUSH, *, now: float = NOW, refs: tuple[str, ...] = REFS) -> Verdict:
    return verdict(headers, body, secrets=[SECRET], refs=refs, now=now)


@each_server
def test_a_push_to_what_is_followed_wakes(sign: Signer) -> None:
    found = judge(sign(SECRET, PUSH))
    assert (found.kind, found.status) == (Kind.WAKE, 202)


@each_server
def test_header_names_may_come_in_any_case(sign: Signer) -> None:
    assert judge({name.upper(): value for name, value in sign(SECRET, PUSH).items()}).wakes


@each_server
def test_another_secret_is_refused(sign: Signer) -> None:
    found = judge(sign(OTHER, PUSH))
    assert (found.kind, found.status, found.mark) == (Kind.WRONG, 403, "")


@each_signing_server
@given(at=st.integers(0, len(PUSH) - 1), bit=st.integers(0, 7))
def test_one_flipped_bit_of_the_body_is_refused(sign: Signer, at: int, bit: int) -> None:
    changed = bytearray(PUSH)
    changed[at] ^= 1 << bit
    assert judge(sign(SECRET, PUSH), bytes(changed)).kind is Kind.WRONG


@each_server
def test_while_the_secret_is_changed_both_count(sign: Signer) -> None:
    for secret in (SECRET, OTHER):
        assert verdict(sign(secret, PUSH), PUSH, secrets=[SECRET, OTHER], refs=REFS, now=NOW).wakes


@each_server
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (json.dumps({"ref": "refs/heads/other"}).encode(), Kind.IGNORED),
        (json.dumps({"ref": "refs/tags/main"}).encode(), Kind.IGNORED),
        (json.dumps({"ref": "refs/heads/main-2"}).encode(), Kind.IGNORED),
        (json.dumps({"ref": "main", "ref_type": "branch"}).encode(), Kind.WAKE),
        (b"", Kind.WAKE),
        (b"{}", Kind.WAKE),
        (b"[]", Kind.MALFORMED),
        (b'{"ref": 1}', Kind.MALFORMED),
        (b"\xff\xfe{", Kind.MALFORMED),
        (b"not json", Kind.MALFORMED),
        (b"[" * 100_000, Kind.MALFORMED),
        (b"x" * (LARGEST_BODY + 1), Kind.TOO_LARGE),
    ],
)
def test_what_the_body_says_decides_only_once_it_is_vouched_for(sign: Signer, body: bytes, kind: Kind) -> None:
    assert judge(sign(SECRET, body), body).kind is kind
    assert judge(sign(OTHER, body), body).kind in (Kind.WRONG, Kind.TOO_LARGE)


@pytest.mark.parametrize(
    ("sign", "header", "value"),
    [
        (github, "X-GitHub-Event", "ping"),
        (github, "X-GitHub-Event", "issues"),
        (gitea, "X-Gitea-Event", "pull_request"),
        (forgejo, "X-Forgejo-Event", "release"),
        (gitlab, "X-Gitlab-Event", "Merge Request Hook"),
    ],
)
def test_other_events_are_ignored(sign: Signer, header: str, value: str) -> None:
    headers = {name: item for name, item in sign(SECRET, PUSH).items() if not name.endswith("-Event")}
    found = judge({**headers, header: value})
    assert (found.kind, found.status) == (Kind.IGNORED, 200)


def test_a_payload_in_a_form_is_read_too() -> None:
    for ref, kind in (("refs/heads/main", Kind.WAKE), ("refs/heads/x", Kind.IGNORED)):
        body = urlencode({"payload": json.dumps({"ref": ref})}).encode()
        headers = github(SECRET, body) | {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        assert judge(headers, body).kind is kind


def test_tags_wake_whoever_follows_a_range_of_them() -> None:
    body = b'{"ref": "refs/tags/v1.2.0"}'
    assert judge(github(SECRET, body), body, refs=("refs/tags/*",)).wakes
    assert judge(github(SECRET, body), body).kind is Kind.IGNORED


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-GitHub-Event": "push"},
        {"X-Hub-Signature": "sha1=" + hmac.new(SECRET, PUSH, hashlib.sha1).hexdigest()},
        {"Authorization": f"Bearer {SECRET.decode()}"},
        {"webhook-id": "msg_1", "webhook-timestamp": str(int(NOW))},
    ],
)
def test_an_unsigned_call_is_refused(headers: Headers) -> None:
    found = judge(headers)
    assert (found.kind, found.status) == (Kind.UNSIGNED, 401)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": "sha256="},
        {"X-Hub-Signature-256": hexadecimal(SECRET, PUSH)},
        {"X-Hub-Signature-256": "md5=" + hexadecimal(SECRET, PUSH)},
        {"X-Gitea-Signature": ""},
        {"X-Gitlab-Token": ""},
        {"X-Gitlab-Token": "ünïcode"},
        {**standard(SECRET, PUSH), "webhook-signature": ""},
        {**standard(SECRET, PUSH), "webhook-signature": "v2," + "A" * 44},
        {**standard(SECRET, PUSH), "webhook-id": "msg_2"},
        {**standard(SECRET, PUSH), "webhook-timestamp": str(int(NOW) + 1)},
        # A bad signature is not made up for by a weaker proof that is good.
        {**github(OTHER, PUSH), "X-Gitlab-Token": SECRET.decode()},
        {**standard(OTHER, PUSH), "X-Hub-Signature-256": f"sha256={hexadecimal(SECRET, PUSH)}"},
    ],
)
def test_a_signature_that_is_none_is_refused(headers: Headers) -> None:
    assert judge(headers).kind is Kind.WRONG


@pytest.mark.parametrize("age", [WINDOW + 1, -WINDOW - 1, 86_400 * 365])
def test_a_signed_time_that_is_far_off_is_refused(age: float) -> None:
    assert judge(standard(SECRET, PUSH, at=NOW - age)).kind is Kind.STALE


@pytest.mark.parametrize("stamp", ["", "soon", "-1", "1e9", "٣", "9" * 5_000])
def test_a_signed_time_that_is_none_is_refused(stamp: str) -> None:
    signed = b"msg_1." + stamp.encode() + b"." + PUSH
    signature = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    headers = {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}
    assert judge(headers).kind is Kind.STALE


def test_a_secret_may_be_written_as_standard_webhooks_does() -> None:
    key = bytes(range(24))
    written = b"whsec_" + base64.b64encode(key)
    signatures = f"v1,{'A' * 44} {standard(key, PUSH)['webhook-signature']}"
    headers = standard(key, PUSH) | {"webhook-signature": signatures}
    assert verdict(headers, PUSH, secrets=[written], refs=REFS, now=NOW).wakes


@pytest.mark.parametrize("secrets", [[], [b""], [SECRET, b""]])
def test_without_a_secret_nothing_is_let_in(secrets: list[bytes]) -> None:
    for key in (b"", SECRET):
        found = verdict(github(key, PUSH), PUSH, secrets=secrets, refs=REFS, now=NOW)
        assert (found.kind, found.status) == (Kind.CLOSED, 404)


@each_server
def test_the_same_call_counts_once(sign: Signer) -> None:
    seen = Seen()
    call = judge(sign(SECRET, PUSH))
    assert seen.judge(call, NOW).kind is Kind.WAKE
    again = seen.judge(judge(sign(SECRET, PUSH), now=NOW + 1), NOW + 1)
    assert (again.kind, again.status) == (Kind.REPLAYED, 409)
    other = PUSH.replace(b"2" * 40, b"3" * 40)
    assert seen.judge(judge(sign(SECRET, other), other), NOW + 2).wakes


def test_another_delivery_id_does_not_make_a_replay_new() -> None:
    seen = Seen()
    seen.judge(judge(github(SECRET, PUSH)), NOW)
    again = judge(github(SECRET, PUSH) | {"X-GitHub-Delivery": "another"})
    assert seen.judge(again, NOW).kind is Kind.REPLAYED


def test_refused_calls_are_not_remembered_and_genuine_ones_not_without_end() -> None:
    seen = Seen()
    for index in range(20_000):
        seen.judge(judge(github(OTHER, PUSH)), NOW)
        assert seen.judge(Verdict(Kind.WAKE, "", str(index)), NOW).wakes
    assert len(seen._marks) <= 4_097
    seen.judge(Verdict(Kind.WAKE, "", "later"), NOW + 3 * WINDOW)
    assert len(seen._marks) == 1


def test_secrets_come_from_a_file_one_per_line(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(SECRET + b"\r\n\n" + OTHER + b"\n")
    assert read_secrets(str(file)) == (SECRET, OTHER)
    for content in (b"", b"\n\n", b"short\n", SECRET + b"\nshort"):
        file.write_bytes(content)
        with pytest.raises(UsageError, match="at least 16 characters"):
            read_secrets(str(file))
    with pytest.raises(UsageError, match="cannot be read"):
        read_secrets(str(tmp_path / "none"))
