"""The filter of events: conditions declared once as data, checked, as SQL, and in memory."""
