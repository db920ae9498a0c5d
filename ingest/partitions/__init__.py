"""Kafka partitions: topics, offsets, and the records that were lost or can't be read."""
