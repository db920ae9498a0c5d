"""Cases and suppressions: event-sourced aggregates, whose events lie in the log beside all others."""
