"""The process in which templates are rendered: bounded in memory, processor time and clock time, and with nothing open.

`drsyncer.templates.renderer` starts it. It answers one request at a time: a frame of four bytes of length and JSON in,
the same out. It ends when its input ends, so it never outlives the process that started it by more than one rendering.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import signal
import struct
import sys
import time
from typing import Any

from drsyncer.templates import MOST_CLOCK, MOST_MEMORY, MOST_PROCESSOR

READY = b"ready\n"
OUT_OF_MEMORY = 3  # exit status: what memory looks like after that is nobody's guess
_REHEARSAL = (
    "{% if 'a' == 'b' %}{% else %}{{ ('a' ~ 1.5) | replace('a', 'é') }}{{ object.x is defined }}{% endif %}",
    "{{ object.x }}",
    "{{ object < 1 }}",
    "{{ (",
)
_HEAD = struct.Struct(">I")


def frame(data: bytes) -> bytes:
    """Return `data` with its length before it."""
    return _HEAD.pack(len(data)) + data


def length_of(head: bytes) -> int:
    """Return the length that the first four bytes of a frame tell."""
    return int(_HEAD.unpack(head)[0])


HEAD = _HEAD.size


def serve() -> int:
    """Answer requests from stdin on stdout until there are no more. Returns the exit status."""
    from drsyncer.templates import TemplateFailed
    from drsyncer.templates.language import NotAllowed
    from drsyncer.templates.rendering import Renderer

    renderer = Renderer()
    # What Python loads when it is first needed must be here before no file can be opened any more.
    for text in _REHEARSAL:
        with contextlib.suppress(TemplateFailed, NotAllowed):
            renderer.render(text, {"object": {}})
    _confine()
    os.write(1, READY)
    while (request := _next()) is not None:
        _limit()
        try:
            answer = {"text": renderer.render(request["template"], request["variables"])}
        except (TemplateFailed, NotAllowed) as error:
            answer = {"failed": str(error)}
        except MemoryError:
            return OUT_OF_MEMORY
        signal.setitimer(signal.ITIMER_REAL, 0)
        data = frame(json.dumps(answer).encode())
        while data:
            data = data[os.write(1, data) :]
    return 0


def _next() -> dict[str, Any] | None:
    head = _read(HEAD)
    if head is None:
        return None
    data = _read(length_of(head))
    return None if data is None else json.loads(data)


def _read(size: int) -> bytes | None:
    """Return `size` bytes of stdin, None when it ends before."""
    gathered = bytearray()
    while len(gathered) < size:
        chunk = os.read(0, min(size - len(gathered), 1 << 20))
        if not chunk:
            return None
        gathered += chunk
    return bytes(gathered)


def _confine() -> None:
    """Give up whatever rendering does not need, for good."""
    # Where a system does not know a limit (macOS: memory), the clock still ends a rendering.
    for which, most in (
        (resource.RLIMIT_AS, MOST_MEMORY),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 3),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(which, (most, most))


def _limit() -> None:
    """Set the limits of the next rendering. Both signals end the process, whatever it is doing."""
    used = time.process_time()
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used + MOST_PROCESSOR), hard))
    signal.setitimer(signal.ITIMER_REAL, MOST_CLOCK)


if __name__ == "__main__":
    sys.exit(serve())
