"""Query parameters that several REST routes share."""
