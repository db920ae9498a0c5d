"""The query surface: GraphQL over the read models."""
