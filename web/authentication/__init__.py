"""Authentication: bearer tokens of an issuer (RFC 6750, RFC 7519, RFC 9068) and API tokens of machines."""
