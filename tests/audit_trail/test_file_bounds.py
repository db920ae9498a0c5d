"""A file that is far too large is refused by its size, before memory is spent on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit_trail.trust import kept_heads
from domain.errors import ConfigurationError
from event_store.files import read_limited
from event_store.publication.folder import HeadFolder
from graphql_api.trusted import load
from projections.own_file import _read
from tests.audit_trail.programs import run
from web.authentication.api_tokens import read_tokens
from web.authentication.key_sets import FileKeys

GIB = 1 << 30


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    """A gibibyte that takes no room on the disk."""
    file = tmp_path / "huge.graphql"
    with file.open("wb") as hole:
        hole.truncate(GIB)
    return file


def test_a_file_is_read_up_to_its_limit_and_no_further(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert read_limited(file, 5) == b"12345"
    with pytest.raises(ConfigurationError, match="larger than the 4 bytes"):
        read_limited(file, 4)


def test_a_file_that_never_ends_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="larger"):
        read_limited(Path("/dev/zero"), 1 << 20)


@pytest.mark.parametrize("option", [(), ("--raw",)])
def test_publish_refuses_a_huge_file_and_names_it(option: tuple[str, ...], huge: Path) -> None:
    refused = run("publish", *option, huge, settings={"kafka_bootstrap_servers": "127.0.0.1:1"})
    assert refused.returncode == 2
    assert f"{huge} is larger than" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_publish_refuses_files_that_are_too_much_together(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb") as hole:
        hole.truncate(60 << 20)
    refused = run("publish", "--raw", *[file] * 5, settings={"kafka_bootstrap_servers": "127.0.0.1:1"})
    assert refused.returncode == 2
    assert "publish them in several calls" in refused.stderr


def test_a_huge_file_of_heads_is_refused_in_the_folder_of_heads_too(huge: Path) -> None:
    with pytest.raises(ConfigurationError, match="larger"):
        kept_heads([huge])
    huge.rename(huge.with_name("checkpoint"))
    with pytest.raises(ConfigurationError, match="larger"):
        HeadFolder(huge.parent).published()


def test_huge_files_of_tokens_keys_documents_and_projections_are_refused(huge: Path) -> None:
    with pytest.raises(ConfigurationError, match="larger"):
        read_tokens(huge)
    with pytest.raises(ConfigurationError, match="larger"):
        FileKeys(huge)
    with pytest.raises(ConfigurationError, match="together"):
        load(huge)
    with pytest.raises(ConfigurationError, match="together"):
        load(huge.parent)
    with pytest.raises(ConfigurationError, match="larger"):
        _read(huge)
    assert run("graphql", "documents", huge).returncode == 2
