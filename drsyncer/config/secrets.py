"""How confidential values travel: encrypted on the source side, decrypted on the DR side."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StrictStr, field_validator, model_validator

from drsyncer.config.match_spec import MatchSpec
from drsyncer.config.section import Kind, Section
from drsyncer.config.values import LocalPath, Namespace

_KEY_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}", re.ASCII)
# Without these no reader, DR-Syncer included, could tell what a file is before it is decrypted.
_NEVER_ENCRYPTED = frozenset({"apiVersion", "kind", "metadata", "name", "namespace", "labels", "annotations", "sops"})


def _public_key(text: str) -> str:
    from drsyncer.sops.age import recipient  # here: the library is loaded only where a key is written

    return recipient(text).text


def _key_name(text: str) -> str:
    if not _KEY_NAME.fullmatch(text) or text in _NEVER_ENCRYPTED:
        raise ValueError(
            "expected the name of a key such as spec or data; what names an object (apiVersion, kind, metadata and "
            "what is in it) stays readable"
        )
    return text


PublicKey = Annotated[StrictStr, Kind("an age or SSH public key", "age1…"), AfterValidator(_public_key)]
KeyName = Annotated[StrictStr, Kind("the name of a key", "data"), AfterValidator(_key_name)]


class AlsoEncrypt(Section):
    match: MatchSpec = Field(
        description="The objects that are encrypted like Secrets, such as ConfigMaps or custom resources.",
        examples=[{"types": ["configmaps"], "names": ["*-credentials"]}],
    )
    keys: tuple[KeyName, ...] = Field(
        default=("data", "binaryData", "spec"),
        min_length=1,
        description="Everything below a key of one of these names is encrypted, wherever in the object it stands.",
        examples=[["password", "token"]],
    )

    @field_validator("match")
    @classmethod
    def _never_everything(cls, match: MatchSpec) -> MatchSpec:
        if match.is_everything:
            raise ValueError(
                "names nothing, so it would encrypt every object; "
                "give types, namespaces, names, labels, namespaceLabels or annotations"
            )
        return match


class Secrets(Section):
    mode: Literal["encrypt", "omit", "plaintext"] = Field(
        default="encrypt",
        description="What becomes of Secrets: `encrypt` commits them encrypted in the format of SOPS, `omit` leaves "
        "them out, `plaintext` commits them readable for everybody who can read the repository.",
    )
    recipients: tuple[PublicKey, ...] = Field(
        default=(),
        description="encrypt: public keys, any one of whose private keys can decrypt: of age (age1…, made by "
        "`age-keygen`), or of SSH (ssh-ed25519 or ssh-rsa). Take a second one whose private key lies in a safe. "
        "Changing the list encrypts everything anew with the next export.",
        examples=[["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]],
    )
    also_encrypt: tuple[AlsoEncrypt, ...] = Field(
        default=(),
        description="Other objects to encrypt for the same recipients.",
        examples=[[{"match": {"types": ["configmaps"], "names": ["*-credentials"]}, "keys": ["data"]}]],
    )
    digest_key_file: LocalPath = Field(
        default="",
        description="File with the exporter's own key (at least 32 random bytes), by which it tells, without "
        "decrypting, that a Secret is unchanged. Left out: a Secret in the source cluster, made at first use.",
        examples=["/etc/dr-syncer/digest.key"],
    )
    digest_key_namespace: Namespace = Field(
        default="dr-syncer",
        description="Namespace in the source cluster of the Secret with that key, `dr-syncer-digest-key`.",
    )

    @model_validator(mode="after")
    def _for_somebody(self) -> Self:
        if len(set(self.recipients)) < len(self.recipients):
            raise ValueError("a recipient is here twice")
        if self.recipients or (self.mode != "encrypt" and not self.also_encrypt):
            return self
        if self.mode != "encrypt":
            raise ValueError("alsoEncrypt needs `recipients`: the public keys of those who may decrypt")
        raise ValueError(
            "nobody could decrypt: `recipients` is empty. Choose one: "
            "`recipients: [age1…]` encrypts Secrets for the public keys of those who may read them (`age-keygen -o "
            "dr.key` makes a pair, whose private part belongs to the DR side); "
            "`mode: omit` leaves Secrets out, so that the DR cluster must get them another way; "
            "`mode: plaintext` commits them readable for everybody who can read the repository"
        )


class Decryption(Section):
    age_key_file: LocalPath = Field(
        default="",
        description="File with the private keys that decrypt: age identities, one a line, or one SSH private key "
        "without passphrase. Left out: encrypted objects are reported as blocked.",
        examples=["/etc/dr-syncer/age.key"],
    )
