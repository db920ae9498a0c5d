"""The record of reads: each request that reads the trail is itself an event before its answer leaves."""
