"""The dashboard's pages over HTTP."""
