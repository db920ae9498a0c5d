"""Detection as a projection: the rules that count at each position of the log, and the alerts that they raise."""
