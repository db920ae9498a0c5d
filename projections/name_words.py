"""The words of a person's name, as an index holds them and as a query looks for them.

A change of this rule needs a new version of the projection `user`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

MAX_WORDS = 8
"""Words of one name that are indexed: more than names have."""
MAX_WORD = 64
"""Characters of one word."""
MIN_WORD = 2
"""Initials are not indexed: they would find half of a hospital."""
_WORD = re.compile(r"[^\W_]+")


@lru_cache(maxsize=20_000)
def name_words(name: str) -> tuple[str, ...]:
    """The words in lower case, without accents, each once: "Dr. Zoë Müller-Lang" has dr, zoe, muller and lang."""
    plain = "".join(
        letter
        for letter in unicodedata.normalize("NFKD", name[:1024])
        if unicodedata.category(letter) not in {"Mn", "Mc", "Me"}
    ).casefold()
    words = (word[:MAX_WORD] for word in _WORD.findall(plain) if len(word) >= MIN_WORD)
    return tuple(dict.fromkeys(words))[:MAX_WORDS]
