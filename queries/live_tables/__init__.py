"""Rows of any live projection's tables, filtered by column and paged by key."""
