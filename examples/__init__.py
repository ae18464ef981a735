"""A sample shop, sample configurations, and a demonstration that recovers the one with the other."""
