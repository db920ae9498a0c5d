"""The Kafka client: connections, assignment, and calls with a time limit."""
