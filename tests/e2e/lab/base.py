"""The base image for our own, where no registry is reachable: a minimal Debian.

Its packages come from the machine's own mirror. What certificates the machine's administrator added, such as a
company's, it trusts as well: without them pip reaches no registry from inside.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tests.e2e.lab.debian import bootstrap, unpacked
from tests.e2e.lab.docker import Docker
from tests.e2e.lab.private import build_privately, claim_memory
from tests.e2e.lab.steps import answer, digest, home

SUITE = "trixie"
STOCK_IMAGE = f"debian:{SUITE}-slim"
PACKAGES = ("ca-certificates",)
TRUSTED = Path("usr/local/share/ca-certificates")
# As Debian's slim images leave out what nobody reads in a container.
SLIM = "path-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\n"
TRIM = """
update-ca-certificates
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
"""


def base_image() -> str:
    """Return the name of the local base: another one for other certificates."""
    trusted = sorted((Path("/") / TRUSTED).glob("*.crt"))
    return f"dr-syncer-base:{SUITE}-{digest(Path(__file__).read_bytes(), *(file.read_bytes() for file in trusted))}"


def ensure_base(docker: Docker) -> str:
    """Return the name of a base image that is there: the one that was built here, or is now."""
    name = base_image()
    if not docker.has_image(name):
        build_privately("tests.e2e.lab.base", docker, title="base image")
    return name


def main(work: Path, docker: Path) -> int:
    """Build it below `work` and hand it to `docker`."""
    claim_memory(work)
    root = work / "root"
    bootstrap(root, suite=SUITE, packages=PACKAGES, tools=unpacked(), log=home() / "logs/debootstrap-base.log")
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(SLIM)
    for file in (Path("/") / TRUSTED).glob("*.crt"):
        shutil.copy(file, root / TRUSTED)
    answer(["chroot", root, "sh", "-euc", TRIM])
    Docker(docker).import_root(root, base_image())
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
