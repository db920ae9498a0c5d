"""The database and the brokers that Audit Trail can start itself, for a demonstration, a laptop and the tests."""
