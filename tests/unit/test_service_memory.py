"""What a service gives back of the memory that a big piece of work took."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Small pieces, of which a few stay: what is between them is free, and the heap that they are in keeps it.
PROGRAM = """
import ctypes, sys
from drsyncer.service import memory

libc = ctypes.CDLL(None)
if not hasattr(libc, "malloc_trim"):
    sys.exit(77)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]

def resident():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * 4096

memory.keep_heaps_few()
pieces = [libc.malloc(8192) for _ in range(10_000)]
for piece in pieces:
    ctypes.memset(piece, 1, 8192)
for index, piece in enumerate(pieces):
    if index % 100:
        libc.free(piece)
before = resident()
memory.give_back()
print(before - resident())
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells how much memory a process has")
def test_what_is_free_in_the_middle_of_a_heap_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("the C library is not glibc")

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40 * 2**20, "of 79 MiB that are free"
