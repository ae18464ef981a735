"""`python -m charts`: write the generated files of the charts anew. `--check` only says which ones are out of date."""

from __future__ import annotations

import argparse
import sys

from charts.generated import files


def main() -> int:
    """Write what differs, or with `--check` only name it. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m charts", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when something is out of date")
    check = parser.parse_args().check
    stale = {path: data for path, data in files().items() if not path.exists() or path.read_bytes() != data}
    for path, data in sorted(stale.items()):
        print(path, flush=True)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
