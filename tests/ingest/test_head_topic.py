"""The topic of tree heads: created so that it keeps every head, and reported when it does not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from uuid import uuid4

import msgspec
import pytest
from structlog.testing import capture_logs

from ingest.head_topic import HeadTopic
from ingest.partitions.topics import TopicConfig, Topics
from ingest.publisher import Publisher
from ingest.settings import IngestSettings


def read(settings: IngestSettings, topic: str) -> list[str]:
    """Read the heads of `topic`. Returns the names of what is logged."""
    with closing(Publisher(settings)) as publisher, capture_logs() as lines:
        assert list(HeadTopic(settings, topic, publisher).published()) == []
    return [line["event"] for line in lines]


def test_the_program_creates_one_partition_that_keeps_every_head(settings: IngestSettings) -> None:
    name = f"heads-{uuid4().hex}"
    creating = msgspec.structs.replace(settings, create_topics=True, partitions=4)
    assert read(creating, name) == ["topic_created"]
    assert read(creating, name) == []
    with closing(Topics(settings)) as topics:
        assert topics.describe((name,))[name].partitions == (0,)
        assert topics.configs((name,))[name] in (TopicConfig(False), TopicConfig())


def test_a_missing_topic_is_not_created_without_the_setting(settings: IngestSettings) -> None:
    name = f"heads-{uuid4().hex}"
    assert read(settings, name) == []
    with closing(Topics(settings)) as topics:
        assert topics.describe((name,)) == {}


@pytest.mark.needs_kafka
@pytest.mark.parametrize(
    "configs",
    [
        {},
        {"retention.ms": "-1", "retention.bytes": "1000"},
        {"retention.ms": "-1", "cleanup.policy": "compact"},
    ],
)
def test_a_topic_that_deletes_heads_is_reported(
    settings: IngestSettings, make_topic: Callable[..., str], configs: dict[str, str]
) -> None:
    assert read(settings, make_topic(1, configs)) == ["heads_topic_deletes_heads"]
