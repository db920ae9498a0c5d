"""Custom projections: an analyst's file, checked, registered and run with rights of its own."""
