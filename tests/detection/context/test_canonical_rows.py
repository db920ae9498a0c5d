"""Rows get one order and each is there once, whatever the files' order is, and however little memory there is."""

from __future__ import annotations

import random
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from detection.context.canonical import CanonicalRows
from detection.context.chunks import Digest, in_chunks, rows_of
from detection.context.files.reading import Reading
from detection.context.files.source import Tally
from detection.context.loading import canonical_rows, check_files
from detection.context.rows import make_row
from detection.context.tables import TABLES
from domain.errors import LogInconsistentError, RejectedError

TABLE = TABLES["staff"]


def _canonical(ids: list[str], run_bytes: int = 1 << 20) -> list[bytes]:
    with CanonicalRows(TABLE, run_bytes=run_bytes) as rows:
        for number, id in enumerate(ids):
            rows.add(f"line {number}\n\t", make_row(TABLE, {"id": id}))
        found = list(rows.sorted())
        assert rows.repeated == len(ids) - len(set(ids))
    return found


def test_the_order_does_not_depend_on_the_files_or_on_memory() -> None:
    ids = [f"user {n}" for n in range(500)] + ["a", "a!", 'a"', "ä", "a\\"] * 2
    expected = _canonical(sorted(set(ids)))
    random.Random(1).shuffle(ids)
    assert _canonical(ids) == _canonical(ids, run_bytes=1000) == expected
    assert len(expected) == 505


def _file(folder: Path, text: str, name: str = "staff.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def _check(*files: Path, table: str = "staff") -> tuple[int, str, dict[str, int]]:
    tally = Tally()
    found = check_files(Reading(table=TABLES[table]), files, tally)
    return found.rows, found.hex, dict(tally.left_out)


def test_two_people_with_one_id_are_an_error_that_names_both_lines(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match=r"line 4, id: the same as in .*line 2, with other content"):
        _check(_file(tmp_path, "id,name\nada,Ada\nbob,Bob\nada,Eve\n"))


def test_an_id_that_several_people_share_names_nobody(tmp_path: Path) -> None:
    """Members of a family have one insurance number: that must not make one patient of them."""
    file = _file(tmp_path, "id,other_ids\nada,x;7\nbob,x;bob;8\neve,ada;9\neve,ada;9\n")
    tally = Tally()
    rows = [msgspec.json.decode(each)[:2] for each in canonical_rows(Reading(table=TABLE), [file], tally)]
    assert rows == [["ada", ["7"]], ["bob", ["8", "bob"]], ["eve", ["9"]]]
    assert tally.left_out == {"rows that are there already": 1, "other ids that several rows have": 3}


def test_rows_that_repeat_count_once(tmp_path: Path) -> None:
    one = _file(tmp_path, "id,name\nada,Ada\nbob,Bob\n")
    two = _file(tmp_path, "name,id\nBob,bob\n", "more.csv")
    rows, digest, left_out = _check(one, two)
    assert (rows, left_out) == (2, {"rows that are there already": 1})
    assert _check(one) == (2, digest, {})


def test_no_row_at_all_is_most_likely_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="no row for staff: --empty loads"):
        _check(_file(tmp_path, "id,name\n"))


def test_a_changed_row_changes_one_chunk() -> None:
    rows = [b'["p-%06d",[],"name",null]' % n for n in range(20_000)]
    before = {chunk.digest for chunk in in_chunks(rows)}
    assert len(before) > 40
    rows.insert(7000, b'["p-006999a",[],"new",null]')
    del rows[15_000]
    after = list(in_chunks(rows))
    assert len({chunk.digest for chunk in after} - before) <= 4
    assert [row for chunk in after for row in rows_of(chunk.digest, chunk.content)] == rows


def test_a_chunk_that_was_changed_is_noticed() -> None:
    [chunk] = in_chunks([b'["ada"]'])
    [other] = in_chunks([b'["eve"]'])
    for content in (other.content, b"nothing", chunk.content[:-8]):
        with pytest.raises(LogInconsistentError, match="not the one that was loaded"):
            rows_of(chunk.digest, content)


def test_the_digest_is_of_the_rows_alone() -> None:
    digest = Digest()
    assert list(digest.counted([b"a", b"b"])) == [b"a", b"b"]
    assert (digest.rows, digest.hex) == (2, sha256(b"a\nb\n").hexdigest())
