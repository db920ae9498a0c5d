"""How events are kept: append, read, Merkle log, dead letters, migrations. The one place that writes the log."""
