"""What detection knows besides the log: staff, patients, encounters and more, loaded as tables in versions."""
