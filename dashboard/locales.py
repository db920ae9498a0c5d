"""How numbers and dates are written for people of a language. The texts of the pages are English for everybody.

The orders and separators are those of the Unicode CLDR. English dates have the month as a word: 03/04 is the third of
April to some readers, and the fourth of March to others.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from msgspec import Struct

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Locale(Struct, frozen=True):
    """`date` is a template with `year`, `month`, `day`, `name` (of the month) and `plain_day`.

    `group` separates thousands, and `point` the decimals.
    """

    tag: str
    date: str
    group: str
    point: str = "."

    def day(self, at: datetime) -> str:
        """The day of a time that is already in its zone."""
        return self.date.format(
            year=f"{at.year:04}",
            month=f"{at.month:02}",
            day=f"{at.day:02}",
            name=_MONTHS[at.month - 1],
            plain_day=at.day,
        )

    def number(self, value: float) -> str:
        """A number with its thousands apart."""
        return f"{value:,}".translate({ord(","): self.group, ord("."): self.point})


_THIN, _WIDE = "\u202f", "\u00a0"
_ISO = "{year}-{month}-{day}"
_DOTS, _SLASHES = "{day}.{month}.{year}", "{day}/{month}/{year}"
PLAIN = Locale("", _ISO, _THIN)
"""For a reader who names no language that is declared: ISO 8601, and thin spaces (ISO 80000-1, section 7.3.1)."""
LOCALES = {
    each.tag: each
    for each in (
        Locale("en", "{plain_day} {name} {year}", ","),
        Locale("en-us", "{name} {plain_day}, {year}", ","),
        Locale("en-ca", _ISO, ","),
        Locale("cs", "{day}. {month}. {year}", _WIDE, ","),
        Locale("da", _DOTS, ".", ","),
        Locale("de", _DOTS, ".", ","),
        Locale("de-at", _DOTS, _WIDE, ","),
        Locale("de-ch", _DOTS, "\u2019"),
        Locale("es", _SLASHES, ".", ","),
        Locale("fi", _DOTS, _WIDE, ","),
        Locale("fr", _SLASHES, _THIN, ","),
        Locale("fr-ca", _ISO, _WIDE, ","),
        Locale("fr-ch", _DOTS, _THIN, ","),
        Locale("it", _SLASHES, ".", ","),
        Locale("it-ch", _DOTS, "\u2019"),
        Locale("ja", "{year}/{month}/{day}", ","),
        Locale("ko", "{year}. {month}. {day}.", ","),
        Locale("nb", _DOTS, _WIDE, ","),
        Locale("no", _DOTS, _WIDE, ","),
        Locale("nl", "{day}-{month}-{year}", ".", ","),
        Locale("pl", _DOTS, _WIDE, ","),
        Locale("pt", _SLASHES, ".", ","),
        Locale("sv", _ISO, _WIDE, ","),
        Locale("zh", "{year}/{month}/{day}", ","),
    )
}


@lru_cache(maxsize=256)
def locale_of(accept_language: str) -> Locale:
    """The locale for an `Accept-Language` (RFC 9110, section 12.5.4): the first language that is declared."""
    weighed = []
    for at, part in enumerate(accept_language[:256].split(",")):
        tag, _, weight = part.strip().lower().partition(";")
        weighed.append((-_weight(weight), at, tag.strip()))
    for refused, _, tag in sorted(weighed):
        # A region that is not declared writes as its language does.
        found = LOCALES.get(tag) or LOCALES.get(tag.partition("-")[0])
        if found is not None and refused:
            return found
    return PLAIN


def _weight(text: str) -> float:
    """The weight of a language; 1 without one, 0 for an invalid one."""
    if not text.strip():
        return 1.0
    try:
        return min(max(float(text.strip().removeprefix("q=")), 0.0), 1.0)
    except ValueError:
        return 0.0
