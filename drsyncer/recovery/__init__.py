"""The recovery repository: where each object's file lies, what a commit says, and the one place that runs git.

`layout`, `identity`, `message` and `heartbeat` are the formats, pure functions all. `git` is the edge: its `Clone`
is all that the exporter and the importer need to know of git.
"""
