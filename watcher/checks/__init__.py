"""The checks, one module for each kind. None raises for a target that is away: that is what it finds."""
