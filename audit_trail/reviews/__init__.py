"""Carries out commands about reviews: a worker in `ingest`, which alone may append."""
