"""Signed heads outside the database, where whoever rewrites the database can't reach them.

A head that was published binds the log: `forks` refuses to go on with a log that is not its continuation. `folder` and
`remote` are places to publish to; the Kafka topic is in `ingest`.
"""
