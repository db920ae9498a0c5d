"""Claims that would give more than they say, of tokens that are well signed."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.errors import AccessDeniedError
from tests.tokens import AUDIENCE, ISSUER, KEY, KEY_ID, token
from tests.trail import an_event
from tests.web.authentication.issued_tokens import ask, why


def bearer_of(*roles: str, **claims: Any) -> Principal:
    found = ask(token(*roles, **claims))
    assert found is not None
    return found


def typed(type: Any) -> str:
    """A token that says what it is."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "u-1",
        "exp": int(time.time()) + 60,
        "roles": ["admin"],
    }
    return jwt.encode(claims, KEY, "EdDSA", headers={"kid": KEY_ID, "typ": type})


@pytest.mark.parametrize("type", ["logout+jwt", "dpop+jwt", "secevent+jwt", "application/logout+jwt", "JWE"])
def test_what_the_issuer_signs_for_another_purpose_is_no_access_token(type: str) -> None:
    assert why(typed(type)) == "the token is of another kind"


@pytest.mark.parametrize("type", ["JWT", "jwt", "at+jwt", "application/at+JWT", None])
def test_an_access_token_may_say_that_it_is_one(type: str | None) -> None:
    found = ask(typed(type))
    assert found is not None
    assert found.roles == {Role.ADMIN}


@pytest.mark.parametrize("sources", [[], [7], {"service": "a"}, "", ["x" * 257], 7])
def test_sources_that_say_nothing_usable_do_not_let_a_publisher_report_as_anybody(sources: Any) -> None:
    with pytest.raises(AccessDeniedError):
        Scope(bearer_of("publisher", sources=sources)).require_report(an_event())


def test_an_id_with_a_blank_is_one_id() -> None:
    assert bearer_of("clinician", subject="auth0|John Doe").actors == ("auth0|John Doe",)
    assert bearer_of("patient", patient="17 18").patients == ("17 18",)
    assert bearer_of("service_owner", sources="a b").sources == ("a b",)


@pytest.mark.parametrize("subject", ["", "x" * 257])
def test_a_subject_that_can_not_be_told_from_others_is_refused(subject: str) -> None:
    why(token("auditor", subject=subject))


@pytest.mark.parametrize("exp", [10**12, 10**18, 316_537_897_600])
def test_a_token_that_never_ends_is_taken(exp: int) -> None:
    ends = bearer_of("auditor", exp=exp).expires_at
    assert ends is not None
    assert ends.year == 9999


@pytest.mark.parametrize(
    ("reference", "actor"),
    [
        ("Practitioner/17", "Practitioner/17"),
        ("https://fhir.example/r4/Practitioner/17", "Practitioner/17"),
        ("https://fhir.example/r4/Practitioner/17/_history/2", "Practitioner/17"),
        ("https://fhir.example/Patient/17", "17"),
        ("a.example", "a.example"),
    ],
)
def test_fhir_user_is_the_id_under_which_fhir_events_name_the_actor(reference: str, actor: str) -> None:
    assert bearer_of("clinician", sub="u-1", fhirUser=reference).actors == ("u-1", actor)


def test_purposes_may_be_codings() -> None:
    system = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
    found = bearer_of("clinician", purpose_of_use=[{"system": system, "code": "TREAT"}, "HOPERAT", {}, 7])
    assert found.purpose_of_use == ("TREAT", "HOPERAT")
