"""The types of the schema."""
