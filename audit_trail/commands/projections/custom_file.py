"""The file of a custom projection as an argument of a command: its projector, its database, its rebuild."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from audit_trail.runtime.garbage_collection import spare_the_collector
from audit_trail.settings import Settings
from event_store.database import Database
from projections.custom.access import begin_custom, bind_custom, open_custom, source_of
from projections.custom.source_file import CustomProjector, load_custom
from projections.rebuild.worker import OpenDatabase, Source


class CustomProjection:
    """A valid file, with the role of its projection in the database.

    Raises `CodeError` when the file is broken or its name is taken, `ConfigurationError` when it can't be read.
    """

    def __init__(self, settings: Settings, argument: str) -> None:
        self._file = Path(argument)
        self._url = settings.require_database_url()
        self._size = settings.database_pool_size
        self.projector: CustomProjector = load_custom(self._file)
        begin_custom(self._url, self.projector)
        bind_custom(self._url, self.projector)

    def database(self) -> Database:
        """The database in the role of the projection; the caller closes it."""
        return open_custom(self._url, self.projector.name, self._size)

    def open_database(self) -> OpenDatabase:
        """The function that opens the database in worker processes."""
        return partial(_worker_database, self._url, self.projector.name, self._size)

    def source(self) -> Source:
        """The function that makes the projector in worker processes."""
        return partial(source_of, self._file, self._url)


def _worker_database(url: str, name: str, size: int) -> Database:
    spare_the_collector()
    return open_custom(url, name, size)
