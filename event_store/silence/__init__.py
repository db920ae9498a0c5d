"""A PostgreSQL server that neither answers nor closes the connection: noticed, reported and given up."""
