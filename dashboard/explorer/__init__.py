"""The list of events: its address, columns, people, the views that are kept of it, and what it offers."""
