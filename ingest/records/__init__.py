"""Kafka's record batches, read within bounds. kafka-python expands and believes whatever a sender has compressed."""
