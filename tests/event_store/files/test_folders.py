"""What somebody else may have put where a file of ours belongs is refused, and is never followed or changed."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit_trail.settings import load
from domain.errors import ConfigurationError, UnavailableError
from event_store.files.folders import Folder, create_file, read_file, read_input
from event_store.heads import StoredHead
from event_store.publication.folder import HeadFolder
from event_store.signing import create_key_file, read_key_file
from event_store.witness.store import WitnessStore
from tests.signing import TEXT
from web.authentication.api_tokens import read_tokens
from web.authentication.api_tokens_file import remove_token

SECRET = "somebody's own"
OTHER = 12345
"""The number of another user."""


def link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def hard_link(path: Path, victim: Path) -> None:
    path.hardlink_to(victim)


def dangling(path: Path, victim: Path) -> None:
    path.symlink_to(victim.with_name("nowhere"))


def link_to_folder(path: Path, victim: Path) -> None:
    path.symlink_to(victim.parent)


def pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def folder(path: Path, _: Path) -> None:
    path.mkdir()


def unix_socket(path: Path, _: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))


def device(path: Path, _: Path) -> None:
    path.symlink_to("/dev/zero")


Plant = Callable[[Path, Path], None]
PLANTED: tuple[Plant, ...] = (link, dangling, link_to_folder, pipe, folder, unix_socket, device)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A file that must be the same at the end, in a folder where nothing may appear."""
    (tmp_path / "victim").mkdir()
    file = tmp_path / "victim" / "file"
    file.write_text(SECRET)
    file.chmod(0o600)
    yield file
    assert file.read_text() == SECRET
    assert list(file.parent.iterdir()) == [file]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder in which others plant things."""
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared"


@pytest.mark.parametrize("plant", [*PLANTED, hard_link])
def test_nothing_but_an_ordinary_file_of_ones_own_is_written_to(
    shared: Path, victim: Path, plant: Plant
) -> None:
    plant(shared / "name", victim)
    with Folder.open(shared) as opened:
        for mode in ("ab", "wb"):
            with pytest.raises((ConfigurationError, IsADirectoryError)):
                opened.open_file("name", mode)
        with pytest.raises((ConfigurationError, FileExistsError)):
            opened.open_file("name", "xb")
        with pytest.raises((ConfigurationError, IsADirectoryError)), opened.locked("name", wait=True):
            pass


@pytest.mark.parametrize("plant", PLANTED)
def test_nothing_but_an_ordinary_file_is_read_or_replaced(shared: Path, victim: Path, plant: Plant) -> None:
    plant(shared / "name", victim)
    with Folder.open(shared) as opened:
        with pytest.raises(ConfigurationError):
            opened.read("name", 100)
        with pytest.raises(ConfigurationError):
            opened.replace("name", b"ours")
        with pytest.raises(ConfigurationError):
            opened.subfolder("name") if plant is not folder else opened.read("name", 1)
    assert len(list(shared.iterdir())) == 1


def test_a_folder_that_is_swapped_after_its_check_is_still_the_one_that_was_checked(
    shared: Path, victim: Path
) -> None:
    with Folder.open(shared) as opened, opened.subfolder("work") as work:
        (shared / "work").rename(shared / "moved")
        (shared / "work").symlink_to(victim.parent)
        work.replace("state", b"1")
        with work.open_file("data", "ab") as file:
            file.write(b"2")
        assert work.names() == ["data", "state"]
    assert sorted(path.name for path in (shared / "moved").iterdir()) == ["data", "state"]


def test_a_folder_where_anyone_may_replace_files_is_refused(shared: Path) -> None:
    shared.chmod(0o777)
    with pytest.raises(ConfigurationError, match="chmod o-w"):
        Folder.open(shared)
    shared.chmod(0o1777)
    Folder.open(shared).close()


def test_what_belongs_to_somebody_else_is_not_used(
    shared: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shared / "log").touch()
    (shared / "work").mkdir()
    planted = Path(tempfile.mkdtemp()).with_suffix(".link")  # beside it: root's folder, and no link of root's
    planted.symlink_to(victim)
    if os.geteuid() == 0:  # whose folders and links everybody trusts
        for path in (planted, shared / "work"):
            os.chown(path, OTHER, OTHER, follow_symlinks=False)
    monkeypatch.setattr(os, "geteuid", lambda: OTHER + 1)
    try:
        with Folder.open(shared) as opened:
            with pytest.raises(ConfigurationError, match="another user"):
                opened.open_file("log", "ab")
            with pytest.raises(ConfigurationError, match="another user"):
                opened.subfolder("work")
        with pytest.raises(ConfigurationError, match="belongs to another user"):
            read_file(planted, 100)
        with pytest.raises(ConfigurationError, match="belongs to another user"):
            read_input(planted, 100)
    finally:
        planted.unlink()
        planted.with_suffix("").rmdir()


def test_files_that_are_named_may_be_links_as_containers_make_them(shared: Path) -> None:
    (shared / "..2026").mkdir()
    (shared / "..2026" / "key").write_text("secret")
    (shared / "..data").symlink_to("..2026")
    (shared / "key").symlink_to("..data/key")
    assert read_file(shared / "key", 6) == b"secret"
    with pytest.raises(ConfigurationError, match="larger than 5 bytes"):
        read_file(shared / "key", 5)
    (shared / "round").symlink_to("round")
    with pytest.raises(OSError, match="symbolic links"):
        read_file(shared / "round", 5)


@pytest.mark.parametrize("plant", [*PLANTED, hard_link])
def test_a_key_is_never_made_where_something_is(shared: Path, victim: Path, plant: Plant) -> None:
    plant(shared / "key", victim)
    with pytest.raises(ConfigurationError):
        create_key_file(shared / "key", TEXT)


def test_a_key_is_not_made_where_anyone_could_replace_it(shared: Path) -> None:
    shared.chmod(0o777)
    with pytest.raises(ConfigurationError, match="anyone may replace"):
        create_key_file(shared / "key", TEXT)
    assert not list(shared.iterdir())
    shared.chmod(0o755)
    create_key_file(shared / "key", TEXT)
    assert (shared / "key").stat().st_mode & 0o777 == 0o600
    assert read_key_file(shared / "key") == TEXT


@pytest.mark.parametrize("plant", [pipe, folder, unix_socket, device, dangling])
def test_keys_tokens_and_settings_are_read_from_ordinary_files_alone(
    shared: Path, victim: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(shared / "file", victim)
    with pytest.raises(ConfigurationError):
        read_key_file(shared / "file")
    with pytest.raises(ConfigurationError):
        read_tokens(shared / "file")
    monkeypatch.setenv("AUDIT_TRAIL_SETTINGS_FILE", str(shared / "file"))
    with pytest.raises(ConfigurationError, match="SETTINGS_FILE"):
        load()


def test_settings_that_anyone_may_change_are_refused(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = shared / "settings.toml"
    file.write_text("http_port = 8001\n")
    monkeypatch.setenv("AUDIT_TRAIL_SETTINGS_FILE", str(file))
    assert load().http_port == 8001
    file.chmod(0o666)
    with pytest.raises(ConfigurationError, match=r"SETTINGS_FILE.*chmod"):
        load()


@pytest.mark.parametrize("plant", [*PLANTED, hard_link])
def test_the_lock_of_the_tokens_file_empties_no_other_file(shared: Path, victim: Path, plant: Plant) -> None:
    plant(shared / ".tokens.toml.lock", victim)
    (shared / "tokens.toml").touch()
    with pytest.raises(ConfigurationError):
        remove_token(shared / "tokens.toml", "any")


def head(size: int) -> StoredHead:
    return StoredHead(size=size, root=b"", note=b"note", signed_at=datetime.now(UTC))


@pytest.mark.parametrize("name", ["checkpoint", f"{datetime.now(UTC):%Y-%m-%d}"])
@pytest.mark.parametrize("plant", [each for each in PLANTED if each is not folder])
def test_heads_are_not_published_through_what_was_planted(
    shared: Path, victim: Path, plant: Plant, name: str
) -> None:
    plant(shared / name, victim)
    with pytest.raises((ConfigurationError, UnavailableError)):
        HeadFolder(shared).publish(head(1))


def test_heads_do_not_go_to_a_link(shared: Path, victim: Path) -> None:
    (shared / "heads").symlink_to(victim.parent)
    with pytest.raises(ConfigurationError, match="it is a link"):
        HeadFolder(shared / "heads").publish(head(1))


@pytest.mark.parametrize("sidecar", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("plant", [*PLANTED, hard_link])
def test_a_witness_remembers_nothing_in_what_was_planted(
    shared: Path, victim: Path, plant: Plant, sidecar: str
) -> None:
    plant(shared / f"witness.sqlite{sidecar}", victim)
    with pytest.raises(ConfigurationError):
        WitnessStore(shared / "witness.sqlite")


def test_a_witness_remembers_nothing_where_others_write(shared: Path) -> None:
    shared.chmod(0o1777)
    with pytest.raises(ConfigurationError, match="others may write"):
        WitnessStore(shared / "witness.sqlite")
    shared.chmod(0o755)
    WitnessStore(shared / "witness.sqlite")
    assert (shared / "witness.sqlite").stat().st_mode & 0o777 == 0o600
    WitnessStore(shared / "witness.sqlite")


def test_a_new_file_has_its_rights_before_its_first_byte(shared: Path) -> None:
    before = os.umask(0)
    try:
        create_file(shared / "new", b"1")
        with Folder.make(shared / "a" / "b", 0o711) as made:
            made.replace("public", b"2", 0o644)
    finally:
        os.umask(before)
    assert (shared / "new").stat().st_mode & 0o777 == 0o600
    assert (shared / "a" / "b").stat().st_mode & 0o777 == 0o711
    assert (shared / "a" / "b" / "public").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("plant", [link, link_to_folder, dangling, pipe])
def test_a_folder_is_not_made_through_what_was_planted(shared: Path, victim: Path, plant: Plant) -> None:
    plant(shared / "data", victim)
    with pytest.raises(ConfigurationError):
        Folder.make(shared / "data")


def test_a_service_reads_a_secret_that_root_gave_to_its_group(tmp_path: Path) -> None:
    """As systemd and Kubernetes do. Only root can hand a file to another user."""
    if os.geteuid() != 0:
        return
    nobody = 65534
    file = tmp_path / "log-key"
    file.write_text(TEXT, encoding="utf-8")
    os.chown(file, 0, nobody)
    file.chmod(0o440)
    with pytest.raises(ConfigurationError, match="is open to others"):  # root's own key is root's alone
        read_key_file(file)
    for folder in tmp_path.parents:
        if folder != Path("/tmp") and folder.is_relative_to(tempfile.gettempdir()):  # noqa: S108
            folder.chmod(folder.stat().st_mode | 0o011)
    tmp_path.chmod(0o711)
    os.setegid(nobody)
    os.seteuid(nobody)
    try:
        assert read_key_file(file) == TEXT
    finally:
        os.seteuid(0)
        os.setegid(0)
