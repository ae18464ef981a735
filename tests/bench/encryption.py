"""What encryption costs per Secret: of those that changed, and of those that did not. One core, no cluster, no Git."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pyrage

from drsyncer.manifest import Manifest, ObjectRef
from drsyncer.sops import age, document
from drsyncer.yaml.emit import emit
from drsyncer.yaml.read import read
from exporter.confidential import OF_SECRETS
from exporter.filing import Filed
from exporter.sealing import Sealing
from tests.bench.report import Figure, median
from tests.cluster.tools import find

_SECONDS = 3.0  # of measuring, per figure
_SECRETS = 200
_RECIPIENTS = 2


def measure(folder: Path, *, rounds: int) -> list[Figure]:
    """Return what the two sides do per second with Secrets of three values for two recipients, beside sops itself."""
    keys = [pyrage.x25519.Identity.generate() for _ in range(_RECIPIENTS)]
    names = [str(key.to_public()) for key in keys]
    file = folder / "age.key"
    file.write_text(f"{keys[0]}\n")
    identities = age.load(str(file))
    sealing = Sealing(recipients=names, key=lambda: b"k" * 32)
    filed = [_filed(number) for number in range(_SECRETS)]
    sealed = [sealing.seal(one, OF_SECRETS) for one in filed]

    def encrypt() -> None:
        for one in filed:
            sealing.seal(one, OF_SECRETS)

    def keep() -> None:
        for one, content in zip(filed, sealed, strict=True):
            assert sealing.keeps(content, one, OF_SECRETS)

    def decrypt() -> None:
        for content in sealed:
            document.decrypt(content, read(content, file="f"), file="f", identities=identities)

    plain, coded = folder / "plain.yaml", folder / "coded.yaml"
    plain.write_bytes(emit(filed[0].manifest))
    coded.write_bytes(sealed[0])
    sops = str(find("sops"))
    encrypting = [sops, "encrypt", "--age", ",".join(names), "--encrypted-regex", OF_SECRETS.text, str(plain)]
    return [
        _figure(f"encrypt a changed Secret for {_RECIPIENTS} recipients", encrypt, encrypting, file, rounds),
        _figure("decrypt and check a Secret", decrypt, [sops, "decrypt", str(coded)], file, rounds),
        _figure("see that a Secret is unchanged", keep, None, file, rounds),
    ]


def _figure(what: str, work: Callable[[], None], beside: list[str] | None, key: Path, rounds: int) -> Figure:
    work()
    turns, begun = 0, time.process_time()
    while (spent := time.process_time() - begun) < _SECONDS:
        work()
        turns += 1
    ours = spent / (turns * _SECRETS)
    shown = f"{1000 * ours:.2f} ms ({1 / ours:,.0f}/s)"
    if beside is None:
        return Figure(f"one core: {what}", shown, raw={"seconds_each": [ours]})
    theirs = [_run(beside, key) for _ in range(rounds)]
    ratio = f"{median(theirs) / ours:.0f} times as fast"
    return Figure(
        f"one core: {what}",
        shown,
        f"sops, a process per file: {1000 * median(theirs):.0f} ms",
        ratio,
        raw={"seconds_each": [ours], "sops_seconds_each": theirs},
    )


def _run(command: list[str], key: Path) -> float:
    begun = time.monotonic()
    env = {"PATH": os.environ["PATH"], "HOME": str(key.parent), "SOPS_AGE_KEY_FILE": str(key)}
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=60)
    return time.monotonic() - begun


def _filed(number: int) -> Filed:
    data = {name: base64.b64encode(secrets.token_bytes(24)).decode() for name in ("username", "password", "token")}
    meta = {"name": f"secret-{number}", "namespace": "shop", "labels": {"app": "shop"}}
    manifest: Manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "data": data}
    ref = ObjectRef("secrets", "shop", f"secret-{number}")
    return Filed(ref, f"namespaces/shop/secrets/secret-{number}.yaml", b"", manifest, [], (), OF_SECRETS)
