"""Tokens of an issuer: what is taken, and the ways to forge one that RFC 8725 names."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from domain.access.principal import Principal, Role
from domain.errors import UnauthenticatedError
from domain.event import ActorKind
from tests.tokens import AUDIENCE, ISSUER, KEY, KEY_ID, Keys, bearer, token
from tests.web.authentication.issued_tokens import ask, why
from web.authentication.bearer import IssuedTokens
from web.authentication.claims import ClaimNames

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def jwk(key: Any, kind: Any, **more: str) -> dict[str, Any]:
    """The public part of a key, as a JWK."""
    return {**json.loads(kind.to_jwk(key.public_key())), "kid": KEY_ID, **more}


RSA_JWK = jwk(RSA_KEY, jwt.algorithms.RSAAlgorithm)
EC_JWK = jwk(EC_KEY, jwt.algorithms.ECAlgorithm)


def unsigned(header: dict[str, Any], signature: str = "") -> str:
    """The claims of a good token under another header."""
    parts = token("auditor").split(".")
    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
    return f"{encoded}.{parts[1]}.{signature}"


@pytest.mark.parametrize(
    ("key", "algorithm", "public"),
    [(KEY, "EdDSA", None), (RSA_KEY, "RS256", RSA_JWK), (EC_KEY, "ES256", EC_JWK)],
)
def test_each_of_the_three_algorithms_is_taken(
    key: Any, algorithm: str, public: dict[str, Any] | None
) -> None:
    found = ask(token("auditor", key=key, algorithm=algorithm), *([public] if public else []))
    assert found is not None
    assert (found.id, found.roles) == ("tester", frozenset({Role.AUDITOR}))


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"exp": int(time.time()) - 60}, "expired"),
        ({"exp": None}, "not valid"),
        ({"nbf": int(time.time()) + 3600}, "not valid"),
        ({"iat": int(time.time()) + 3600}, "not valid"),
        ({"aud": "another"}, "another audience"),
        ({"aud": None}, "not valid"),
        ({"iss": "https://elsewhere.example"}, "issuer of the token is not trusted"),
        ({"iss": None}, "issuer of the token is not trusted"),
        ({"sub": None}, "not valid"),
        ({"exp": "soon"}, "not valid"),
        ({"sub": ""}, "not valid"),
        ({"sub": "s" * 257}, "not valid"),
    ],
)
def test_claims_that_are_wrong_or_missing_are_refused(claims: dict[str, Any], words: str) -> None:
    assert words in why(token("auditor", **claims))


def forged(**claims: Any) -> str:
    """A token that is well signed, and holds what the library would not write."""
    header, said, _ = token("auditor").split(".")
    padded = said + "=" * (-len(said) % 4)
    payload = json.dumps(json.loads(base64.urlsafe_b64decode(padded)) | claims).encode()
    body = f"{header}.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}"
    return f"{body}.{base64.urlsafe_b64encode(KEY.sign(body.encode())).decode().rstrip('=')}"


@pytest.mark.parametrize(
    "claims",
    [{"iss": [ISSUER]}, {"sub": 7}, {"iss": {"a": 1}}, {"sub": None}, {"exp": None}, {"exp": []}, {"aud": 5}],
)
def test_claims_of_other_types_are_refused(claims: dict[str, Any]) -> None:
    why(forged(**claims))


@pytest.mark.parametrize("name", ["none", "None", "NONE", "HS256", "hs256", "PS256", "RS512", "", None, 7])
def test_another_algorithm_is_refused_whatever_is_signed(name: Any) -> None:
    why(unsigned({"alg": name, "kid": KEY_ID}))
    why(unsigned({"alg": name, "kid": KEY_ID}, token("auditor").rpartition(".")[2]))


def test_a_public_key_is_no_secret_to_sign_with() -> None:
    public = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    body = unsigned({"alg": "HS256", "kid": KEY_ID}).rpartition(".")[0]
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(body.encode(), public)
    why(f"{body}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}", RSA_JWK)


def test_a_key_that_the_token_brings_along_is_not_used() -> None:
    own = Ed25519PrivateKey.generate()
    text = jwt.encode(
        jwt.decode(token("admin"), options={"verify_signature": False}),
        own,
        "EdDSA",
        headers={
            "kid": KEY_ID,
            "jwk": jwk(own, jwt.algorithms.OKPAlgorithm),
            "jku": "https://evil.example/keys",
        },
    )
    assert "not valid" in why(text)
    assert "not one of the issuer's" in why(
        token("admin", key=own).replace(".", ".", 1), EC_JWK | {"kid": "other"}
    )


def test_a_token_is_bound_to_the_type_of_its_key() -> None:
    why(token("admin", key=EC_KEY, algorithm="ES256"), RSA_JWK)
    why(token("admin"), EC_JWK)


def test_an_extension_that_has_to_be_understood_is_refused() -> None:
    claims = jwt.decode(token("admin"), options={"verify_signature": False})
    text = jwt.encode(claims, KEY, "EdDSA", headers={"kid": KEY_ID, "crit": ["exp"], "exp": 1})
    why(text)


@pytest.mark.parametrize("text", ["..", "a.b.c", "a" * 20_000 + ".b.c", "e30.e30.e30", "\ufffd.\ufffd.x"])
def test_what_is_no_token_is_refused(text: str) -> None:
    why(text)


def test_what_does_not_look_like_one_is_left_to_others() -> None:
    assert ask("at_abc_def") is None


def test_a_good_token_is_remembered_until_it_ends_and_a_minute_at_most() -> None:
    now = time.time()
    clock = [now]
    keys = Keys()
    tokens = IssuedTokens({ISSUER: keys}, [AUDIENCE], clock=lambda: clock[0])
    text = token("auditor", exp=int(now) + 30)

    async def principal() -> Principal | None:
        return await tokens.principal(text)

    assert asyncio.run(principal())
    keys._keys = {}
    assert asyncio.run(principal())
    clock[0] = now + 31
    with pytest.raises(UnauthenticatedError):
        asyncio.run(principal())


def test_claims_say_who_it_is() -> None:
    found = ask(
        token(
            subject="u-1",
            name="Ada Example",
            roles=None,
            realm_access={"roles": ["doctor", "offline_access"]},
            fhirUser="https://fhir.example/Practitioner/17",
            patient="Patient/4",
            sources=["patient-service", 3, ""],
            azp="portal",
            jti="t-1",
            purpose_of_use="TREAT HOPERAT",
        ),
        names=ClaimNames(roles="realm_access.roles", role_map={"doctor": Role.CLINICIAN}),
    )
    assert found is not None
    assert (found.roles, found.kind, found.name) == (
        frozenset({Role.CLINICIAN}),
        ActorKind.USER,
        "Ada Example",
    )
    assert (found.actors, found.patients, found.sources) == (
        ("u-1", "Practitioner/17"),
        ("4",),
        ("patient-service",),
    )
    assert (found.client_id, found.session, found.purpose_of_use) == ("portal", "t-1", ("TREAT", "HOPERAT"))
    assert (found.issuer, found.expires_at is not None) == (ISSUER, True)


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        (["auditor", "king"], {"auditor"}),
        ("auditor analyst", {"auditor", "analyst"}),
        ({"auditor": 1}, set()),
        (None, set()),
        (["AUDITOR"], set()),
    ],
)
def test_roles_that_are_not_ours_give_nothing(roles: Any, expected: set[str]) -> None:
    found = ask(token(roles=roles))
    assert found is not None
    assert found.roles == expected


def test_a_claim_of_ones_own_may_be_a_url() -> None:
    found = ask(
        forged(**{"https://hospital.example/roles": ["auditor"]}),
        names=ClaimNames(roles="https://hospital.example/roles"),
    )
    assert found is not None
    assert found.roles == {Role.AUDITOR}


def test_a_token_without_jti_has_a_session_that_is_not_the_token() -> None:
    header = bearer("auditor")["Authorization"]
    found = ask(header.removeprefix("Bearer "))
    assert found is not None
    assert found.session is not None
    assert found.session not in header


def test_a_token_that_never_ends_ends_at_the_end_of_time() -> None:
    found = ask(token("auditor", exp=10**30))
    assert found is not None
    assert found.expires_at is not None
    assert found.expires_at.year == 9999
