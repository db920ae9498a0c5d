"""Who asks, what they may do, and what they may see: pure rules, the same for every way in."""
