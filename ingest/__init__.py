"""Kafka to the event store, exactly once in effect; and the one module that publishes to Kafka."""
