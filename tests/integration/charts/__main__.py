"""`python -m tests.integration.charts`: write the golden files anew. Read the difference before you commit it."""

from __future__ import annotations

from tests.integration.charts import SETTINGS, SIDES, golden_file, text, values

for side in SIDES:
    for setting in SETTINGS:
        golden_file(side, setting).write_text(text(side, values(side, setting)))
