"""File access in shared folders: planted links, pipes and devices are not followed."""
