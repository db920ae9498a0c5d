"""A synthetic hospital with labelled misuse: what detection is measured with. Nobody in here exists."""
