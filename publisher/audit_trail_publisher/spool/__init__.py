"""The spool: events on the disk of this machine, until the trail has them."""
