"""The dashboard: pages for people, made on the server from what the scoped read models answer.

It is beside `graphql_api`: it reads through `queries.scoped` alone, so a page shows nothing that a client of the API
with the same role could not get. `web.dashboard` serves the pages.
"""
