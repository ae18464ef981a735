"""Templates in the values of rules: what may stand in one, and where it is rendered: in a confined process.

`language` says what is allowed, `worker` renders inside of a process of its own, `renderer` is the edge to it.
"""

from __future__ import annotations

# For one rendering, in the process that renders.
MOST_MEMORY = 256 * 1024 * 1024  # bytes of address space, what Python itself needs included
MOST_PROCESSOR = 1.0  # seconds, which the kernel rounds up to whole ones
MOST_CLOCK = 10.0  # seconds: many times more, since other processes want the processor, too


class TemplateFailed(Exception):
    """A template could not be rendered. The message follows "found" in a sentence and holds no value of an object."""
