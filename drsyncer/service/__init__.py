"""What the two long-running services share: when to work, how to wait, and how to be seen."""
