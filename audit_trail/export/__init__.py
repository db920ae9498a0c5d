"""`audit-trail export`: an export as a file that survives a kill."""
