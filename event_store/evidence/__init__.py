"""Evidence kits: chosen events with all that shows, offline and without this program, that they are in the log."""
