"""What the log is signed and verified with, and where its heads are kept, from the settings."""
