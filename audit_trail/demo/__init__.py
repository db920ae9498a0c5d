"""`audit-trail demo`: a simulated hour of a clinic on embedded services."""
