"""Personal names in the place of ids: some sources know only a name, and report it as the id."""

from __future__ import annotations

import re
import unicodedata

_PLAIN = re.compile(r"[A-Za-z0-9._:/|@#*=$-]*")
"""Texts of these characters alone are no names, and most ids consist of nothing else."""
_NAME = re.compile(r"\s|[^\W\d_][,;^&~+]+[^\W\d_]")
"""A blank, or letters on both sides of a separator: ``DOE^JANE`` of HL7 and DICOM, ``Doe,Jane``."""
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")


def is_name(id: str | None) -> bool:
    """Whether `id` looks like a person's name. A single word can't be told from an id."""
    return id is not None and not _PLAIN.fullmatch(id) and _NAME.search(_readable(id)) is not None


def has_name(path: str) -> bool:
    """Whether a URL path, which may be percent-encoded, contains such a name."""
    return is_name(path.replace("+", " "))


def _readable(text: str) -> str:
    """`text` as a person reads it: percent-decoded, in compatibility form, without invisible characters."""
    if "%" in text:
        decoded = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), text.encode("utf-8", "replace"))
        text = decoded.decode("utf-8", "replace")
    if text.isascii():
        return text
    plain = unicodedata.normalize("NFKC", text)
    return "".join(char for char in plain if unicodedata.category(char) not in {"Cf", "Mn"})


def is_like(name: str, other: str) -> bool:
    """Whether a person could mistake `name` for `other`, an ASCII name.

    Names count as alike when they differ only in case, blanks, dashes or invisible characters, in letters that look the
    same (l and I), or in less than half of the letters if those are from another script (homoglyphs).
    """
    left, right = _normalised(name), _normalised(other)
    if len(left) != len(right):
        return False
    pairs = list(zip(left, right, strict=True))
    same = sum(one == two for one, two in pairs)
    return 2 * same > len(pairs) and all(one == two or not one.isascii() for one, two in pairs)


_LOOKALIKES = str.maketrans({"0": "o", "1": "l", "i": "l", "|": "l", "!": "l", "5": "s", "$": "s"})


def _normalised(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).casefold().translate(_LOOKALIKES)
    return "".join(filter(str.isalnum, plain))
