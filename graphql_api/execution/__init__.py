"""Execution of queries: parsing, limits, cost, compiled selections and the executor."""
