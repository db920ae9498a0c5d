"""OCSF, the Open Cybersecurity Schema Framework, version 1.9: JSON events for security monitoring."""

from __future__ import annotations

from interop.ocsf.mapping import event

__all__ = ["event"]
