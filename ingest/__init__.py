"""Kafka to the event store with exactly-once effect, and the only module that publishes to Kafka."""
