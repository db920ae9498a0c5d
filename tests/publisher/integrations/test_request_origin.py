"""Where a request comes from and who makes it: proxies from the right, W3C trace ids, and the claims of a token."""

from __future__ import annotations

from typing import Any

import pytest

from audit_trail_publisher import Actor, ActorKind
from audit_trail_publisher.errors import ConfigurationError
from audit_trail_publisher.web.client_address import FORWARDED, TrustedProxies
from audit_trail_publisher.web.identity import Identity, identity_of
from audit_trail_publisher.web.request_record import RequestAuditing
from audit_trail_publisher.web.trace_context import new_trace_id, trace_id

PROXY = "10.0.0.1"


@pytest.mark.parametrize(
    ("peer", "values", "address"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["6.6.6.6"], "203.0.113.9"),  # no proxy: the header is the client's own
        (PROXY, [], PROXY),
        (PROXY, ["203.0.113.9"], "203.0.113.9"),
        (PROXY, ["6.6.6.6, 203.0.113.9"], "203.0.113.9"),  # the client has sent the first
        (PROXY, ["6.6.6.6", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),  # several headers are one list
        (PROXY, ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # a client within
        (PROXY, ["6.6.6.6, unknown, 10.0.0.2"], "10.0.0.2"),  # the nearest that is known
        (PROXY, ["203.0.113.9:4711"], "203.0.113.9"),
        (PROXY, ["[2001:db8::1]:4711"], "2001:db8::1"),
        (PROXY, ["2001:DB8:0::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        (PROXY, ["x" * 100_000 + ", 203.0.113.9"], "203.0.113.9"),
        (PROXY, [",".join(["10.0.0.2"] * 100_000)], "10.0.0.2"),
        (None, ["203.0.113.9"], "203.0.113.9"),  # through a Unix socket
        ("testclient", ["203.0.113.9"], "testclient"),
    ],
)
def test_the_address_is_the_last_that_is_no_proxy(peer: str | None, values: list[str], address: str) -> None:
    assert TrustedProxies(["10.0.0.0/8", "unix"]).client_address(peer, values) == address


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("for=203.0.113.9;proto=https;by=10.0.0.2", "203.0.113.9"),
        ('For="[2001:db8::1]:4711"', "2001:db8::1"),
        ('for=6.6.6.6, proto=https;for="203.0.113.9:99"', "203.0.113.9"),
        ("for=203.0.113.9, for=10.0.0.2", "203.0.113.9"),
        ("for=203.0.113.9, for=_hidden", PROXY),
        ('for="6.6.6.6, for=203.0.113.9', "203.0.113.9"),  # a quotation that the client never closed
        ("proto=https", PROXY),
    ],
)
def test_forwarded_is_read_in_the_same_way(value: str, address: str) -> None:
    assert TrustedProxies("10.0.0.0/8", "Forwarded").client_address(PROXY, [value]) == address


def test_options_of_the_middleware_that_do_not_exist_are_refused() -> None:
    wrong: Any = {"on_unrecorded": "refused"}
    with pytest.raises(ConfigurationError, match="'refuse' or 'answer', not 'refused'"):
        RequestAuditing[None](lambda _: None, **wrong)
    misspelt: Any = {"skips": ["/healthz"]}
    with pytest.raises(TypeError, match="no option skips"):
        RequestAuditing[None](lambda _: None, **misspelt)


def test_a_single_path_to_skip_is_that_path_and_not_its_letters() -> None:
    auditing = RequestAuditing[None](lambda _: None, skip="/healthz")
    assert [path for path in ("/", "/patients/17", "/healthz") if auditing.skips(path)] == ["/healthz"]


def test_wrong_proxies_are_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="proxy"):
        TrustedProxies(["proxy"])
    with pytest.raises(ValueError, match=FORWARDED):
        TrustedProxies([], "X-Real-IP")
    assert TrustedProxies([]).client_address(None, ["6.6.6.6"]) is None


TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([f"00-{TRACE}-{PARENT}-01"], TRACE),
        ([f" 00-{TRACE}-{PARENT}-00\t"], TRACE),
        ([f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like"], TRACE),
        ([f"00-{TRACE}-{PARENT}-01-x"], None),
        ([f"ff-{TRACE}-{PARENT}-01"], None),
        ([f"00-{TRACE.upper()}-{PARENT}-01"], None),
        ([f"00-{'0' * 32}-{PARENT}-01"], None),
        ([f"00-{TRACE}-{'0' * 16}-01"], None),
        ([f"00-{TRACE}-{PARENT}"], None),
        ([f"00-{TRACE}-{PARENT}-01"] * 2, None),
        ([], None),
    ],
)
def test_a_trace_id_is_that_of_one_valid_traceparent(values: list[str], found: str | None) -> None:
    assert trace_id(values) == found


def test_a_new_trace_id_is_valid() -> None:
    made = new_trace_id()
    assert trace_id([f"00-{made}-{PARENT}-00"]) == made


@pytest.mark.parametrize(
    ("who", "identity"),
    [
        (None, None),
        ("ada", Identity(Actor(id="ada"))),
        (Actor(kind=ActorKind.DEVICE, id="pump"), Identity(Actor(kind=ActorKind.DEVICE, id="pump"))),
        ({"name": "nobody"}, None),
        (
            {
                "sub": "ada",
                "preferred_username": "ada.e",
                "realm_access": {"roles": ["nurse", 7]},
                "jti": "t-1",
            },
            Identity(Actor(id="ada", name="ada.e", roles=("nurse",)), "t-1"),
        ),
        ({"sub": "lab", "azp": "lab"}, Identity(Actor(kind=ActorKind.SERVICE, id="lab"))),
        (
            {"sub": "ada", "name": "Dr Ada", "act": {"sub": "portal"}, "azp": "portal", "roles": "nurse"},
            Identity(Actor(kind=ActorKind.SERVICE, id="portal", on_behalf_of="ada")),
        ),
        ({"sub": " " + "x" * 300}, Identity(Actor(id="x" * 256))),
    ],
)
def test_an_actor_is_made_of_claims(who: Any, identity: Identity | None) -> None:
    assert identity_of(who) == identity


def test_an_object_that_means_nobody_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        identity_of(object())  # type: ignore[arg-type]
