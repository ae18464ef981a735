"""Hooks: what an annotation asks for, where, and in which order commands run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from drsyncer.cluster.exec import Executed
from drsyncer.errors import ClusterUnreachable
from drsyncer.snapshot import State
from tests.unit.movers import complete
from volumes import hooks
from volumes.claims import User
from volumes.hooks import Hook, HookInvalid, Hooks, Thaw, asks_for_hooks, errands, odd_hooks, parse
from volumes.result import Reason, Result

PRE, POST = "dr-syncer.io/pre-backup", "dr-syncer.io/post-backup"


def user(name: str = "web", *, running: bool = True, **annotations: str) -> User:
    named = {f"dr-syncer.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return User("shop", name, f"uid-{name}", "n1", running, ("app", "db"), annotations=named)


def test_a_hook_is_a_command_or_all_that_can_be_said_of_one() -> None:
    assert parse('["sync"]', where="here") == Hook(("sync",))
    full = '{"command": ["sync"], "container": "db", "timeout": "2m", "onError": "continue"}'
    assert parse(full, where="here") == Hook(("sync",), "db", "2m", "continue")


@pytest.mark.parametrize(
    "text",
    [
        "sync",
        "[]",
        '[""]',
        "{}",
        '{"command": "sync"}',
        '{"command": ["sync"], "onError": "ignore"}',
        '{"command": ["sync"], "timeout": "soon"}',
        '{"command": ["sync"], "timeout": "0s"}',
        '{"command": ["sync"], "timeOut": "1s"}',
    ],
)
def test_what_is_no_hook_is_told_with_its_place(text: str) -> None:
    with pytest.raises(HookInvalid, match="here: "):
        parse(text, where="here")


def test_a_claims_hook_that_is_none_is_told_before_any_pod_runs_on_it() -> None:
    (said,) = odd_hooks("shop/data", {PRE: "pg_dump shop", POST: '["sync"]'})
    assert said.startswith(f"shop/data: annotation {PRE}: JSON is malformed")
    assert 'Expected a command as JSON, ["/bin/sh"' in said
    assert odd_hooks("shop/data", {PRE: '["sync"]'}) == odd_hooks("shop/data", {}) == []


def test_the_claims_hook_is_for_every_running_user_and_a_pods_own_goes_before() -> None:
    users = [user("a"), user("b", pre_backup='["own"]'), user("c", running=False)]

    found = errands(PRE, "shop/data", {PRE: '["claims"]'}, users)

    assert [(one.pod.name, one.container, one.hook.command) for one in found] == [
        ("a", "app", ("claims",)),
        ("b", "app", ("own",)),
    ]


def test_a_container_that_is_not_there_is_told() -> None:
    with pytest.raises(HookInvalid, match="no container 'gone'"):
        errands(PRE, "shop/data", {PRE: '{"command": ["sync"], "container": "gone"}'}, [user()])


def test_without_annotations_nothing_is_asked_for() -> None:
    assert not asks_for_hooks({}, [user()])
    assert asks_for_hooks({POST: "[]"}, [])
    assert asks_for_hooks({}, [user(pre_backup="[]")])


class Commands:
    """Stands for pods whose commands succeed, but for those that are called `fail`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        monkeypatch.setattr(hooks, "execute", self._execute)

    def _execute(self, _cluster: Any, *, pod: str, command: Sequence[str], **_: Any) -> Executed:
        self.said.append(f"{pod}: {command[0]}")
        return Executed(1 if command[0] == "fail" else 0, " ".join(command[1:]))


def _around(go: Any, *, pre: list[str], post: list[str], users: Sequence[User]) -> Result:
    annotations = {PRE: json.dumps(pre), POST: json.dumps(post)}
    return Hooks(None).around("shop/data", annotations, users, go)  # type: ignore[arg-type]


def test_commands_after_run_in_every_pod_whatever_became_of_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(monkeypatch)

    result = _around(lambda _: complete(), pre=["fail"], post=["thaw"], users=[user("a"), user("b")])

    assert (result.state, result.reason) == (State.FAILED, Reason.HOOK)
    assert commands.said == ["a: fail", "a: thaw", "b: thaw"]


def test_what_a_command_says_of_a_password_is_in_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    Commands(monkeypatch)
    said = "cannot reach mongodb://shop:hunter2@db:27017"

    result = _around(lambda _: complete(), pre=["fail", said], post=["thaw"], users=[user()])

    assert "cannot reach mongodb://" in result.message
    assert "hunter2" not in result.message


def test_commands_after_run_when_what_is_between_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(monkeypatch)

    def interrupted(_: Thaw) -> Result:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _around(interrupted, pre=["freeze"], post=["thaw"], users=[user()])

    assert commands.said == ["web: freeze", "web: thaw"]


def test_commands_after_run_once_as_soon_as_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(monkeypatch)

    def copied(thaw: Thaw) -> Result:
        thaw()
        commands.said.append("read the copy")
        return complete()

    assert _around(copied, pre=["freeze"], post=["thaw"], users=[user()]) == complete()
    assert commands.said == ["web: freeze", "web: thaw", "read the copy"]


def test_that_commands_after_are_due_is_noted_before_the_first_and_taken_back_after_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def said(post: str) -> list[str]:
        commands = Commands(monkeypatch)
        annotations = {PRE: '["freeze"]', **({POST: json.dumps([post])} if post else {})}

        def go(_: Thaw) -> Result:
            commands.said.append("read")
            return complete()

        around = Hooks(None).around  # type: ignore[arg-type]
        around("shop/data", annotations, [user()], go, note=lambda due: commands.said.append(f"due: {due}"))
        return commands.said

    assert said("thaw") == ["due: True", "web: freeze", "read", "web: thaw", "due: False"]
    assert said("fail") == ["due: True", "web: freeze", "read", "web: fail"]
    assert said("") == ["web: freeze", "read"]


def test_no_command_is_run_when_that_they_are_due_cannot_be_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(monkeypatch)

    def note(_: bool) -> None:
        raise ClusterUnreachable("no answer")

    with pytest.raises(ClusterUnreachable):
        Hooks(None).around(  # type: ignore[arg-type]
            "shop/data", {PRE: '["freeze"]', POST: '["thaw"]'}, [user()], lambda _: complete(), note=note
        )
    assert commands.said == []


def test_a_volume_whose_turn_comes_when_all_is_to_end_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(monkeypatch)
    hooks_ = Hooks(None, goes_on=lambda: False)  # type: ignore[arg-type]

    result = hooks_.around("shop/data", {PRE: '["freeze"]', POST: '["thaw"]'}, [user()], lambda _: complete())

    assert (result.state, result.reason, commands.said) == (State.FAILED, Reason.INTERRUPTED, [])


def test_a_workload_is_let_go_by_the_commands_after_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(monkeypatch)

    def let_go(post: str, *users: User) -> list[str] | None:
        return Hooks(None).let_go("shop/data", {PRE: '["freeze"]', POST: post}, users)  # type: ignore[arg-type]

    assert let_go('["thaw"]', user("a"), user("b")) == []
    assert commands.said == ["a: thaw", "b: thaw"]
    assert let_go('["thaw"]') is None
    (failed,) = let_go('["fail"]', user()) or []
    assert "exit code 1" in failed
    (invalid,) = let_go("thaw", user()) or []
    assert "Expected a command" in invalid


def test_a_whole_backup_stays_whole_when_a_command_after_fails_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    Commands(monkeypatch)

    result = _around(lambda _: complete(), pre=["freeze"], post=["fail"], users=[user()])

    assert (result.state, result.reason, result.snapshot) == (State.COMPLETE, Reason.HOOK, complete().snapshot)
    assert "post-backup hook in pod shop/web" in result.message
