"""The exports of the dashboard, from the settings."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta

from audit_trail.databases import Pool, open_database
from audit_trail.settings import Settings
from audit_trail.trust.keys import trusted_keys, witness_policy
from queries.export.pipeline import Exports
from queries.export_jobs.job_folder import JobFolder
from queries.export_jobs.making import Kits
from queries.export_jobs.runner import ExportJobs
from queries.export_jobs.temporary import temporary_folder


def export_jobs(settings: Settings, opened: ExitStack) -> ExportJobs:
    """The jobs. `opened` closes what they use. Raises `ConfigurationError` when the folder can't be used."""
    database = open_database(settings, Pool.EXPORT_JOBS)
    opened.callback(database.close)
    keep, most = timedelta(hours=settings.export_keep_hours), settings.export_max_bytes
    folder = (
        temporary_folder(keep=keep, most_bytes=most)
        if settings.export_folder is None
        else JobFolder.opened(settings.export_folder, keep=keep, most_bytes=most)
    )
    return ExportJobs(
        Exports(database),
        opened.enter_context(folder),
        Kits(database, trusted_keys(settings)[0], witness_policy(settings)),
    )
