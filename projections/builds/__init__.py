"""Builds of a projection: locks, digests, operator actions and the switch of the live build."""
