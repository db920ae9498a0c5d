"""An analyst's file where a command takes the name of a projection: its projector, its database, its rebuild."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from audit_trail.runtime.garbage_collection import spare_the_collector
from audit_trail.settings import Settings
from event_store.database import Database
from projections.custom.access import begin_own, bind_own, open_own, source_of
from projections.custom.source_file import OwnProjector, load_own
from projections.rebuild.worker import OpenDatabase, Source


class OwnProjection:
    """A file that was read and found good, with its role in the database.

    Raises `CodeError` when the file is broken or its name is another's, `ConfigurationError` when it can't be read.
    """

    def __init__(self, settings: Settings, argument: str) -> None:
        self._file = Path(argument)
        self._url = settings.require_database_url()
        self._size = settings.database_pool_size
        self.projector: OwnProjector = load_own(self._file)
        begin_own(self._url, self.projector)
        bind_own(self._url, self.projector)

    def database(self) -> Database:
        """In the projection's own role; the caller closes it."""
        return open_own(self._url, self.projector.name, self._size)

    def open_database(self) -> OpenDatabase:
        """The same for worker processes."""
        return partial(_worker_database, self._url, self.projector.name, self._size)

    def source(self) -> Source:
        """The projector for worker processes."""
        return partial(source_of, self._file, self._url)


def _worker_database(url: str, name: str, size: int) -> Database:
    spare_the_collector()
    return open_own(url, name, size)
