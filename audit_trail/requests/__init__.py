"""Carries out what operators ask for on pages: a worker in `project` and one in `ingest`."""
