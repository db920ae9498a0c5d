"""What an audit event is and what may be done with it. Pure: no I/O."""
