"""One job: what was asked for, by whom, and how far it is. Its state is a small JSON file, which all processes read."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from domain.access.grants import Grant
from domain.access.principal import Principal
from queries.export.request import Format

_ID = re.compile(r"[0-9a-f]{48}", re.ASCII)


class JobFormat(StrEnum):
    """What a job makes. The values are stored; never rename one."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"
    EVIDENCE = "evidence"

    @property
    def rows(self) -> Format:
        """The format of the rows. A kit reads the events in the order of the log, and stores them as they are."""
        return Format.NDJSON if self is JobFormat.EVIDENCE else Format(self.value)

    @property
    def media_type(self) -> str:
        """For HTTP."""
        return "application/zip" if self is JobFormat.EVIDENCE else self.rows.media_type

    @property
    def extension(self) -> str:
        """The end of the file's name."""
        return "zip" if self is JobFormat.EVIDENCE else self.value


class JobState(StrEnum):
    """The state of a job. The values are stored; never rename one."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


OPEN = frozenset({JobState.WAITING, JobState.RUNNING})


class Owner(Struct, frozen=True):
    """Who asked. An id is unique within its issuer."""

    issuer: str | None
    id: str

    @property
    def prefix(self) -> str:
        """What the ids of this owner's jobs begin with: the jobs of one person are found without reading the others."""
        return hashlib.sha256(f"{self.issuer}\0{self.id}".encode()).hexdigest()[:16]


def owner_of(principal: Principal) -> Owner:
    """The owner of the jobs that `principal` starts."""
    return Owner(principal.issuer, principal.id)


class Job(Struct, frozen=True, kw_only=True):
    """A job.

    `pairs`: the filter and the range as parameters of the explorer. `query`: the query of the access records.
    `grants`: the rights with which the file is made, and without which it can't be downloaded. `of`: how many rows are
    expected, if that was cheap to know. `bytes` and `sha256` are those of the finished file, which is complete up to
    `as_of_position`. `note`: what to know about the file. `reason`: why there is none. `expires_at`: when the file is
    deleted, and a job without a file forgotten.
    """

    id: str
    owner: Owner
    format: JobFormat
    pairs: tuple[tuple[str, str], ...]
    query: dict[str, Any]
    grants: tuple[Grant, ...]
    state: JobState = JobState.WAITING
    created_at: datetime
    began_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime | None = None
    step: str = ""
    rows: int = 0
    of: int | None = None
    bytes: int = 0
    sha256: str = ""
    as_of_position: int | None = None
    log_size: int | None = None
    note: str = ""
    reason: str = ""
    downloads: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it waits or runs."""
        return self.state in OPEN

    def is_over(self, now: datetime) -> bool:
        """Whether the time of its file is over. The file itself is deleted soon after that."""
        return self.state is JobState.DONE and self.expires_at is not None and self.expires_at <= now

    def ended(self, state: JobState, at: datetime, keep: timedelta, **changes: Any) -> Job:
        """The job with its end, and with what else changes then. It is kept for `keep` from then on."""
        return replace(self, state=state, ended_at=at, expires_at=at + keep, step="", **changes)

    def described(self) -> dict[str, Any]:
        """The file, for the event of a download or a deletion."""
        return self.query | {
            "job": self.id,
            "state": self.state.value,
            "rows": self.rows,
            "bytes": self.bytes,
            "sha256": self.sha256 or None,
            "as_of_position": self.as_of_position,
        }


def new_id(owner: Owner) -> str:
    """A new id, which nobody can guess."""
    return owner.prefix + secrets.token_hex(16)


def is_id(text: str) -> bool:
    """Whether `text` can be the id of a job, and so the name of its folder."""
    return _ID.fullmatch(text) is not None


def of_prefix(names: Sequence[str], owner: Owner) -> list[str]:
    """Those of `names` that are ids of this owner's jobs."""
    return [name for name in names if name.startswith(owner.prefix) and is_id(name)]
