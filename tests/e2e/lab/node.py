"""The node image for kind, for machines that cannot pull the stock one: Debian, containerd and Kubernetes.

It is laid out as kind's own is, with kind's own files.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

from tests.cluster.tools import kubernetes_version
from tests.cluster.tools.go import module_folder
from tests.e2e.lab.control_plane_images import pause_image, storage_manifest, write_images
from tests.e2e.lab.debian import NODE_SUITE, architecture, bootstrap, unpacked
from tests.e2e.lab.docker import Docker
from tests.e2e.lab.private import build_privately, claim_memory
from tests.e2e.lab.programs import KIND_MODULE, described, program
from tests.e2e.lab.steps import answer, digest, home

NAME = "kindest/node"
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "util-linux", "mount", "kmod", "procps", "bash", "libseccomp2"),
    *("conntrack", "ethtool", "iproute2", "iptables", "iputils-ping", "nftables", "socat"),
    *("ca-certificates", "containernetworking-plugins", "curl", "e2fsprogs", "jq", "pigz", "runc"),
)
CNI_PLUGINS = ("host-local", "loopback", "portmap", "ptp")
# kindnetd is in no registry of modules. One node needs no routes to others, so a file does: the range is what the
# controller manager gives the first node.
CNI = {
    "cniVersion": "0.3.1",
    "name": "lab",
    "plugins": [
        {
            "type": "ptp",
            "ipMasq": True,
            "mtu": 1400,
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/cni-ipam-state",
                "routes": [{"dst": "0.0.0.0/0"}],
                "ranges": [[{"subnet": "10.244.0.0/24"}]],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}
# As in the Dockerfile of kind's base image: systemd of a container starts what a node needs, and nothing else.
TRIM = """
rm -f /lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service
rm -f /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/*
rm -f /lib/systemd/system/local-fs.target.wants/* /lib/systemd/system/basic.target.wants/*
rm -f /lib/systemd/system/sockets.target.wants/*udev* /lib/systemd/system/sockets.target.wants/*initctl*
echo ReadKMsg=no >> /etc/systemd/journald.conf
ln -sf /usr/lib/systemd/systemd /sbin/init
systemctl enable kubelet.service containerd.service undo-mount-hacks.service
systemctl mask systemd-binfmt.service
ctr oci spec | jq '.hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
    > /etc/containerd/cri-base.json
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /usr/share/doc /usr/share/man /usr/share/locale
"""
# The image's own containerd takes the images in, so that a node starts without unpacking archives.
PRELOAD = """
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
containerd >/run/containerd.log 2>&1 &
tries=0
until ctr version >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ $tries -gt 300 ]; then cat /run/containerd.log; exit 1; fi
    sleep 0.2
done
for archive in /preload/*.tar; do
    ctr --namespace k8s.io images import --label=io.cri-containerd.pinned=pinned --all-platforms --no-unpack --digests \
        "$archive"
done
kill %1
wait
"""
CHANGES = (
    'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]',
    "ENV container=docker",
    "STOPSIGNAL SIGRTMIN+3",
    "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
)


def node_image() -> str:
    """Return the name of the image: another one for other programs, other packages or another recipe."""
    recipe = b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in ("node", "control_plane_images"))
    return f"{NAME}:dr-syncer-{digest(described(), recipe)}"


def build_node_image(docker: Docker) -> None:
    """Build the image into this Docker, with signs of life."""
    build_privately("tests.e2e.lab.node", docker, title="node image")


def outdated_images(docker: Docker) -> list[str]:
    """Return the images of other recipes that this Docker still has: a gigabyte each."""
    known = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", NAME).split()
    return [name for name in known if name.startswith(f"{NAME}:dr-syncer-") and name != node_image()]


def main(work: Path, docker: Path) -> int:
    """Build the image below `work` and hand it to `docker`."""
    claim_memory(work)
    root, images = work / "root", work / "images"
    tools = unpacked()
    bootstrap(root, suite=NODE_SUITE, packages=PACKAGES, tools=tools, log=home() / "logs/debootstrap.log")
    kind = module_folder("sigs.k8s.io/kind", required_by=KIND_MODULE)
    _furnish(root, kind)
    answer(["chroot", root, "bash", "-euxc", TRIM])
    write_images(images, node=root, kind=kind, busybox=tools.host / "bin/busybox", architecture=architecture())
    _preload(root, images)
    Docker(docker).import_root(root, node_image(), changes=CHANGES)
    return 0


def _furnish(root: Path, kind: Path) -> None:
    """Lay kind's own files and the programs where kind's image has them."""
    shutil.copytree(kind / "images/base/files", root, dirs_exist_ok=True, copy_function=_copy_file)
    for folder in ("kind/manifests", "etc/kubernetes/manifests", "etc/cni/net.d", "opt/cni/bin"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in ("containerd", "ctr", "containerd-shim-runc-v2", "crictl"):
        _install(program(name), root / "usr/local/bin" / name)
    for name in ("kubeadm", "kubelet", "kubectl"):
        _install(program(name), root / "usr/bin" / name)
    for name in CNI_PLUGINS:
        _install(root / "usr/lib/cni" / name, root / "opt/cni/bin" / name)
    config = root / "etc/containerd/config.toml"
    sandbox = f'sandbox_image = "{pause_image()}"'
    config.write_text(re.sub(r'^( *)sandbox_image = ".*"$', rf"\g<1>{sandbox}", config.read_text(), flags=re.MULTILINE))
    (root / "kind/version").write_text(kubernetes_version())
    (root / "kind/manifests/default-storage.yaml").write_text(storage_manifest(kind))
    (root / "etc/cni/net.d/10-lab.conflist").write_text(json.dumps(CNI, indent=1))


def _copy_file(source: str, target: str) -> str:
    """Modules come without modes: what is a script is to be run."""
    shutil.copyfile(source, target)
    with Path(source).open("rb") as stream:
        Path(target).chmod(0o755 if stream.read(2) == b"#!" else 0o644)
    return target


def _install(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o755)


def _preload(root: Path, images: Path) -> None:
    preload = root / "preload"
    preload.mkdir()
    answer(["mount", "--bind", images, preload])
    # Its own processes and network: nothing of this containerd can stay behind, or be seen from elsewhere. The root is
    # bound onto itself, since containerd looks its folders up among the mounts.
    script = 'mount --rbind "$1" "$1" && exec chroot "$1" bash -euc "$2"'
    inside: list[str | Path] = ["sh", "-c", script, "sh", root, PRELOAD]
    answer(["unshare", "--fork", "--kill-child", "--pid", "--mount", "--net", "--", *inside], timeout=600)
    answer(["umount", preload])
    preload.rmdir()


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
