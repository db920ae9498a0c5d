"""Exports: all matching events, or all rows of a read model, in one snapshot."""
