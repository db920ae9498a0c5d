"""Files in folders that others may write to: no planted link, pipe or device is followed."""
