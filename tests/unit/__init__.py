"""Tests of pure functions; seconds for all of them."""
