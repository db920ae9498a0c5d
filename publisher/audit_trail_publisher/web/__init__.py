"""Records the requests of a web application: middleware for ASGI and WSGI, and a dependency for FastAPI."""
