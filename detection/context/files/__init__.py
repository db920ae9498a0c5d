"""Files of other systems to rows of context tables: CSV, FHIR, SCIM. They are untrusted, and read in linear time."""
