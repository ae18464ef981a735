"""Both services for as long as one likes, under churn and on bad days: `python -m tests.soak --minutes 30`."""
