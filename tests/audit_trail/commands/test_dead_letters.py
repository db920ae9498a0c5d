"""Dead letters that are no whole message, as an operator sees them."""

from __future__ import annotations

from contextlib import closing
from hashlib import sha256
from uuid import uuid4

import pytest

from domain.errors import Reason
from event_store.append import append
from event_store.database import INGEST, Database
from event_store.dead_letters import Cut, NewDeadLetter, SealedBatch
from tests.audit_trail.programs import run
from tests.signing import signer

DIGEST = sha256(b"whole").digest()


@pytest.fixture
def settings(migrated_url: str) -> dict[str, str]:
    """A database with a large message and a batch; and no Kafka, so that looks can't be put on record."""
    stream = uuid4()
    large = NewDeadLetter(
        stream, "t", 3, 17, None, b"key", b"beginning", [("h", b"\xff")], Reason.OVERSIZED, "", "too large",
        value_cut=Cut(5_000_000, DIGEST), headers_cut=Cut(70_000, DIGEST),
    )  # fmt: skip
    batch = NewDeadLetter(
        stream, "t", 3, 18, None, None, b"\0batch", [], Reason.BROKEN_BATCH, "", "broken",
        batch=SealedBatch(29, "zstd", 12),
    )  # fmt: skip
    with closing(Database(migrated_url, INGEST)) as database, database.transaction() as connection:
        append(connection, [], signer(), dead_letters=[large, batch])
    return {
        "database_url": migrated_url,
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "publish_timeout_seconds": "1",
        "reads_unrecorded": "flag",
    }


def test_list_and_show_say_what_is_missing_and_requeue_says_where_it_is(settings: dict[str, str]) -> None:
    listed = run("dead-letters", "list", settings=settings).stdout
    assert "t/3/17 " in listed
    assert "t/3/18-29 " in listed
    shown = run("dead-letters", "show", "1", settings=settings).stdout
    assert f"only the beginning is kept of 5000000 bytes, SHA-256 {DIGEST.hex()}" in shown
    assert "headers cut" in shown
    assert "key cut" not in shown
    shown = run("dead-letters", "show", "2", settings=settings).stdout
    assert [line.split() for line in shown.splitlines() if line.startswith(("to offset", "codec", "records"))] == [
        ["to", "offset", "29"], ["codec", "zstd"], ["records", "12"],
    ]  # fmt: skip
    value = run("dead-letters", "show", "1", "--value", settings=settings)
    assert value.stdout == "beginning"
    assert "only the beginning of 5000000 bytes is kept" in value.stderr
    for id, where in (("1", "partition 3, offset 17"), ("2", "partition 3, offsets 18 to 29")):
        refused = run("dead-letters", "requeue", id, "--by", "a", "--reason", "b", settings=settings)
        assert refused.returncode == 2
        assert where in refused.stderr
        assert "Traceback" not in refused.stderr
