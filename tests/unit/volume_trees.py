"""A folder with everything odd in it that a volume can hold, and ways to change one thing of it."""

from __future__ import annotations

import errno
import os
import socket
import struct
from pathlib import Path

LONG = b"n" * 255
NOT_UTF8 = b"caf\xe9 \xff\xfe"
NEWLINES = b"two\nlines\r\n\ttab \x1b[31m"
BACKSLASH = b"back\\x41slash\\"
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, rights, who)
    for tag, rights, who in (
        (0x01, 6, 0xFFFFFFFF),  # the owner
        (0x02, 4, 1234),  # a user by number
        (0x04, 4, 0xFFFFFFFF),  # the group
        (0x10, 4, 0xFFFFFFFF),  # the mask
        (0x20, 0, 0xFFFFFFFF),  # others
    )
)
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service=ep


def make_odd(root: Path) -> None:
    """Fill the empty folder `root`. As root, with other owners, devices, capabilities and `trusted.` attributes."""
    for name in (LONG, NOT_UTF8, NEWLINES, BACKSLASH, b"plain", b" ", b"-rf", b"a.b", b"a-b", "ünïcode 🦆".encode()):
        (root / os.fsdecode(name)).write_bytes(b"content of " + name)
        folder = root / os.fsdecode(b"d " + name[:200])
        folder.mkdir()
        (folder / "inside").write_bytes(name)
    (root / "empty-folder").mkdir(mode=0o2750)
    (root / "empty-file").touch()
    (root / "a").mkdir()
    (root / "a" / "child").write_text("sorted between a and a-b")
    (root / "large").write_bytes(bytes(range(256)) * 12_000)
    with (root / "sparse").open("wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"in the middle")
    (root / "linked").write_text("three names")
    (root / "a" / "linked-too").hardlink_to(root / "linked")
    (root / "zz-linked").hardlink_to(root / "linked")
    (root / "broken-link").symlink_to(os.fsdecode(b"nowhere/" + NOT_UTF8))
    (root / "link-to-folder").symlink_to("a")
    (root / "long-link").symlink_to("x" * 4000)
    os.mkfifo(root / "fifo", 0o640)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "socket"))
    (root / "setuid").write_text("#!/bin/true")
    (root / "setuid").chmod(0o4755)
    (root / "read-only").write_text("r")
    (root / "read-only").chmod(0o400)
    set_xattr(root / "plain", "user.comment", b"\x00binary\xff")
    set_xattr(root / "empty-folder", "user.of-a-folder", b"1")
    set_xattr(root / "plain", "system.posix_acl_access", ACL)
    set_xattr(root / "empty-folder", "system.posix_acl_default", ACL)
    if os.geteuid() == 0:
        _as_root(root)
    _deep(root / "deep", levels=60)
    os.utime(root / "a.b", ns=(0, 1))
    os.utime(root / "a-b", ns=(0, 1_234_567_890_123_456_789))
    os.utime(root / "broken-link", ns=(0, 987_654_321_987_654_321), follow_symlinks=False)
    os.utime(root / "empty-folder", ns=(0, 1_111_111_111_111_111_111))


def make_too_deep(root: Path, *, levels: int = 3000, name: str = "dd") -> None:
    """Make a tree below `root` whose paths are longer than the kernel takes in one piece (PATH_MAX)."""
    fd = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)


def remove_too_deep(root: Path, *, name: str = "dd") -> None:
    """Remove what `make_too_deep` made, from the bottom: shutil and pathlib cannot, in every version of Python."""
    fd = os.open(root, os.O_RDONLY)
    depth = 0
    while name in _names(fd):
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd, depth = below, depth + 1
    os.unlink("bottom", dir_fd=fd)
    for _ in range(depth):
        above = os.open("..", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = above
        os.rmdir(name, dir_fd=fd)
    os.close(fd)


def set_xattr(path: Path, name: str, value: bytes) -> bool:
    """Set an extended attribute where the file system has that kind; return whether it has."""
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EPERM):
            return False
        raise
    return True


def _as_root(root: Path) -> None:
    os.chown(root / "plain", 1000, 2000)
    os.chown(root / "empty-folder", 0, 4242)
    (root / "empty-folder").chmod(0o2750)
    os.chown(root / "broken-link", 7, 8, follow_symlinks=False)
    os.mknod(root / "zero", 0o20666, os.makedev(1, 5))
    os.mknod(root / "disk", 0o60660, os.makedev(250, 7))
    set_xattr(root / "setuid", "security.capability", CAPABILITY)
    set_xattr(root / "large", "trusted.overlay", b"y")


def _deep(folder: Path, *, levels: int) -> None:
    for level in range(levels):
        folder = folder / f"level-{level}-{'x' * 20}"
    folder.mkdir(parents=True)
    (folder / "bottom").write_text("deep")


def _names(fd: int) -> list[str]:
    return os.listdir(fd)
