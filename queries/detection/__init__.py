"""What detection has found and people have decided: the rows of the live build of the projection `detection`."""
