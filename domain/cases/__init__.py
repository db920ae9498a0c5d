"""What people do about cases and suppressions: the commands, and who may give them."""
