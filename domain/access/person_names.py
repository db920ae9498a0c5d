"""Personal names in the place of ids: some sources know only a name, and report it as the id."""

from __future__ import annotations

import re
import unicodedata

_PLAIN = re.compile(r"[A-Za-z0-9._:/|@#*=$-]*")
"""Texts of these characters alone are no names, and most ids consist of nothing else."""
_NAME = re.compile(r"\s|[^\W\d_][,;^&~+\u3001\u060c\u061b]+[^\W\d_]")
"""A blank, or letters on both sides of a separator: ``DOE^JANE`` of HL7 and DICOM, ``Doe,Jane``."""
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")
_MAX_LENGTH = 8192
"""Characters. A longer text is no id: it counts as a name."""
_DECODINGS = 3
"""A text may be percent-encoded several times on its way."""
_LOG = "auditlog"
"""The resource type of access records, in lower case."""
_PLAIN_ADDRESS = 2
"""Slashes in an address that names nobody, such as ``/v1/events``."""
_BLANK = dict.fromkeys((0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0), " ")
"""Characters that look like a blank and are none."""
_INVISIBLE = {"Cf", "Mn", "Mc", "Me"}
"""Categories of invisible characters and combining marks."""
_HL7 = {"\\S\\": "^", "\\T\\": "&", "\\R\\": "~"}
"""Escaped separators (HL7 version 2.5.1, section 2.7)."""


def is_name(id: str | None) -> bool:
    """Whether `id` looks like a person's name. A single word can't be told from an id."""
    if id is None or _PLAIN.fullmatch(id):
        return False
    return len(id) > _MAX_LENGTH or _NAME.search(_readable(id)) is not None


def is_access_record(type: str) -> bool:
    """Whether a resource of this type is an access record, whose id is the queried address: ``/v1/users/...``."""
    return type.rpartition("/")[2].lower() == _LOG


def names_person(type: str, id: str) -> bool:
    """Whether the id of a resource is a person's name, or the address of an access record that may contain one.

    Redaction removes such a resource for a reader who sees no names, and the projection `activity` marks it: a change
    of this rule needs a new version of that model.
    """
    return is_name(id) or (id.count("/") > _PLAIN_ADDRESS and is_access_record(type))


def has_name(path: str) -> bool:
    """Whether a URL path, which may be percent-encoded, contains such a name."""
    return is_name(path.replace("+", " "))


def _readable(text: str) -> str:
    """`text` as a person reads it: decoded, in compatibility form, without invisible characters and accents.

    Combining marks go first: to normalise a long run of them takes time in proportion to its square.
    """
    for _ in range(_DECODINGS):
        if "%" not in text:
            break
        decoded = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), text.encode("utf-8", "replace"))
        text = decoded.decode("utf-8", "replace")
    for escape, separator in _HL7.items():
        text = text.replace(escape, separator)
    if text.isascii():
        return text
    plain = "".join(char for char in text if unicodedata.category(char) not in _INVISIBLE)
    return unicodedata.normalize("NFKC", plain.translate(_BLANK))


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
