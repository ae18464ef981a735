"""What restic's exit codes and words mean. The lines are those that restic 0.18 gave."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from volumes import failure
from volumes.failure import (
    AccessDenied,
    Interrupted,
    NoRepository,
    RepositoryDamaged,
    RepositoryFull,
    RepositoryLocked,
    RepositoryUnreachable,
    ResticError,
    TargetFull,
    WrongPassword,
)
from volumes.hearing import Hearing, Message, Outcome
from volumes.result import Reason

ENDINGS = [
    (12, "Fatal: wrong password or no key found", WrongPassword),
    (10, "Fatal: repository does not exist: unable to open config file: stat /r/config: no such file", NoRepository),
    (11, "repository is already locked exclusively by PID 7 on node by root (UID 0, GID 0)", RepositoryLocked),
    (130, "signal terminated received, cleaning up", Interrupted),
    (1, "Fatal: unable to save snapshot: write /r/tmp: no space left on device", RepositoryFull),
    (1, "server response unexpected: 507 Insufficient Storage (507)", RepositoryFull),
    (1, "write /tmp/x/restic-temp-pack-12: no space left on device", ResticError),
    (1, 'Head "https://h/config": dial tcp 127.0.0.1:9: connect: connection refused', RepositoryUnreachable),
    (1, "Fatal: unable to open config file: Stat: context deadline exceeded", RepositoryUnreachable),
    (1, "unable to start the sftp session, error: error receiving version packet: EOF", RepositoryUnreachable),
    (1, "Host key verification failed.", RepositoryUnreachable),
    (1, 'Head "https://h/config": tls: failed to verify certificate: x509: signed by unknown authority', None),
    (1, "unexpected HTTP response (401): 401 Unauthorized", AccessDenied),
    (1, "Access Denied.", AccessDenied),
    (1, "Stat: The request signature we calculated does not match the signature you provided.", AccessDenied),
    (1, "root@127.0.0.1: Permission denied (publickey).", AccessDenied),
    (1, "Stat: The specified bucket does not exist", NoRepository),
    (1, "The Access Key Id you provided does not exist in our records.", AccessDenied),
    (1, "ciphertext verification failed", RepositoryDamaged),
    (1, "Fatal: repository contains errors", RepositoryDamaged),
    (1, "something that nobody has ever seen", ResticError),
    (99, "", ResticError),
    (-9, "", ResticError),
]


@pytest.mark.parametrize(("status", "line", "error"), ENDINGS, ids=[f"{code} {line[:40]}" for code, line, _ in ENDINGS])
def test_an_ending_has_one_meaning(status: int, line: str, error: type[ResticError] | None) -> None:
    found = failure.failure(status, [line] if line else [], doing="back up")

    assert type(found) is (error or RepositoryUnreachable)
    assert str(found).startswith("restic: back up: ")


def test_a_full_disk_is_the_volumes_when_restoring() -> None:
    found = failure.failure(1, ["write /data/a: no space left on device"], doing="restore", writes_to_volume=True)

    assert type(found) is TargetFull
    assert found.reason is Reason.TARGET_FULL


def test_a_full_temporary_folder_is_not_called_a_full_repository() -> None:
    found = failure.failure(1, ["write /tmp/x/restic-temp-pack-12: no space left on device"], doing="back up")

    assert found.reason is Reason.FAILED
    assert "ephemeral storage" in found.hint


def test_a_missing_repository_names_the_way_on() -> None:
    assert "dr-syncer volumes init" in failure.failure(10, [], doing="open the repository").hint


def test_a_backend_that_was_tried_in_vain_is_away_unless_it_says_more() -> None:
    head = "Stat(<config/>) returned error, retrying after 2.02s: "
    words = ("Stat: connection refused", "Stat: Access Denied", "Stat: The specified bucket does not exist")

    found = [failure.unreachable([head + word], doing="open the repository", seconds=2) for word in words]

    assert [type(error) for error in found] == [RepositoryUnreachable, AccessDenied, NoRepository]
    assert str(found[0]) == "restic: open the repository: given up after 2 s: Stat: connection refused"


def test_the_sentence_is_the_one_that_says_why() -> None:
    lines = [
        "Save(<data/1>) returned error, retrying after 1s: connection refused",
        "Fatal: unable to save snapshot: connection refused",
        "signal terminated received, cleaning up",
        "There were 3 errors",
    ]

    assert failure.sentence(lines) == "unable to save snapshot: connection refused"


def hear(*, out: bytes = b"", err: bytes = b"", size: int = 7) -> tuple[Outcome, list[Message]]:
    """Let a Hearing hear this, in small chunks."""
    messages: list[Message] = []
    outcome = Outcome("back up")
    hearing = Hearing(
        outcome,
        masked=lambda text: text.replace("pw", "***").strip(),
        listener=messages.append,
        into=None,
        tried=lambda line: messages.append({"tried": line}),
    )
    for stream, data in ((hearing.out, out), (hearing.err, err)):
        for start in range(0, len(data), size):
            stream(data[start : start + size])
    hearing.end()
    return outcome, messages


def test_messages_are_heard_one_by_one_whatever_the_chunks() -> None:
    outcome, messages = hear(out=b'{"message_type":"status","percent_done":0.5}\n{"message_type":"summary","a":1}\n')

    assert [message["message_type"] for message in messages] == ["status", "summary"]
    assert outcome.summary == {"message_type": "summary", "a": 1}


@pytest.mark.parametrize("stream", ["out", "err"])
def test_a_complaint_names_its_file_on_whatever_stream_it_comes(stream: str) -> None:
    line = b'{"message_type":"error","error":{"message":"open k: denied pw"},"during":"archival","item":"/data/k"}\n'
    outcome, _ = hear(**{stream: line})

    assert [(complaint.item, complaint.message) for complaint in outcome.complaints] == [
        ("/data/k", "open k: denied ***")
    ]
    assert outcome.complaints_total == 1


def test_what_could_not_be_counted_comes_by_again_and_is_not_told_twice() -> None:
    outcome, _ = hear(err=b'{"message_type":"error","error":{"message":"x"},"during":"scan","item":"/data/k"}\n')

    assert outcome.complaints_total == 0


def test_many_complaints_are_counted_and_not_all_kept() -> None:
    line = b'{"message_type":"error","error":{"message":"x"},"during":"archival","item":"k"}\n'
    outcome, _ = hear(err=line * 1500, size=1 << 16)

    assert outcome.complaints_total == 1500
    assert len(outcome.complaints) == 1000


def test_the_last_words_are_kept_without_secrets() -> None:
    outcome, _ = hear(err=b"".join(b"line %d pw\n" % number for number in range(40)) + b"the end")

    assert len(outcome.tail) == 25
    assert outcome.tail[0] == "line 16 ***"
    assert outcome.tail[-1] == "the end"


def test_the_exit_error_tells_why() -> None:
    outcome, _ = hear(
        err=b'{"message_type":"exit_error","code":12,"message":"Fatal: wrong password or no key found"}\n'
    )
    outcome.status = 12

    assert str(outcome.failed()) == "restic: back up: wrong password or no key found"


def test_tries_again_are_told() -> None:
    _, messages = hear(err=b"Save(<data/1>) returned error, retrying after 1s: connection refused\n")

    assert "retrying after" in messages[0]["tried"]


def test_output_that_nobody_listens_to_is_kept_or_written(tmp_path: Path) -> None:
    def hearing(into: io.BytesIO | None) -> Hearing:
        return Hearing(Outcome("dump"), masked=str, listener=None, into=into, tried=lambda _: None)

    kept, file = hearing(None), io.BytesIO()
    kept.out(b'{"a":1}')
    kept.end()
    written = hearing(file)
    written.out(b"\0\1")
    written.end()

    assert kept.outcome.out == b'{"a":1}'
    assert (written.outcome.out, file.getvalue()) == (b"", b"\0\1")


def test_a_file_that_is_refused_after_its_upload_was_cut_off_tells_nothing_of_credentials() -> None:
    cut = 'Save(<data/0f1e>) returned error, retrying after 720.25ms: Post "https://h/data/0f1e": write: broken pipe'
    refused = "Fatal: unable to save snapshot: unexpected HTTP response (403): 403 Forbidden"

    assert type(failure.failure(1, [cut, refused], doing="back up")) is RepositoryUnreachable
    assert type(failure.failure(1, [refused], doing="back up")) is AccessDenied
