"""GraphQL over HTTP, WebSockets and server-sent events. The only part of `web` that imports `graphql_api`."""
