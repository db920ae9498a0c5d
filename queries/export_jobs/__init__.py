"""Exports as jobs: files that are made in the background and kept for their owner, for some time."""
