"""A witness (C2SP tlog-witness): it cosigns other parties' tree heads and remembers each."""
