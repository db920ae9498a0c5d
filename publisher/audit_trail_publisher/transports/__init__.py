"""How events get from the spool, or from the outbox, to the trail."""
