"""The guard under a witness policy: its witnesses cosign the same heads, so that a quorum has one in common."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from audit_trail.guard.rounds import Rounds
from audit_trail.settings import Settings
from audit_trail.trust.destinations import destinations
from domain.errors import ConfigurationError
from event_store.database import GUARD, Database
from event_store.publication.remote import Witness
from event_store.quorum import satisfying_head
from event_store.tlog.notes import COSIGNATURE_V1, ML_DSA_44, SigningKey
from event_store.tlog.policy import Policy
from event_store.witness.cosigner import Witness as WitnessRules
from event_store.witness.cosigner import read_logs
from event_store.witness.store import WitnessStore
from ingest.publisher import Publisher
from ingest.settings import IngestSettings
from tests.audit_trail.guard.guards import guarding
from tests.audit_trail.programs import eventually, run, running
from tests.event_store.verify.tampered_log import Log
from tests.signing import KEY
from tests.web.conftest import NO_BROKER, serving
from web.witness import create_witness_app

WITNESSES = [SigningKey.generate(f"w{n}.example", (COSIGNATURE_V1, ML_DSA_44)[n % 2]) for n in range(3)]
AWAY = "http://127.0.0.1:9"


@contextmanager
def witnessing(folder: Path, *keys: SigningKey, delay: float = 0) -> Iterator[str]:
    """The URL of a witness, which answers after `delay` seconds."""
    rules = WitnessRules(
        WitnessStore(folder / f"{keys[0].name}.db"), keys, read_logs([KEY.verifier.encode()])
    )
    app = create_witness_app(rules)

    async def delayed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await asyncio.sleep(delay)
        await app(scope, receive, send)

    with serving(delayed) as client:
        yield str(client.base_url)


def two_of_three(*urls: str) -> str:
    lines = [
        f"witness W{n} {key.verifier.encode()} {url}"
        for n, (key, url) in enumerate(zip(WITNESSES, urls, strict=True))
    ]
    return "\n".join([f"log {KEY.verifier.encode()}", *lines, "group G 2 W0 W1 W2", "quorum G", ""])


def cosigned(log: Log, policy: Policy) -> int:
    """The size of the newest head that satisfies the policy."""
    with closing(Database(log.url, GUARD)) as database, database.transaction(read_only=True) as connection:
        head = satisfying_head(connection, policy)
    return -1 if head is None else head.size


@pytest.mark.thorough
def test_two_of_three_witnesses_cosign_the_same_heads_of_a_growing_log(log: Log, tmp_path: Path) -> None:
    ended = threading.Event()

    def grow() -> None:
        while not ended.is_set():
            log.add(*[1] * 50)  # some milliseconds each: hardly two reads find the same newest head

    with ExitStack() as stack:
        urls = [
            stack.enter_context(witnessing(tmp_path, key, delay=delay))
            for key, delay in zip(WITNESSES[:2], (0, 0.3), strict=True)
        ]
        policy = Policy.parse(two_of_three(*urls, AWAY).encode())
        database = stack.enter_context(closing(Database(log.url, GUARD)))
        places = [
            Witness(key.verifier, url, database, [KEY.verifier])
            for key, url in zip(WITNESSES, [*urls, AWAY], strict=True)
        ]
        growing = threading.Thread(target=grow)
        growing.start()
        stack.callback(growing.join)
        stack.callback(ended.set)
        with guarding(log.url, *places):
            seen = {cosigned(log, policy)}
            until = time.monotonic() + 30
            while len(seen) < 6:
                assert time.monotonic() < until, seen
                time.sleep(0.05)
                seen.add(cosigned(log, policy))


def test_all_places_get_one_head_in_a_round_and_one_more_at_the_end(log: Log) -> None:
    stopping = threading.Event()
    long, short = Rounds(3600, stopping), Rounds(0, threading.Event())
    with closing(Database(log.url, GUARD)) as database:

        def sizes() -> list[int | None]:
            log.add(1)
            with database.transaction(read_only=True) as connection:
                heads = [rounds.head(connection) for rounds in (long, short)]
            return [None if head is None else head.size for head in heads]

        assert [sizes(), sizes()] == [[264, 264], [264, 265]]
        stopping.set()
        assert [sizes(), sizes()] == [[266, 266], [266, 267]]


@pytest.mark.thorough
def test_the_witnesses_of_the_policy_cosign_when_no_others_are_set(log: Log, tmp_path: Path) -> None:
    with ExitStack() as stack:
        urls = [stack.enter_context(witnessing(tmp_path, key)) for key in WITNESSES[:2]]
        text = two_of_three(*urls, AWAY)
        (tmp_path / "policy").write_text(text)
        settings = {
            "database_url": log.url,
            "kafka_bootstrap_servers": NO_BROKER,
            "heads_topic": "",
            "heads_interval_seconds": "0.2",
            "witness_policy": str(tmp_path / "policy"),
        }
        with running(tmp_path, "guard", settings=settings):
            assert eventually(lambda: cosigned(log, Policy.parse(text.encode())) == 263)


def settings_of(policy: Path, **more: object) -> Settings:
    return Settings.model_validate(
        {"witness_policy": policy, "heads_topic": "", "log_vkeys": (KEY.verifier.encode(),)} | more
    )


def places_of(settings: Settings) -> list[str]:
    database = Database("postgresql://localhost:1/none", None)
    with closing(Publisher(IngestSettings(bootstrap_servers=(NO_BROKER,)))) as publisher:
        return [each.name for each in destinations(settings, database, publisher)]


def test_two_keys_of_one_witness_are_two_places(tmp_path: Path) -> None:
    keys = [SigningKey.generate("w.example", algorithm).verifier for algorithm in (COSIGNATURE_V1, ML_DSA_44)]
    lines = [f"witness W{n} {key.encode()} {AWAY}" for n, key in enumerate(keys)]
    (tmp_path / "policy").write_text("\n".join([*lines, "group G all W0 W1", "quorum G", ""]))
    assert places_of(settings_of(tmp_path / "policy")) == [
        f"witness w.example+{key.key_id.hex()}" for key in keys
    ]


def test_the_setting_of_the_witnesses_comes_first_and_must_be_a_quorum(tmp_path: Path) -> None:
    (tmp_path / "policy").write_text(two_of_three(AWAY, "", ""))
    entries = tuple(f"{key.verifier.encode()} {AWAY}" for key in WITNESSES)
    assert len(places_of(settings_of(tmp_path / "policy", witnesses=entries))) == 3
    for witnesses in ((), entries[:1]):
        with pytest.raises(ConfigurationError, match="are no quorum"):
            places_of(settings_of(tmp_path / "policy", witnesses=witnesses))


STRANGER = SigningKey.generate("audit-trail.test/log").verifier.encode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("quorum W0\n", "line 1 of the policy: 'W0' is not defined before"),
        ("", "the policy has no quorum"),
        ("log x\nquorum none\n", "line 1 of the policy: a key is written as name+key id+base64"),
        (None, "can't be read: No such file or directory"),
        (f"log {STRANGER}\nquorum none\n", "has other logs and no key of this one"),
        (two_of_three("ftp://w0.example", AWAY, AWAY), "needs a URL that begins with https:// or http://"),
    ],
    ids=["undefined name", "no quorum", "no key", "no file", "another log", "no URL"],
)
def test_a_policy_that_can_not_work_is_refused_at_the_start(
    text: str | None, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "policy"
    if text is not None:
        file.write_text(text)
    settings = {
        "database_url": "postgresql://localhost:1/none",
        "kafka_bootstrap_servers": NO_BROKER,
        "witness_policy": str(file),
        "log_vkeys": KEY.verifier.encode(),
    }
    ended = run("guard", settings=settings)
    assert (ended.returncode, "Traceback" in ended.stderr) == (2, False), ended.stderr
    assert says in ended.stderr
