"""When the sides work and where they listen: what the file may say, and the line of what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from drsyncer.config.load import parse
from drsyncer.config.schema import Config
from drsyncer.errors import ConfigurationError

HEAD = "apiVersion: dr-syncer.io/v1\nrepository: {url: /srv/git}\n"


def read(text: str) -> Config:
    return parse((HEAD + text).encode(), file="f", folder=Path("/"))


def test_both_sides_are_continuous_and_listen_to_this_machine_alone_by_default() -> None:
    config = read("importer: {cluster: dr}\nexporter: {cluster: prod, secrets: {mode: omit}}")
    assert config.importer is not None
    assert config.exporter is not None
    assert (config.importer.mode, config.exporter.mode) == ("continuous", "continuous")
    assert (config.importer.interval, config.importer.drift.interval, config.importer.audit_interval) == (
        30,
        300,
        86_400,
    )
    assert config.importer.drift.mode == "correct"
    assert (config.server.address, config.server.port, config.server.leader_election) == ("127.0.0.1", 8080, False)
    assert (config.server.webhook.secret_file, config.server.webhook.path) == ("", "/webhook")


@pytest.mark.parametrize("side", ["importer: {cluster: dr, ", "exporter: {cluster: prod, secrets: {mode: omit}, "])
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schedule", '"*/15 * * *"', "expected a cron expression of five fields"),
        ("schedule", '"61 * * * *"', "expected a cron expression such as"),
        ("schedule", '"0 0 30 2 *"', "expected a cron expression such as"),
        ("schedule", "15", "expected a cron expression"),
        ("timezone", "Europe/Atlantis", "expected the name of a time zone"),
        ("timezone", "../../etc/passwd", "expected the name of a time zone"),
        ("mode", "sometimes", "expected one of continuous, scheduled, manual"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_found_when_it_is_read(side: str, key: str, value: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        read(f"{side}\n  {key}: {value}\n}}")
    (fault,) = error.value.faults
    assert (fault.line, fault.path) == (4, f"{side.partition(':')[0]}.{key}")
    assert message in fault.message


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("address: localhost", "server.address"),
        ("address: 1.2.3", "server.address"),
        ("port: 0", "server.port"),
        ("port: 65536", "server.port"),
        ("webhook: {path: hook}", "server.webhook.path"),
        ("webhook: {path: /}", "server.webhook.path"),
        ("webhook: {path: '/a?b'}", "server.webhook.path"),
        ("webhook: {path: /metrics}", "server.webhook.path"),
        ("webhook: {secret: abc}", "server.webhook.secret"),
    ],
)
def test_a_server_that_cannot_be_is_refused(text: str, path: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        read(f"server:\n  {text}")
    assert [(fault.line, fault.path) for fault in error.value.faults] == [(4, path)]


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "::1", "10.0.0.7"])
def test_it_listens_at_any_address_of_the_machine(address: str) -> None:
    assert read(f"server: {{address: '{address}'}}").server.address == address
