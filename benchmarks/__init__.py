"""Ratios of two things measured in one run, on one machine, on the same PostgreSQL and the same broker."""
