"""Followers of the log: each sends the events that it may see to one receiver, and remembers how far it is.

Failures: a receiver that is away is **retry**, with a growing pause; nothing is lost, because the checkpoint moves only
after the receiver has confirmed. A receiver that refuses one record for good **stops** that follower there, visibly,
until it takes the record or an operator skips it. A follower may be set to keep such records for an operator, and go
on. A receiver that refuses the client **stops** its follower too. No follower waits for another one.
"""
