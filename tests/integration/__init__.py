"""Tests against real control planes and real Git."""
