"""Which objects go into the recovery repository encrypted, and which of their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drsyncer.config.matches import to_match
from drsyncer.config.secrets import Secrets
from drsyncer.manifest import ObjectRef
from drsyncer.match import Match, Subject
from drsyncer.sops.scope import Scope, keys_named

SECRETS = "secrets"
DIGEST_KEY_SECRET = "dr-syncer-digest-key"  # noqa: S105 - its name
OF_SECRETS = keys_named("data", "stringData")


@dataclass(frozen=True, slots=True)
class Confidential:
    """The user's choice. `own` is the exporter's own Secret, which is never exported."""

    mode: str
    also: tuple[tuple[Match, Scope], ...]
    own: ObjectRef

    def rule(self, subject: Subject) -> tuple[str, Scope] | None:
        """Return the entry of the configuration that has this object encrypted, and its scope; None for no such."""
        for index, (match, scope) in enumerate(self.also):
            if match.matches(subject):
                return f"alsoEncrypt[{index}]", OF_SECRETS if subject.ref.type == SECRETS else scope
        return ("mode", OF_SECRETS) if subject.ref.type == SECRETS and self.mode == "encrypt" else None

    def unused(self, used: Sequence[str] | set[str]) -> list[str]:
        """Return the user's entries that were about no object, each with what it asks for."""
        names = ((f"alsoEncrypt[{index}]", match) for index, (match, _) in enumerate(self.also))
        return [f"{name} ({match})" for name, match in names if name not in used]


def confidential_of(secrets: Secrets) -> Confidential:
    """Return the choice that the configuration describes."""
    return Confidential(
        mode=secrets.mode,
        also=tuple((to_match(entry.match), keys_named(*entry.keys)) for entry in secrets.also_encrypt),
        own=ObjectRef(SECRETS, secrets.digest_key_namespace, DIGEST_KEY_SECRET),
    )
