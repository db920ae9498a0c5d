"""What every process of ours has: signals and a deadline to stop, log lines, the metrics port."""
