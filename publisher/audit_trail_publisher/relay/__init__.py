"""The thread that sends what waits in the spool, or in the outbox, to the trail."""
