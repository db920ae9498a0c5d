"""The names of our environment variables. Each setting has one: the prefix, and the setting's name in upper case."""

from __future__ import annotations

PREFIX = "AUDIT_TRAIL_"
FILE_VARIABLE = f"{PREFIX}SETTINGS_FILE"
"""Names the file with the settings that no variable gives."""
