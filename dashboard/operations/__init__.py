"""The state of the trail itself, dead letters, and the requests of operators."""
