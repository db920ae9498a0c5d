"""Evidence kits: selected events with an offline proof that they are in the log, verifiable without this program."""
