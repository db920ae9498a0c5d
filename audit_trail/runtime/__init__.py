"""Shared by all processes: signals and a deadline to stop, logs, the metrics port."""
