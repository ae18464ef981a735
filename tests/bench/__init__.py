"""Measurements against what one would use instead, side by side on the same servers: `python -m tests.bench`.

No test ever asserts a time, and neither does this: what is checked here is only that both sides did the same work.
"""
