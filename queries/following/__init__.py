"""What follows the log: the feed of everything that waits for new events."""
