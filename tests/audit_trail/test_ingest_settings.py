"""The settings of ingest, from those of the process."""

from __future__ import annotations

import pytest

from audit_trail.ingest_settings import ingest_settings
from audit_trail.settings import Settings
from domain.errors import ConfigurationError


def settings(*systems: str) -> Settings:
    return Settings(kafka_bootstrap_servers=("here:9092",), patient_systems=systems)


def test_systems_have_names_and_one_may_be_the_trail_s_own() -> None:
    systems = ingest_settings(
        settings("https://a.example/fhir=", "urn:oid:1.2=", "https://b.example/x=y=lab")
    ).systems
    assert systems.qualified("https://a.example/fhir/", "17") == "17"
    assert systems.qualified("urn:OID:1.2", "17") == "17"
    assert systems.qualified("https://b.example/x=y", "17") == "lab|17"
    assert systems.qualified("https://c.example", "17") == "https://c.example|17"


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["https://a.example/fhir"], "SYSTEM=NAME"),
        (["=lab"], "must not be empty"),
        (["https://a.example=a b"], "no name of a system"),
        (["https://a.example=a", "https://a.example=b"], "two names"),
        (["https://a.example=a", "https://A.example/=b"], "two names"),
    ],
)
def test_a_wrong_entry_names_the_setting(entries: list[str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        ingest_settings(settings(*entries))
    assert "AUDIT_TRAIL_PATIENT_SYSTEMS" in str(caught.value)
