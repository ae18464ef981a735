"""Templates in the values of rules: what may stand in one, and where it is rendered: in a confined process.

`language` says what is allowed, `worker` renders inside of a process of its own, `renderer` is the edge to it.
"""

from __future__ import annotations


class TemplateFailed(Exception):
    """A template could not be rendered. The message follows "found" in a sentence and holds no value of an object."""
