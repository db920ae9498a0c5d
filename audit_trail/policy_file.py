"""The witness policy that the settings name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from audit_trail.environment import PREFIX
from domain.errors import ConfigurationError, ProofError
from event_store.files.folders import read_file
from event_store.tlog.notes import VerifierKey
from event_store.tlog.policy import MAX_POLICY, Policy

SETTING = f"{PREFIX}WITNESS_POLICY"


def read_policy(path: Path | None, keys: Sequence[VerifierKey] = ()) -> Policy | None:
    """The policy in this file; None without a file.

    Raises `ConfigurationError` when it can't be read or is malformed, and when it names logs but none of `keys`, the
    keys of this log.
    """
    if path is None:
        return None
    try:
        policy = Policy.parse(read_file(path, MAX_POLICY))
    except ProofError as exc:
        raise ConfigurationError(f"{SETTING}: {path}: {exc}") from exc
    except OSError as exc:
        raise ConfigurationError(f"{SETTING}: {path} can't be read: {exc.strerror}") from exc
    except ConfigurationError as exc:
        raise ConfigurationError(f"{SETTING}: {exc}") from exc
    if policy.logs and keys and not {log.key.public for log in policy.logs} & {key.public for key in keys}:
        raise ConfigurationError(
            f"{SETTING}: {path} has other logs and no key of this one: no head can satisfy it"
        )
    return policy
