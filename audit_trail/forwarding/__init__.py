"""The followers of the settings' file, put together: what each may send, and to which receiver."""
