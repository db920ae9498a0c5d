"""Names that stand where an id is wanted: of whom a source knows only the name, the name is the id."""

from __future__ import annotations

import re
import unicodedata

_NAME = re.compile(r"\s|[^\W\d_]\^[^\W\d_]")
"""A blank, or the ``DOE^JANE`` of HL7 and DICOM. No identifier that was made to be one has either."""
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")


def is_name(id: str | None) -> bool:
    """Whether `id` reads like a person's name. One of a single word can't be told from an id."""
    return id is not None and _NAME.search(id) is not None


def has_name(path: str) -> bool:
    """Whether there is such a name in an address, in which letters can be escaped."""
    plain = _ESCAPED.sub(
        lambda found: bytes([int(found[1], 16)]), path.replace("+", " ").encode("utf-8", "replace")
    )
    return is_name(plain.decode("utf-8", "replace"))


def is_like(name: str, other: str) -> bool:
    """Whether a person could take `name` for `other`, a name in ASCII.

    They differ in case, blanks, dashes or what is invisible, in letters that look the same (l and I), or in less than
    half of the letters, if these are of another script: each is taken for whatever it stands in for.
    """
    seen, meant = _seen(name), _seen(other)
    if len(seen) != len(meant):
        return False
    pairs = list(zip(seen, meant, strict=True))
    same = sum(one == two for one, two in pairs)
    return 2 * same > len(pairs) and all(one == two or not one.isascii() for one, two in pairs)


_LOOKS = str.maketrans({"0": "o", "1": "l", "i": "l", "|": "l", "!": "l", "5": "s", "$": "s"})


def _seen(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).casefold().translate(_LOOKS)
    return "".join(filter(str.isalnum, plain))
