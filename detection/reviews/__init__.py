"""Review campaigns (45 CFR 164.308(a)(1)(ii)(D)): people look at a sample of the log, or at all grants, and decide."""
