"""The keys that the log is signed and verified with, and the policy of its witnesses."""

from __future__ import annotations

from collections.abc import Sequence

from audit_trail.environment import PREFIX
from audit_trail.policy_file import read_policy
from audit_trail.settings import Settings
from domain.errors import ConfigurationError, ProofError
from event_store.signing import HeadSigner, read_key_file, read_public, read_signer
from event_store.tlog.notes import VerifierKey
from event_store.tlog.policy import Policy


def key_text(settings: Settings) -> str:
    """The lines of the key file. Raises `ConfigurationError` when there are none."""
    if settings.log_key is not None:
        return settings.log_key.get_secret_value()
    if settings.log_key_file is None:
        raise ConfigurationError(
            f"{PREFIX}LOG_KEY_FILE is not set: what appends signs the log's head."
            " Make a key once, with `audit-trail keys new`"
        )
    return read_key_file(settings.log_key_file)


def signer(settings: Settings) -> HeadSigner:
    """The signer of tree heads."""
    return read_signer(key_text(settings))


def trusted_keys(settings: Settings, vkeys: Sequence[str] = ()) -> tuple[tuple[VerifierKey, ...], bool]:
    """The public keys that the log is verified with, and whether they come from outside the database.

    They are `vkeys`, else those of the settings, else those of the key file. When there are none, only the database
    names keys, which proves little. Raises `ConfigurationError` for a malformed key.
    """
    given = vkeys or settings.log_vkeys
    if given:
        try:
            return tuple(map(VerifierKey.parse, given)), True
        except ProofError as exc:
            raise ConfigurationError(f"a public key of the log can't be read: {exc}") from exc
    if settings.log_key is None and settings.log_key_file is None:
        return (), False
    keys = tuple(read_public(key_text(settings)))
    return keys, bool(keys)


def witness_policy(settings: Settings) -> Policy | None:
    """The policy that signed heads have to satisfy; None when the settings name none. See `read_policy`."""
    if settings.witness_policy is None:
        return None
    return read_policy(settings.witness_policy, trusted_keys(settings)[0])
