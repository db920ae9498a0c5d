"""What a receiver answers when it does not take records. No message holds a value of an event or a secret."""

from __future__ import annotations

from domain.errors import AuditTrailError, ConfigurationError


class RecordsRefusedError(AuditTrailError):
    """Reject: the receiver refuses these records for good: sent again, they would be refused again.

    Of several records at least one is at fault: the follower sends them in smaller groups to find it.
    """


class ReceiverRefusesError(ConfigurationError):
    """Stop: the receiver refuses this client, whatever it sends: an operator must change a setting here or there."""
