"""The transactional promise: an outbox table in the service's own database, and the relay that empties it."""
