"""Read models: the projectors that write them, the runner that drives the projectors, and the queries on top."""
