"""Verification: the log recomputed from its rows, and compared with everything that was sealed, signed or kept apart.

Nothing here writes. `run.verify` is the way in; `chunks` looks at ranges of events, in processes of their own; `tree`
puts their results together; `side_tables` and `structure` look at what stands around the events.
"""
