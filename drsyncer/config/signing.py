"""Signed commits: whose key signs them, and whose signatures count."""

from __future__ import annotations

from pydantic import Field

from drsyncer.config.section import Section
from drsyncer.config.values import LocalPath


class Signing(Section):
    key_file: LocalPath = Field(
        default="",
        description="Exporter: file with the SSH private key, without a passphrase, that signs the commits and the "
        "heartbeat. Left out: they are not signed.",
        examples=["/etc/dr-syncer/signing/id_ed25519"],
    )


class Verify(Section):
    allowed_signers_file: LocalPath = Field(
        default="",
        description="Importer: file with the SSH public keys whose signatures count, in the format of ssh-keygen(1), "
        "ALLOWED SIGNERS. A recovery point that none of them signed is refused. Left out: signatures are not looked "
        "at.",
        examples=["/etc/dr-syncer/allowed_signers"],
    )
