"""A witness (C2SP tlog-witness): it cosigns tree heads of other parties and remembers the newest of each log."""
