"""What monitoring tools send to their webhooks: Alertmanager, Kubernetes events, Uptime Kuma, Gatus. Pure functions.

Each reader returns one `Reading` for each alert, event or check in the body. The id of an event is a UUID version 5 of
what the tool itself identifies the alert by, and the event holds nothing that differs between two notifications of the
same alert. So a notification that is repeated is a duplicate, and ingest drops it.
"""
