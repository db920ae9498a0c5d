"""Verification: recompute the log from its rows, and compare it with everything sealed, signed or stored elsewhere.

Nothing here writes. `run.verify` is the entry point. `chunks` checks ranges of events in separate processes, `tree`
combines their results, `side_tables` and `structure` check the other tables and the schema.
"""
