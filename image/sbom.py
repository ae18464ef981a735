"""Print what this image is made of as a CycloneDX bill of materials: Debian's packages and Python's.

Runs inside the image, with its own Python and nothing but the standard library. Buildx can attach a bill to an image
that is pushed; this one is inside of every image, however it was built, and names the exact versions that it runs.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

NAME = "dr-syncer"
DPKG_FORMAT = "${Package}\t${Version}\t${Architecture}\t${Maintainer}\n"
OS_RELEASE = Path("/etc/os-release")

Component = dict[str, Any]


def debian_component(line: str, *, distribution: str) -> Component:
    """Return the component for one line of dpkg-query in `DPKG_FORMAT`. `distribution`: such as `debian-13`."""
    name, version, architecture, maintainer = line.split("\t")
    vendor = distribution.partition("-")[0]
    purl = f"pkg:deb/{vendor}/{quote(name)}@{quote(version)}?arch={architecture}&distro={distribution}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "supplier": {"name": maintainer},
    }


def python_component(name: str, version: str, *, license_: str | None) -> Component:
    """Return the component for one Python distribution; `license_` is an SPDX expression where the package has one."""
    normal = name.lower().replace("_", "-").replace(".", "-")
    purl = f"pkg:pypi/{quote(normal)}@{quote(version)}"
    component: Component = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    return {**component, "licenses": [{"expression": license_}]} if license_ else component


def license_of(distribution: importlib.metadata.Distribution) -> str | None:
    """Return the SPDX expression that a distribution states (PEP 639), None when it has none."""
    return next(iter(distribution.metadata.get_all("License-Expression") or []), None)


def bill(components: Iterable[Component], *, version: str) -> Component:
    """Return the whole document. The same components give the same document, its serial number included."""
    listed = sorted(components, key=lambda component: component["bom-ref"])
    described = json.dumps(listed, sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, described)}",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": NAME, "name": NAME, "version": version}},
        "components": listed,
    }


def distribution_of(os_release: Mapping[str, str]) -> str:
    """Return what package URLs call this system, such as `debian-13`; without a version (sid) its name alone."""
    return "-".join(part for part in (os_release.get("ID", "debian"), os_release.get("VERSION_ID", "")) if part)


def read_os_release(text: str) -> dict[str, str]:
    """Return the assignments of os-release(5)."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name: value.strip("\"'") for name, _, value in pairs}


def main() -> int:
    """Print the bill of the image that this runs in."""
    listed = subprocess.run(
        ["dpkg-query", "--show", f"--showformat={DPKG_FORMAT}"], capture_output=True, text=True, check=True
    )
    distribution = distribution_of(read_os_release(OS_RELEASE.read_text()))
    components = [debian_component(line, distribution=distribution) for line in listed.stdout.splitlines()]
    found = {each.name: each for each in importlib.metadata.distributions()}
    own = found.pop(NAME)
    components += [python_component(name, each.version, license_=license_of(each)) for name, each in found.items()]
    json.dump(bill(components, version=own.version), sys.stdout, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
