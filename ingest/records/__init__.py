"""Read Kafka's record batches within limits. kafka-python expands and trusts whatever a sender has compressed."""
