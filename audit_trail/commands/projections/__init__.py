"""`audit-trail projections`: `group` puts its commands together."""
