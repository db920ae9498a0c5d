"""Names and addresses with realistic frequencies: some surnames are very common, most are rare."""

from __future__ import annotations

from itertools import accumulate
from random import Random


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_COMMON = _words("""
    Gruber Huber Wagner Müller Pichler Moser Steiner Mayer Bauer Hofer Leitner Berger Fuchs Eder Fischer
    Schmid Winkler Weber Schwarz Maier Schneider Reiter Mayr Schmidt Wimmer Egger Brunner Lang Baumgartner
    Auer Binder Lechner Wolf Wallner Aigner Ebner Koller Lehner Haas Schuster Heilig Petrović Jovanović Yildiz
    Novák Horvat
""")
_BEGINNINGS = _words("""
    Ahorn Birken Dorn Eichen Farn Felsen Glas Hasel Kiesel Kupfer Linden Moor Nebel Quell Raben Reben Sand
    Schiefer Schilf Silber Stein Tannen Torf Ulmen Wiesen Wolken
""")
_ENDINGS = _words("""
    acher bacher berger brunner egger felder gasser hauser hofer huber kofler leitner mayr moser reiter rieder
    schmied steiner taler wallner wanger wieser
""")
_GIVEN = _words("""
    Anna Maria Eva Julia Lena Sarah Laura Lisa Katharina Elisabeth Sophie Hannah Emma Mia Nora Ines Clara
    Helga Renate Ingrid Lukas Tobias David Florian Markus Thomas Michael Andreas Josef Johann Franz Karl Peter
    Paul Simon Felix Jakob Elias Max Otto Emir Milan Jan Ali Petra Monika
""")
_STREETS = _words("""
    Hauptstraße Bahnhofstraße Kirchengasse Schulgasse Gartenweg Feldgasse Lindenallee Mühlweg Ringstraße
    Seeweg Bergstraße Wiesengasse Waldweg Rosengasse Neugasse Dorfplatz Sonnenweg Brunnengasse Marktplatz
    Quellenstraße Am_Anger Am_Bach Steingasse Bachgasse Birkenweg Fliedergasse Kapellenweg Ufergasse
    Weinbergweg Ziegelofengasse
""")

SURNAMES = (*_COMMON, *(begin + end for end in _ENDINGS for begin in _BEGINNINGS))
_WEIGHTS = tuple(accumulate(1 / (rank + 12) for rank in range(len(SURNAMES))))
"""Zipf's law with an offset: of 20,000 people, the most common surname has 420 and half of the surnames under 10."""


def surname(chance: Random) -> str:
    """A surname by frequency."""
    return chance.choices(SURNAMES, cum_weights=_WEIGHTS)[0]


def given_name(chance: Random) -> str:
    """A given name."""
    return chance.choice(_GIVEN)


def address(chance: Random) -> str:
    """A street, a number and often a door."""
    street = f"{chance.choice(_STREETS).replace('_', ' ')} {chance.randint(1, 90)}"
    return f"{street}/{chance.randint(1, 24)}" if chance.random() < 0.6 else street
