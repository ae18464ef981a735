"""What lies in the volume of the story, written and looked at inside pods.

    python3 odd_files.py write FOLDER       write files that backups get wrong
    python3 odd_files.py fill FOLDER        write very many small files, and a very large one that is nearly all hole
    python3 odd_files.py look FOLDER        print all that can be known of what is there, as one JSON document
    python3 odd_files.py sum FOLDER         print as much of each folder in FOLDER, in few words

No module of ours is used: it is the witness.
"""

import hashlib
import json
import os
import stat
import sys

DAY = 86400 * 10**9
FOLDERS, IN_EACH = 100, 1000  # of small files
HUGE = 5 * 2**30  # bytes
ACL = "system.posix_acl_access"
# rw for the owner, r for user 4242, no more than r for all named: as setfacl writes it.
_ENTRIES = ("01000600ffffffff", "0200040092100000", "04000400ffffffff", "10000400ffffffff", "20000000ffffffff")
ACL_VALUE = bytes.fromhex("".join(("02000000", *_ENTRIES)))


def write(root: bytes) -> None:
    """Write the files, newest edition last."""
    os.umask(0)
    plain = _file(root, b"plain.txt", b"the accounts of the shop\n", mode=0o640, owner=(10001, 10001))
    os.link(plain, os.path.join(root, b"hard link"))
    os.symlink(b"../nowhere/at all", os.path.join(root, b"dangling"))
    _file(root, b"new\nline", b"a name with a newline", mode=0o600, owner=(1234, 5678))
    _file(root, b"latin-1 \xe4\xf6\xfc", b"a name that is not UTF-8", mode=0o604, owner=(0, 0))
    _file(root, b"x" * 255, b"the longest name", mode=0o444, owner=(10001, 0))
    _file(root, b"set-id", b"#!/bin/false\n", mode=0o6755, owner=(10001, 10001))
    _file(root, b"nobody may read me", b"secret", mode=0o000, owner=(4321, 4321))
    os.mkdir(os.path.join(root, b"empty"), 0o2770)
    deep = root
    for level in range(40):
        deep = os.path.join(deep, b"level %d" % level)
        os.mkdir(deep, 0o755)
    _file(deep, b"bottom", b"deep down", mode=0o644, owner=(10001, 10001))
    sparse = os.path.join(root, b"sparse")
    with open(sparse, "wb") as file:
        file.seek(64 * 2**20)
        file.write(b"after a hole")
    _attributes(plain)
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            path = os.path.join(folder, name)
            os.utime(path, ns=(DAY, 12345 * DAY + 678901234), follow_symlinks=False)
        if folder != root:
            os.utime(folder, ns=(DAY, 11111 * DAY + 222222222))


def fill(root: bytes) -> None:
    """Write the many, with owners, modes and times of their own, and the large one."""
    os.umask(0)
    for folder in range(FOLDERS):
        path = os.path.join(root, b"folder-%02d" % folder)
        os.mkdir(path, 0o755)
        for number in range(IN_EACH):
            data = hashlib.sha256(b"%d/%d" % (folder, number)).digest() * (number % 40)
            file = _file(path, b"file-%03d" % number, data, mode=0o600 | number % 0o77, owner=(number % 9, folder % 7))
            os.utime(file, ns=(DAY, folder * DAY + number * 1_000_001))
    os.mkdir(os.path.join(root, b"large"))
    with open(os.path.join(root, b"large", b"image"), "wb") as image:
        image.truncate(HUGE)
        for place in (0, HUGE // 2 + 12345, HUGE - 2**20):
            image.seek(place)
            image.write(os.urandom(2**20))


def summary(root: bytes) -> list[list[object]]:
    """Return for each folder in `root` how many paths are in it, a hash of all about them, and the bytes on the disk.

    Those are told in steps of 64 MiB: how many it takes to keep the same data is the file system's business.
    """
    rows = []
    for name in sorted(os.listdir(root)):
        if name == b"lost+found":
            continue
        folder = os.path.join(root, name)
        own, found = os.lstat(folder), look(folder)
        stored = sum(os.lstat(os.path.join(folder, bytes.fromhex(str(row[0])))).st_blocks * 512 for row in found)
        told = hashlib.sha256(json.dumps([own.st_mode, own.st_uid, own.st_mtime_ns, found]).encode()).hexdigest()
        rows.append([name.hex(), len(found), told, stored // 2**26])
    return rows


def look(root: bytes) -> list[list[object]]:
    """Return one row for each path below `root`, in their order."""
    rows = []
    first: dict[tuple[int, int], str] = {}
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted([*folders, *names]):
            path = os.path.join(folder, name)
            shown = os.path.relpath(path, root).hex()
            found = os.lstat(path)
            same = first.setdefault((found.st_dev, found.st_ino), shown) if stat.S_ISREG(found.st_mode) else shown
            row: list[object] = [shown, found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, same]
            row.append(sorted((key, os.getxattr(path, key, follow_symlinks=False).hex()) for key in _names(path)))
            if stat.S_ISLNK(found.st_mode):
                row.append(os.readlink(path).hex())
            elif stat.S_ISREG(found.st_mode):
                with open(path, "rb") as file:
                    row.append([found.st_size, hashlib.file_digest(file, "sha256").hexdigest()])
                row.append(found.st_size > 2**20 and found.st_blocks * 512 < found.st_size // 2)  # has a hole
            rows.append(row)
    return sorted(rows, key=lambda row: str(row[0]))


def _file(root: bytes, name: bytes, data: bytes, *, mode: int, owner: tuple[int, int]) -> bytes:
    path = os.path.join(root, name)
    with open(path, "wb") as file:
        file.write(data)
    os.chown(path, *owner)
    os.chmod(path, mode)
    return path


def _attributes(path: bytes) -> None:
    """Write extended attributes, as far as the file system has them: the look tells which ones there are."""
    for name, value in (("user.shop", b"first\0edition"), (ACL, ACL_VALUE)):
        try:
            os.setxattr(path, name, value)
        except OSError as error:
            print(f"no {name} here: {error.strerror}", file=sys.stderr)


def _names(path: bytes) -> list[str]:
    return [name for name in os.listxattr(path, follow_symlinks=False) if not name.startswith("security.")]


if __name__ == "__main__":
    what, where = sys.argv[1], os.fsencode(sys.argv[2])
    if what in ("write", "fill"):
        {"write": write, "fill": fill}[what](where)
    else:
        print(json.dumps({"look": look, "sum": summary}[what](where)))
