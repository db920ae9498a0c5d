"""The rules of `promtool check metrics` (client_golang, package promlint), for where the program is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.docker.metric_declarations import Declared

_TYPES = ("counter", "gauge", "histogram", "gauge_histogram", "summary")
_BASE_UNITS = (
    "amperes",
    "bytes",
    "celsius",
    "grams",
    "joules",
    "kelvin",
    "meters",
    "metres",
    "seconds",
    "volts",
)
_OTHER_UNITS = (
    *("minutes", "hours", "days", "weeks", "kelvins", "fahrenheit", "rankine", "inches", "yards", "miles"),
    *("bits", "calories", "pounds", "ounces"),
)
_PREFIXES = (
    *(
        "pico",
        "nano",
        "micro",
        "milli",
        "centi",
        "deci",
        "deca",
        "hecto",
        "kilo",
        "kibi",
        "mega",
        "mibi",
        "giga",
    ),
    *("gibi", "tera", "tebi", "peta", "pebi"),
)
_NO_BASE_UNITS = {
    *_OTHER_UNITS,
    *(prefix + unit for prefix in _PREFIXES for unit in (*_BASE_UNITS, *_OTHER_UNITS)),
}
_ABBREVIATIONS = {"s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"}
_CAMEL_CASE = re.compile(r"[a-z][A-Z]")


def faults(metric: Declared) -> Iterator[str]:
    """What is wrong with the name, the help or the labels of a metric."""
    name, kind, words = metric.name, metric.kind, metric.name.split("_")
    if not metric.help.strip():
        yield "it has no help text"
    if ":" in name:
        yield "it has a colon, which is for rules"
    if any(_CAMEL_CASE.search(each) for each in (name, *metric.labels)):
        yield "it is not in snake_case"
    if any(f"_{type}_" in f"{name}_" for type in _TYPES):
        yield "its name has the type"
    yield from (f"{word} is no base unit" for word in words if word in _NO_BASE_UNITS)
    yield from (f"{word} is short for a unit" for word in words[1:] if word in _ABBREVIATIONS)
    if (kind == "counter") != name.endswith("_total"):
        yield "counters end with _total, and nothing else does"
    if name.endswith(("_bucket", "_count", "_sum")):
        yield "its ending is that of a part of a histogram"
    if {"le", "quantile"} & set(metric.labels):
        yield "its label is that of a histogram or a summary"
