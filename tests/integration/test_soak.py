"""A short soak: both services under churn and bad weather, then Git as the source, DR as Git, and nothing grown.

`make soak` is the long one.
"""

from __future__ import annotations

from pathlib import Path

from tests.cluster.control_plane import ControlPlane
from tests.soak.__main__ import lines
from tests.soak.scene import Plan, soak

SEED = 20_261_126
SLACK = 8  # threads, files: a poll that is under way


def test_after_churn_and_every_kind_of_trouble_all_is_where_it_belongs_and_nothing_has_grown(
    clean_source: ControlPlane, clean_dr: ControlPlane, tmp_path: Path
) -> None:
    plan = Plan(seconds=45.0, rate=15.0, pause=1.5, hang=2.0, interval="1s")
    report = soak(clean_source, clean_dr, tmp_path, plan=plan, seed=SEED, say=print)
    print("\n".join(lines(report)))
    assert report.missing == set()
    assert report.changes["applied"] + report.changes["deleted"] > 100
    for side, before in report.before.items():
        after = report.after[side]
        assert after.threads <= before.threads + SLACK, (before, after)
        assert after.files <= before.files + SLACK, (before, after)
