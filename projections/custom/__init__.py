"""Custom projections: an analyst's file, checked, registered and run with its own rights."""
