"""The images that a node brings along, made of the programs that were built: kubeadm, kind and Corefile name them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.cluster.tools import kubernetes_version
from tests.e2e.lab.archive import Recipe, write_archive
from tests.e2e.lab.programs import program
from tests.e2e.lab.steps import answer

PROXY_PROGRAMS = ("sbin/xtables-nft-multi", "sbin/nft", "sbin/conntrack", "bin/dash", "bin/kmod")
PROXY_NAMES = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")
MERGED = ("bin", "sbin", "lib", "lib64")  # links into usr, as Debian has them
LIBRARY = re.compile(r"(/\S+\.so\S*)")


def write_images(folder: Path, *, node: Path, kind: Path, busybox: Path, architecture: str) -> None:
    """Write every image of a node as an archive into `folder`. `node`: the node's system, `kind`: kind's sources."""
    folder.mkdir()
    for number, recipe in enumerate(_recipes(folder / "roots", node=node, kind=kind, busybox=busybox)):
        write_archive(recipe, folder / f"{number}.tar", architecture=architecture)
    shutil.rmtree(folder / "roots")


def storage_manifest(kind: Path) -> str:
    """Return the manifest of the default StorageClass that kind's sources hold as Go, with the images in place."""
    source = (kind / "pkg/build/nodeimage/const_storage.go").read_text()
    constants = _constants(source)
    body = source.split("const defaultStorageManifest = `", 1)[1].rsplit("`", 1)[0]
    return re.sub(r"` \+ (\w+) \+ `", lambda found: constants[found[1]], body)


def pause_image() -> str:
    """Return the name of the image that holds a pod's namespaces, as kubeadm wants it."""
    return next(name for name in _kubeadm_images() if "/pause:" in name)


def _recipes(roots: Path, *, node: Path, kind: Path, busybox: Path) -> Iterator[Recipe]:
    for image in _kubeadm_images():
        name = image.rpartition("/")[2].partition(":")[0]
        if name == "kube-proxy":
            yield Recipe(image, _proxy_root(roots / name, node), entrypoint=("/usr/local/bin/kube-proxy",))
        else:
            yield _single(image, roots / name, program(name))
    constants = _constants((kind / "pkg/build/nodeimage/const_storage.go").read_text())
    provisioner = "local-path-provisioner"
    yield _single(constants["storageProvisionerImage"], roots / provisioner, program(provisioner))
    yield Recipe(constants["storageHelperImage"], _busybox_root(roots / "helper", busybox), command=("/bin/sh",))


def _kubeadm_images() -> list[str]:
    listed = answer([program("kubeadm"), "config", "images", "list", "--kubernetes-version", kubernetes_version()])
    return listed.split()


def _constants(source: str) -> dict[str, str]:
    return dict(re.findall(r'^const (\w+) = "([^"]+)"$', source, re.MULTILINE))


def _single(image: str, root: Path, binary: Path) -> Recipe:
    """An image of one static program."""
    place = root / "usr/local/bin" / binary.name
    place.parent.mkdir(parents=True)
    shutil.copy(binary, place)
    (root / "tmp").mkdir(mode=0o1777)
    return Recipe(image, root, entrypoint=(f"/usr/local/bin/{binary.name}",))


def _busybox_root(root: Path, busybox: Path) -> Path:
    (root / "bin").mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    for name in answer([busybox, "--list"]).split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    (root / "tmp").mkdir(mode=0o1777)
    return root


def _proxy_root(root: Path, node: Path) -> Path:
    """kube-proxy and what it calls, out of the node's own system."""
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    (root / "usr/local/bin").mkdir(parents=True)
    shutil.copy(program("kube-proxy"), root / "usr/local/bin")
    for name in PROXY_PROGRAMS:
        shutil.copy(node / "usr" / name, root / "usr" / name)
    for name in PROXY_NAMES:
        (root / "usr/sbin" / name).symlink_to("xtables-nft-multi")
    (root / "usr/bin/sh").symlink_to("dash")
    extensions = next((node / "usr/lib").glob("*-linux-gnu*/xtables"))
    shutil.copytree(extensions, root / extensions.relative_to(node), symlinks=True)
    # The extensions are loaded by name and have libraries of their own: without libm for `statistic`, every Service
    # with two endpoints fails, and nothing says why.
    extension_files = [file.relative_to(node / "usr") for file in extensions.glob("*.so")]
    for library in _libraries(node, [*map(Path, PROXY_PROGRAMS), *extension_files]):
        target = root / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy((node / library.lstrip("/")).resolve(), target)
    return root


def _libraries(node: Path, files: Iterable[Path]) -> set[str]:
    """The libraries, with their dynamic loader, of files below `usr` of the node."""
    script = 'for file in "$@"; do ldd "$file" || true; done'  # ldd complains about what is static
    said = answer(["chroot", node, "sh", "-c", script, "sh", *(f"/usr/{file}" for file in files)])
    found = (match[1] for line in said.splitlines() if (match := LIBRARY.search(line)))
    return {name.rstrip(":") for name in found if "/xtables/" not in name}
