"""Detection of a silent PostgreSQL server: one that neither answers nor closes the connection."""
