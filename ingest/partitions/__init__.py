"""Kafka partitions: topics, offsets, and records that were lost or can't be read."""
