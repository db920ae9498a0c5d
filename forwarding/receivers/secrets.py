"""Secrets in files, as Docker, Kubernetes and systemd hand them over, and the certificates of TLS."""

from __future__ import annotations

import ssl

from domain.errors import ConfigurationError
from event_store.files.secrets import read_secret_file
from forwarding.settings import TlsSettings


def read_secret(path: str, field: str) -> str:
    """The text of a secret's file, without a line break at its end. Raises `ConfigurationError` with the field."""
    value = read_secret_file(path, field)
    if not value.isascii():
        raise ConfigurationError(f"{field}: {path} has characters outside of ASCII")
    if not value or not value.isprintable():
        raise ConfigurationError(f"{field}: {path} must have one line of text")
    return value


def tls_context(settings: TlsSettings, field: str) -> ssl.SSLContext:
    """TLS 1.2 or newer; the receiver's certificate and name are always checked. Raises `ConfigurationError`."""
    if (settings.cert_file is None) != (settings.key_file is None):
        raise ConfigurationError(f"{field}: mutual TLS needs both cert_file and key_file")
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigurationError(f"{field}.ca_file: there are no certificates in {settings.ca_file}") from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.cert_file is not None:
        try:
            # Without a password, Python asks for one on the terminal.
            context.load_cert_chain(settings.cert_file, settings.key_file, password="")
        except (OSError, ssl.SSLError) as exc:
            raise ConfigurationError(
                f"{field}.cert_file and key_file: no certificate with its key, in PEM and without a password, can be"
                " read there"
            ) from exc
    return context
