"""The write side of the read models: tables, projectors, and the runner that drives them."""
