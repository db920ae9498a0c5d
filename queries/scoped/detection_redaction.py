"""Redacted alerts, cases and suppressions. As in events, a hidden part is absent, and free text stays.

The roles that read cases hide at most the parts in `REDACTED`: a role that hid more would be refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from msgspec.structs import replace

from domain.access.grants import Part
from domain.access.person_names import is_name
from queries.detection.results import (
    AlertView,
    CaseDetail,
    CaseView,
    NamedValue,
    SuppressionView,
)

REDACTED = frozenset({Part.PATIENT_NAMES, Part.VALUES, Part.DISCLOSURE})
_FIELDS = {
    Part.PATIENT_NAMES: ("patients.name",),
    Part.VALUES: ("changes.before", "changes.after"),
    Part.DISCLOSURE: ("disclosure.",),
}
"""The fields of an event, as rules name them, that a hidden part covers."""
_PATIENT = "patients.id"
_VALUES = re.compile(r" has | such as ")
"""What stands between a field and its values in a reason."""


def redacted_alert(found: AlertView, hidden: AbstractSet[Part]) -> AlertView:
    """The alert without hidden values in its group and its reasons."""
    if not hidden:
        return found
    return replace(
        found,
        group=_redacted_values(found.group, hidden),
        actor=_named(found.actor, hidden),
        reasons=tuple(each for each in found.reasons if not _tells(each, hidden)),
    )


def redacted_case(found: CaseView, hidden: AbstractSet[Part]) -> CaseView:
    """The case without an actor whose id is a hidden name."""
    return replace(found, actor=_named(found.actor, hidden)) if hidden else found


def redacted_detail(found: CaseDetail, hidden: AbstractSet[Part]) -> CaseDetail:
    """The case and its alerts."""
    return replace(
        found,
        case=redacted_case(found.case, hidden),
        newest_alerts=[redacted_alert(each, hidden) for each in found.newest_alerts],
    )


def redacted_suppression(found: SuppressionView, hidden: AbstractSet[Part]) -> SuppressionView:
    """The suppression without hidden values."""
    return replace(found, match=_redacted_values(found.match, hidden)) if hidden else found


def patients_of(found: AlertView | SuppressionView) -> Iterator[str]:
    """The patients that a group names."""
    for pair in found.group if isinstance(found, AlertView) else found.match:
        if pair.name == _PATIENT and pair.value is not None:
            yield pair.value


def _redacted_values(pairs: tuple[NamedValue, ...], hidden: AbstractSet[Part]) -> tuple[NamedValue, ...]:
    return tuple(replace(each, value=None) if _is_hidden(each, hidden) else each for each in pairs)


def _is_hidden(pair: NamedValue, hidden: AbstractSet[Part]) -> bool:
    fields = [field for part in hidden for field in _FIELDS.get(part, ())]
    return pair.name.startswith(tuple(fields)) or (Part.PATIENT_NAMES in hidden and is_name(pair.value))


def _named(id: str | None, hidden: AbstractSet[Part]) -> str | None:
    return None if Part.PATIENT_NAMES in hidden and is_name(id) else id


def _tells(reason: str, hidden: AbstractSet[Part]) -> bool:
    """Whether a reason may hold a hidden value: it names a hidden field, or a patient whose id is a name."""
    if any(field in reason for part in hidden for field in _FIELDS.get(part, ())):
        return True
    if Part.PATIENT_NAMES not in hidden or _PATIENT not in reason:
        return False
    values = _VALUES.split(reason, maxsplit=1)[-1]
    return any(is_name(each.strip()) for each in values.split(", "))
