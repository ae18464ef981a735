"""Memory that a service which runs for months gives back.

glibc gives every few threads a heap of their own, and keeps in each what was freed in the middle of it: with a thread
per watched type, a service would grow for hours after every full look at the cluster, although nothing leaks. See
mallopt(3), M_ARENA_MAX, and malloc_trim(3). With another libc nothing is done: musl has one heap.
"""

from __future__ import annotations

import ctypes
import gc
from typing import Final

_M_ARENA_MAX: Final = -8
# The threads of a service take turns anyway: Python lets one of them run at a time.
_ARENAS: Final = 2


def keep_heaps_few() -> None:
    """Let all threads that begin from now on share a few heaps."""
    if libc := _libc():
        libc.mallopt(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Free what is unreachable, and hand the free memory of all heaps to the system. It takes milliseconds."""
    gc.collect()
    if libc := _libc():
        libc.malloc_trim(0)


def _libc() -> ctypes.CDLL | None:
    """Return glibc, None where the program runs on something else."""
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None
