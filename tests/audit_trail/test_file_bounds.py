"""A file that is far too large is refused by its size, before memory is spent on it."""

from __future__ import annotations

import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from audit_trail.trust.external_heads import external_heads
from domain.errors import ConfigurationError
from event_store.files.folders import read_input
from event_store.publication.folder import HeadFolder
from graphql_api.execution.trusted_documents import load
from projections.custom.source_file import _read
from tests.audit_trail.programs import PROGRAM, environment, run
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
    assert read_input(file, 5) == b"12345"
    with pytest.raises(ConfigurationError, match="larger than 4 bytes"):
        read_input(file, 4)


def test_a_file_that_never_ends_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="larger"):
        read_input(Path("/dev/zero"), 1 << 20)


def test_a_pipe_is_read_to_its_end_when_it_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_input, tmp_path / "pipe", 5)
        (tmp_path / "pipe").write_bytes(b"12345")
        assert reading.result(30) == b"12345"


@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/0"])
def test_what_a_shell_pipes_to_a_command_is_its_input(name: str) -> None:
    checked = subprocess.run(
        [*PROGRAM, "graphql", "documents", name],
        input="query one { __typename }",
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "query one" in checked.stdout, checked.stderr


def test_an_input_is_no_folder_and_no_socket_and_a_link_of_ones_own_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("1")
    (tmp_path / "mine").symlink_to("file")
    assert read_input(tmp_path / "mine", 1) == b"1"
    with pytest.raises(ConfigurationError, match="a folder: name a file"):
        read_input(tmp_path, 1)
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(tmp_path / "socket"))
    with pytest.raises(OSError, match="No such device"):
        read_input(tmp_path / "socket", 1)


@pytest.mark.parametrize("plant", ["pipe", "dangling link"])
def test_what_is_no_file_among_kept_heads_is_refused_and_not_waited_for(tmp_path: Path, plant: str) -> None:
    (tmp_path / "checkpoint").write_text("head")
    assert [kept.note for kept in external_heads([tmp_path])] == [b"head"]
    if plant == "pipe":
        os.mkfifo(tmp_path / "other")
    else:
        (tmp_path / "other").symlink_to("nowhere")
    with pytest.raises(ConfigurationError, match="other"):
        external_heads([tmp_path])


def test_kept_heads_have_a_limit_together(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text("12345")
    assert len(external_heads([tmp_path], 10)) == 2
    assert len(external_heads([tmp_path / "one", tmp_path / "two"], 10)) == 2
    with pytest.raises(ConfigurationError, match="more than 9 bytes together"):
        external_heads([tmp_path], 9)


def test_a_projection_that_anyone_may_change_is_not_run(tmp_path: Path) -> None:
    file = tmp_path / "reads.py"
    file.write_text("name = 'reads'\n")
    assert "reads" in _read(file)
    file.chmod(0o666)
    with pytest.raises(ConfigurationError, match="chmod"):
        _read(file)


@pytest.mark.parametrize("taken", ["reads.py", "test_reads.py"])
def test_a_new_projection_is_written_over_nothing(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).symlink_to("elsewhere")
    refused = run("projections", "new", "reads", "--folder", tmp_path)
    assert refused.returncode == 2
    assert f"{tmp_path / taken} is there already" in refused.stderr
    assert [file.name for file in tmp_path.iterdir()] == [taken]


def test_a_new_projection_goes_into_a_new_folder_or_one_that_a_link_of_ones_own_names(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real").mkdir()
    for folder in ("link", "deep/new"):
        assert run("projections", "new", "reads", "--folder", tmp_path / folder).returncode == 0
        made = sorted((tmp_path / folder).iterdir())
        assert [file.name for file in made] == ["reads.py", "test_reads.py"]
        assert made[0].stat().st_mode & 0o600 == 0o600


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


def test_a_huge_file_of_heads_is_refused_and_so_it_is_in_the_folder_of_published_heads(huge: Path) -> None:
    with pytest.raises(ConfigurationError, match="larger"):
        external_heads([huge])
    huge.rename(huge.with_name("checkpoint"))
    with pytest.raises(ConfigurationError, match="checkpoint is larger"):
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
