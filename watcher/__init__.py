"""The watcher: checks targets again and again, and reports to the trail what changes.

A target is a service, a port, a certificate, a broker or a database. Failures: a target that fails is an event. A check
that can't be made, because its token can't be read, is a failed check that says so. The database away is **retry**:
checks go on, and what they find is kept in memory. Kafka away is **retry**: events wait in the database. Whenever the
watcher did not look, it reports that as `observation.gap`. A wrong file is **stop**.
"""
