"""Review campaigns: the commands, and who may give them."""
