"""The HTTP edge: the application, REST, GraphQL's transport, health, metrics and the pages for people."""
