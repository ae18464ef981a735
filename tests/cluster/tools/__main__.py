"""`python -m tests.cluster.tools`: have every program that the test clusters need."""

from __future__ import annotations

import sys

from tests.cluster.tools import PROGRAMS, ToolMissing, find
from tests.cluster.tools.build import BuildFailed, build_missing
from tests.cluster.tools.restic import get_restic


def main() -> int:
    """Build what is missing, then say where each program is. Returns the exit code."""
    try:
        build_missing()
        for program in PROGRAMS:
            print(f"{program.name}: {find(program.name)}", flush=True)
        print(f"restic: {get_restic()}", flush=True)
    except (ToolMissing, BuildFailed) as error:
        print(f"tools: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ntools: interrupted; what is finished stays, the next run goes on from there", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
