"""Access records: the events that record reads of the trail, and the queries of one request."""
