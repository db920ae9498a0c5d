"""Carries out commands about cases and puts alerts into cases: a worker in `ingest`, which alone may append."""
