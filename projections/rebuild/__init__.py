"""Rebuild a projection beside its live build: load in parallel, finish, catch up, switch."""
