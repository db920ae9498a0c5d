"""The OpenAPI document: request and response bodies, parameters and problems."""
