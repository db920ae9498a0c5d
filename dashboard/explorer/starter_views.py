"""The views that come with the dashboard: a name, why somebody opens it, and its filters."""

from __future__ import annotations

from msgspec import Struct

from dashboard import links


class StarterView(Struct, frozen=True):
    """A named filter of the explorer. `why` names the rule that asks for it, if one does."""

    name: str
    why: str
    pairs: tuple[tuple[str, str], ...]

    @property
    def link(self) -> str:
        """The explorer with this filter."""
        return links.explore(self.pairs)


def _view(name: str, why: str, last: str, **conditions: str) -> StarterView:
    pairs = [(key, value) for key, values in conditions.items() for value in values.split(" ")]
    return StarterView(name, why, (*pairs, ("last", last)))


STARTER_VIEWS = (
    _view("Activity of a day", "45 CFR 164.312(b)", "24h"),
    _view("Changes of records", "21 CFR 11.10(e)", "7d", type="record.created record.updated record.deleted"),
    _view("Break-glass", "45 CFR 164.312(a)(2)(ii)", "7d", emergency="true"),
    _view("Failed sign-ins", "45 CFR 164.308(a)(5)(ii)(C)", "24h", type="user.login_failed"),
    _view("Denied attempts", "45 CFR 164.308(a)(1)(ii)(D)", "7d", type="access.denied"),
    _view("Exports and disclosures", "45 CFR 164.528", "30d", type="record.exported record.disclosed"),
    _view("Accesses at night, UTC", "", "7d", category="data", day_time_from="22:00", day_time_until="06:00"),
    _view("Changes of configuration", "FDA device cybersecurity", "30d", type="configuration.changed"),
    _view("Changes of roles", "45 CFR 164.308(a)(4)", "30d", type="role.changed privilege.used"),
    _view("Questions about accesses", "GDPR, article 15", "30d", type="access.questioned"),
    _view("Reads of this trail", "", "24h", type="audit_log.read"),
)
"""Declared once; the explorer lists them."""
