"""The newest head that satisfies a witness policy: the same as by trying each, and found by few statements."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import LogInconsistentError
from event_store import quorum
from event_store.database import GUARD, Connection, Database
from event_store.heads import add_cosignature, head_at
from event_store.quorum import Found, satisfying_head, search
from event_store.tlog.keys import COSIGNATURE_V1, ML_DSA_44, SigningKey
from event_store.tlog.notes import Note
from event_store.tlog.policy import Policy
from tests.event_store.verify.tampered_log import Log
from tests.signing import KEY

WITNESSES = [
    SigningKey(f"w{n}.example", (COSIGNATURE_V1, ML_DSA_44)[n % 2], bytes([n + 1] * 32)) for n in range(3)
]


def policy(*lines: str, log: SigningKey | None = None) -> Policy:
    witnesses = [f"witness W{n} {key.verifier.encode()}" for n, key in enumerate(WITNESSES)]
    logs = [f"log {log.verifier.encode()}"] if log else []
    return Policy.parse("".join(f"{line}\n" for line in (*logs, *witnesses, *lines)).encode())


TWO_OF_THREE = policy("group G 2 W0 W1 W2", "quorum G")
POLICIES = [
    TWO_OF_THREE,
    policy("group G any W0 W1 W2", "quorum G"),
    policy("group G all W0 W1 W2", "quorum G"),
    policy("quorum W1"),
    policy("group G any W0 W1", "group H all G W2", "quorum H"),
]
SIZES = st.lists(st.integers(0, 40), max_size=20, unique=True).map(lambda sizes: sorted(sizes, reverse=True))


@given(st.sampled_from(POLICIES), st.lists(SIZES, min_size=3, max_size=3), st.integers(1, 5))
def test_the_search_finds_what_trying_each_size_finds(
    policy: Policy, cosigned: list[list[int]], most: int
) -> None:
    def satisfied(size: int) -> bool:
        return policy.is_satisfied_by(
            [key.verifier for n, key in enumerate(WITNESSES) if size in cosigned[n]]
        )

    expected = next((size for size in range(40, -1, -1) if satisfied(size)), None)
    until, rounds = 100, 0
    while True:
        windows = {
            f"W{n}": [size for size in sizes if size <= until][:most] for n, sizes in enumerate(cosigned)
        }
        found = search(policy, windows, until, most)
        if found.until is None:
            break
        assert found.until <= until
        until, most, rounds = found.until, most * 2, rounds + 1
        assert rounds < 10
    assert found == Found(size=expected)


@pytest.fixture
def log(migrated_url: str) -> Log:
    return Log(migrated_url, [3, *[1] * 40])


def cosign(log: Log, *sizes: Sequence[int]) -> None:
    """Each witness cosigns its sizes."""
    with closing(Database(log.url, GUARD)) as database, database.transaction() as connection:
        for key, wanted in zip(WITNESSES, sizes, strict=True):
            for size in wanted:
                head = head_at(connection, size)
                assert head is not None
                line = key.sign_at(Note.parse(head.note).text, 1_700_000_000).line()
                add_cosignature(connection, size, key.verifier, line)


def found(log: Log, policy: Policy, after: int = -1) -> int | None:
    with closing(Database(log.url, GUARD)) as database, database.transaction(read_only=True) as connection:
        head = satisfying_head(connection, policy, after)
    return None if head is None else head.size


def test_the_newest_head_of_a_quorum_covers_what_it_covers(log: Log) -> None:
    assert [found(log, each) for each in POLICIES] == [None] * 5
    assert found(log, policy("quorum none")) == 43
    cosign(log, [5, 9, 30, 41], [5, 9, 31], [5, 30])
    assert [found(log, each) for each in POLICIES] == [30, 41, 5, 31, 30]
    assert [found(log, TWO_OF_THREE, after) for after in (8, 29, 30, 43)] == [30, 30, None, None]


def test_a_head_of_a_log_that_the_policy_does_not_name_satisfies_nothing(log: Log) -> None:
    cosign(log, [5], [5], [5])
    assert found(log, policy("quorum W0", log=KEY)) == 5
    other = SigningKey.generate("audit-trail.test/log")
    assert found(log, policy("quorum W0", log=other)) is None
    assert found(log, policy("quorum none", log=other)) is None


def test_a_forged_cosignature_is_an_inconsistency(log: Log) -> None:
    cosign(log, [5], [5], [5])
    log.attack("UPDATE audit_trail.cosignature SET size = 6")
    with pytest.raises(LogInconsistentError, match="size 6 does not verify"):
        found(log, TWO_OF_THREE)


def test_few_statements_find_a_head_that_is_old(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two witnesses cosign other heads than each other all the time; the third one is away since the beginning."""
    monkeypatch.setattr(quorum, "_FIRST", 4)
    cosign(log, [4, *range(5, 43, 2)], [*range(6, 43, 2)], [4])
    counted: list[str] = []
    with closing(Database(log.url, GUARD)) as database, database.transaction(read_only=True) as connection:
        counting(connection, counted)
        head = satisfying_head(connection, TWO_OF_THREE)
    assert head is not None
    assert head.size == 4
    assert 2 <= len(counted) <= 4


def counting(connection: Connection, statements: list[str]) -> None:
    cursor = connection.cursor

    def counted(*args: object, **kwargs: object) -> object:
        statements.append("cursor")
        return cursor(*args, **kwargs)  # type: ignore[call-overload]

    connection.cursor = counted  # type: ignore[method-assign,assignment]
