"""`python -m tests.capture`: see the package."""

from __future__ import annotations

import sys

from tests.capture import pairs, scene, types
from tests.capture.steady import steady
from tests.cluster.control_plane import ControlPlane


def main() -> None:
    """Capture everything anew."""
    with ControlPlane("capture") as cluster:
        found = steady(scene.play(cluster), authority=scene.certificate(cluster))
    pairs.write(found)
    sys.stdout.write(f"{len(found)} pairs in {pairs.FOLDER}\n")
    with ControlPlane("types", api_flags=types.EVERY_TYPE, controllers=False) as cluster:
        types.PAGE.write_text(types.page(cluster), encoding="utf-8")
    sys.stdout.write(f"{types.PAGE}\n")


if __name__ == "__main__":
    main()
