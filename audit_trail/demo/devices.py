"""The devices of the simulated clinic: their versions at each second, and the events about them."""

from __future__ import annotations

from typing import Any

from audit_trail.demo.cast import BEDSIDE, DEVICES, PATIENTS, TECHNICIAN, Clinic, Person, device_actor
from domain.event import Change, Device, Outcome, Patient, Resource

STORIED = "monitor-3"
_UPGRADE = (1500.0, 1680.0)
"""Start and end, in seconds, of the upgrade of `STORIED`."""
_FLAKY = "monitor-6"
_FLAPS = ((1000.0, 1045.0), (1130.0, 1190.0), (1260.0, 1275.0))
"""Starts and ends, in seconds, of the lost connections of `_FLAKY`, whose plug is worn."""

_CONFIGURATION = (
    # second, path, before, after, why
    (720.0, "alarm.heart_rate.high", 120, 130, "Athlete; agreed with Dr. Placebo"),
    (745.0, "alarm.spo2.low", 92, 90, "COPD; agreed with Dr. Placebo"),
    (1410.0, "network.ntp_server", "10.20.0.1", "10.20.0.2", "The old time server is switched off"),
    (2460.0, "alarm.heart_rate.high", 130, 120, "Back to the ward's standard at the handover"),
    (2910.0, "display.night_mode", False, True, "Quiet hours"),
)


def connected(id: str, second: float) -> bool:
    """Whether the device is on the network at `second`."""
    away = {STORIED: (_UPGRADE,), _FLAKY: _FLAPS}.get(id, ())
    joined = 5.0 + BEDSIDE.index(id)
    return joined < second and not any(left <= second <= back for left, back in away)


def device_at(id: str, second: float) -> Device:
    """The device with the versions that it had at `second`."""
    software, changes = "4.1.2", 0
    if id == STORIED:
        software = "4.2.0" if second >= _UPGRADE[1] - 20 else "4.1.2"
        changes = sum(at <= second for at, *_ in _CONFIGURATION)
    return Device(
        id=id, name=f"Bedside {id}", software_version=software, configuration_version=f"c{17 + changes}"
    )


def patient_at(id: str) -> Patient:
    """The patient at whose bed the device stands."""
    return PATIENTS[BEDSIDE.index(id)]


def add_devices(clinic: Clinic) -> None:
    """Add connections, lost connections, new settings of one device, its upgrade, and an unknown device."""
    for number, id in enumerate(BEDSIDE):
        _connection(clinic, 5.0 + number, "device.connected", id)
    for left, back in _FLAPS:
        _connection(clinic, left, "device.disconnected", _FLAKY, outcome=Outcome.MINOR_FAILURE)
        _connection(clinic, back, "device.connected", _FLAKY)
    for second, path, before, after, why in _CONFIGURATION:
        _configure(clinic, second, TECHNICIAN, Change(path=path, before=before, after=after), why)
    _upgrade(clinic)
    clinic.add(
        2050.0,
        "node.authentication_failed",
        DEVICES,
        device_actor(Device(id="monitor-99", name="Unknown monitor")),
        outcome=Outcome.SERIOUS_FAILURE,
        outcome_reason="The certificate is signed by nobody we know",
        device=Device(id="monitor-99"),
    )


def _connection(clinic: Clinic, second: float, type: str, id: str, **fields: Any) -> None:
    device = device_at(id, second)
    clinic.add(second, type, DEVICES, device_actor(device), device=device, **fields)


def _configure(clinic: Clinic, second: float, who: Person, change: Change, why: str) -> None:
    clinic.add(
        second,
        "configuration.changed",
        DEVICES,
        device=device_at(STORIED, second),
        changes=(change,),
        resources=(Resource(type="Device", id=STORIED, data_category="configuration"),),
        reason=why,
        correlation_id=clinic.correlation(),
        **who.at_work,
    )


def _upgrade(clinic: Clinic) -> None:
    left, back = _UPGRADE
    _connection(clinic, left, "device.disconnected", STORIED, reason="Taken off for an upgrade")
    change = Change(path="software_version", before="4.1.2", after="4.2.0")
    _configure(clinic, back - 20, TECHNICIAN, change, "Upgrade to 4.2.0, work order WO-0815")
    _connection(clinic, back, "device.connected", STORIED)
