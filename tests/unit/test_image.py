"""The container image: what its Dockerfile promises, and the bill of materials that is put into it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = [ROOT / "Dockerfile", ROOT / "tests/e2e/git/Dockerfile"]


def instructions(file: Path) -> list[str]:
    """The instructions, each on one line, without comments."""
    text = "\n".join(line for line in file.read_text().splitlines() if not line.lstrip().startswith("#"))
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "image/sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.parent.name)
def test_the_classic_builder_understands_it(file: Path) -> None:
    for instruction in instructions(file):
        assert not re.match(r"RUN --|RUN <<|COPY --(?!from)|ADD --", instruction), instruction


def test_it_runs_the_command_itself_as_nobody_in_particular() -> None:
    last = instructions(ROOT / "Dockerfile")
    last = last[max(number for number, line in enumerate(last) if line.startswith("FROM ")) :]

    assert 'ENTRYPOINT ["dr-syncer"]' in last
    (user,) = [line for line in last if line.startswith("USER ")]
    assert re.fullmatch(r"USER [1-9]\d+:[1-9]\d+", user)


def test_every_package_of_ours_is_copied_and_let_through() -> None:
    packages = re.search(r"^packages = \[(.+)\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert packages is not None
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = instructions(ROOT / "Dockerfile")
    for name in re.findall(r'"(\w+)"', packages[1]):
        assert f"COPY {name} {name}" in copied
        assert f"!{name}" in ignored
    assert ignored.index("*") < min(ignored.index(line) for line in ignored if line.startswith("!"))


def test_debian_packages_are_named_as_scanners_look_for_them(sbom: ModuleType) -> None:
    line = "libc6\t2.41-12+deb13u1\tamd64\tGNU Libc Maintainers"

    found = sbom.debian_component(line, distribution="debian-13")

    assert found["purl"] == "pkg:deb/debian/libc6@2.41-12%2Bdeb13u1?arch=amd64&distro=debian-13"
    assert (found["name"], found["version"]) == ("libc6", "2.41-12+deb13u1")


def test_python_packages_are_named_as_scanners_look_for_them(sbom: ModuleType) -> None:
    found = sbom.python_component("ruamel.yaml", "0.19.1", license_="MIT")

    assert found["purl"] == "pkg:pypi/ruamel-yaml@0.19.1"
    assert found["licenses"] == [{"expression": "MIT"}]
    assert "licenses" not in sbom.python_component("click", "8.5.1", license_=None)


def test_the_same_image_has_the_same_bill(sbom: ModuleType) -> None:
    components = [sbom.python_component(name, "1", license_=None) for name in ("b", "a")]

    bill = sbom.bill(components, version="0.1.0")

    assert bill == sbom.bill(reversed(components), version="0.1.0")
    assert bill["serialNumber"] != sbom.bill(components[:1], version="0.1.0")["serialNumber"]
    assert [each["name"] for each in bill["components"]] == ["a", "b"]
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")


def test_the_distribution_is_read_from_os_release(sbom: ModuleType) -> None:
    assert sbom.distribution_of(sbom.read_os_release('# a comment\nID=debian\nVERSION_ID="13"\n')) == "debian-13"
    assert sbom.distribution_of({"ID": "debian"}) == "debian"
