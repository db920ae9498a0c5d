"""All kinds of incidents, how often they happen, and the shipped rules that should find them."""

from __future__ import annotations

from msgspec import Struct

from benchmarks.hospital import accounts, lookalikes, recording, snooping
from benchmarks.hospital.people import MINUTE
from benchmarks.hospital.snooping import Scene
from benchmarks.hospital.work import RETURN

_SNOOPING = ("no_relationship",)


class Kind(Struct, frozen=True, kw_only=True):
    """`count`: in 90 days of a hospital with 2,000 staff. `rules`: names of rule files, without `.yaml`.

    A look-alike has no rules: it is work. `scene` is None when everyday work brings it. `from_day`: the first day on
    which it can happen.
    """

    scene: Scene | None
    count: float
    rules: tuple[str, ...] = ()
    from_day: int = 1


def _misuse(scene: Scene, count: float, *rules: str, from_day: int = 1) -> Kind:
    return Kind(scene=scene, count=count, rules=rules, from_day=from_day)


def _work(scene: Scene, count: float, *, from_day: int = 1) -> Kind:
    return Kind(scene=scene, count=count, from_day=from_day)


def _curious(choice: snooping.Choice, count: float, *rules: str, from_day: int = 1) -> Kind:
    return _misuse(snooping.curious(choice), count, *rules, *_SNOOPING, from_day=from_day)


MISUSE = {
    "own record, same id": _curious(
        snooping.own_record_of_same_id, 40, "own_record_opened", "own_record_by_staff_table"
    ),
    "own record": _curious(snooping.own_record, 60, "own_record_by_staff_table"),
    "same surname": _curious(snooping.same_surname, 40, "same_family_name"),
    "same address": _curious(snooping.same_address, 60, "same_address"),
    "co-worker": _curious(snooping.co_worker, 60, "record_of_co_worker"),
    "VIP": _curious(snooping.vip, 40, "record_of_vip"),
    "stranger": _curious(snooping.stranger, 100),
    "another ward's patient": _curious(snooping.inpatient_of_another_ward, 40),
    "another ward's patients": _misuse(
        snooping.another_ward, 20, "department_mismatch", "no_relationship_several"
    ),
    "discharged long ago": _curious(snooping.discharged_long_ago, 40, "record_of_former_patient"),
    "deceased": _curious(snooping.deceased, 20, "record_of_former_patient"),
    "many records": _misuse(snooping.many_records(35, 60, 50, searched=False), 12, "mass_access"),
    "many records, slowly": _misuse(
        snooping.many_records(40, 60, 170, searched=False), 12, "unusual_number_of_patients"
    ),
    "search, then many records": _misuse(
        snooping.many_records(12, 18, 25, searched=True), 20, "search_then_open_many"
    ),
    "off roster": _misuse(snooping.off_roster, 40, "access_off_roster"),
    "break-glass, no reason": _misuse(
        snooping.break_glass(reasoned=False, charted=True), 30, "break_glass_unreasoned"
    ),
    "break-glass, no charting": _misuse(
        snooping.break_glass(reasoned=True, charted=False), 30, "break_glass_uncharted"
    ),
    "guessed password": _misuse(
        accounts.guessed_password(12, 25, found=False), 40, "failed_sign_in_burst"
    ),
    "guessed password, slowly": _misuse(
        accounts.guessed_password(12, 25, found=False, slow=True), 12, "failed_sign_in_burst"
    ),
    "password found": _misuse(accounts.guessed_password(6, 9, found=True), 12, "sign_in_after_burst"),
    "password spray": _misuse(accounts.password_spray(25, 20), 12, "password_spray"),
    "password spray, slowly": _misuse(accounts.password_spray(25, 240), 6, "password_spray"),
    "account of somebody who left": _misuse(
        accounts.dormant_account, 12, "dormant_account", "account_of_former_staff", *_SNOOPING, from_day=95
    ),
    "service account by hand": _misuse(
        accounts.service_account_by_hand, 12, "service_account_in_browser", "service_account_outside_networks"
    ),
    "service account elsewhere": _misuse(
        accounts.service_account_elsewhere,
        12,
        "service_account_new_address",
        "service_account_outside_networks",
        from_day=15,
    ),
    "service account signs in": _misuse(accounts.service_account_signs_in, 6, "service_account_signed_in"),
    "many exports": _misuse(accounts.export_spike, 12, "export_spike"),
    "role granted to a friend": _misuse(accounts.grant_then_use, 12, "grant_then_use"),
    "role granted to oneself": _misuse(accounts.own_role, 12, "own_role_granted"),
    "setting changed at night": _misuse(
        accounts.change_off_shift(0, 5), 20, "configuration_change_off_hours", "configuration_change_off_shift"
    ),
    "setting changed by day, off duty": _misuse(
        accounts.change_off_shift(8, 16), 12, "configuration_change_off_shift"
    ),
    "probing": _misuse(accounts.probing, 20, "denied_burst"),
    "recording paused": _misuse(recording.paused, 4, "recording_paused"),
    "records lost": _misuse(recording.by_trail("recording.gap"), 4, "recording_paused"),
    "integrity failure": _misuse(recording.by_trail("integrity_check.failed"), 4, "integrity_failed"),
    "clock of the trail": _misuse(recording.by_trail("recording_clock.set_back"), 4, "recording_clock"),
    "silent source": _misuse(recording.silent(5, 9), 12, "silent_source", from_day=5),
    "numbers missing": _misuse(recording.numbers_missing, 12, "gap_in_numbering"),
    "clock ahead": _misuse(recording.wrong_clock(25 * MINUTE), 8, "source_clock_ahead"),
    "clock behind": _misuse(recording.wrong_clock(-40 * MINUTE), 8),
}  # fmt: skip
"""What should be found. No rule tells a clock that is behind from events that come late."""

LOOK_ALIKES = {
    "change while on call": _work(lookalikes.change_while_on_call, 60),
    "pharmacist's round": _work(lookalikes.pharmacy_round, 60),
    "recall list": _work(lookalikes.recall_list, 40),
    "forgotten password": _work(lookalikes.forgotten_password, 60),
    "old password in a script": _work(lookalikes.old_password_in_a_script, 12),
    "terminal server": _work(lookalikes.terminal_server, 8),
    "approved study": _work(lookalikes.study, 30),
    "first day of a role": _work(lookalikes.first_day, 20),
    "refused client": _work(lookalikes.refused_client, 30),
    "investigation": _work(lookalikes.investigation, 12),
    "swapped shift": _work(lookalikes.swapped_shift, 60),
    RETURN: Kind(scene=None, count=0),
    "maintenance": _work(lookalikes.maintenance, 6, from_day=5),
    "emergency, reasoned and charted": _work(snooping.break_glass(reasoned=True, charted=True), 90),
}
"""What should not be found."""

KINDS = MISUSE | LOOK_ALIKES
