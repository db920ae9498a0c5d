"""The Django app with the table for events in the transaction of the change."""
