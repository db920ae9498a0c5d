"""The event store: append, read, Merkle log, dead letters, migrations. The only package that writes the log."""
