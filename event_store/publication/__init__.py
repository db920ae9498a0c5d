"""Publish signed heads outside the database, out of reach of those who can rewrite the database.

A published head binds the log: `forks` refuses a log that does not continue it. `folder` and `remote` are destinations;
the Kafka topic is in `ingest`.
"""
