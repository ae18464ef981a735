"""What the API server said of an object, told on without the values of Secrets."""

from __future__ import annotations

import pytest

from drsyncer.errors import Invalid
from drsyncer.manifest import ObjectRef
from importer.apply import said

SECRET = ObjectRef("secrets", "shop", "pin")


@pytest.mark.parametrize(
    "message",
    [
        "apply: .stringData.pin: expected string, got &value.valueUnstructured{Value:12345}",
        'Secret "pin" is invalid: data[pin]: Invalid value: "12345": too long',
    ],
)
def test_a_secrets_value_is_never_told_on(message: str) -> None:
    assert "12345" not in said(Invalid(message), SECRET)
    assert "pin" in said(Invalid(message), SECRET)


def test_what_is_said_of_other_objects_is_told_as_it_is() -> None:
    message = 'spec.ports[0].port: Invalid value: "0": must be between 1 and 65535'
    assert said(Invalid(message), ObjectRef("services", "shop", "web")) == message
