"""A stratified sample that follows from the population and a seed, so that anybody can draw it again.

1. The rank of a candidate is SHA-256 of the seed, a zero byte, the stratum in UTF-8, a zero byte, and the key in UTF-8.
2. The sample size is divided by the strata in proportion to their candidates. Each stratum gets at least one; of more
   strata than the sample has items, those with the lowest ranks (of the empty key) get one. The quota of a stratum is
   the whole part of its proportion, at least one, at most its candidates. What is left over goes, one item at a time,
   to the stratum that is furthest below its proportion; what is too much is taken from the one that is furthest above.
   Of equal ones, the first by name counts.
3. Of each stratum those candidates with the lowest ranks are drawn.

The order of the items is that of the candidates. Two passes over the population need memory for the sample alone.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple

from domain.errors import ConflictError, Reason

MAX_STRATA = 5000
"""More would say little of each; the event of the beginning counts each one."""


class Candidate(NamedTuple):
    """What may become an item. `key` is unique in the population."""

    key: str
    stratum: str
    subject: str | None
    positions: tuple[int, ...]
    what: str


Population = Callable[[], Iterable[Candidate]]
"""Each call gives the same candidates in the same order."""


class Sample(NamedTuple):
    """`population`: how many candidates each stratum had."""

    drawn: list[Candidate]
    population: dict[str, int]


def draw(population: Population, size: int, seed: bytes) -> Sample:
    """A sample of at most `size` candidates. Raises `ConflictError` when there are too many strata."""
    counts: Counter[str] = Counter()
    for candidate in population():
        counts[candidate.stratum] += 1
        if len(counts) > MAX_STRATA:
            raise ConflictError(
                Reason.INVALID_FIELD,
                f"the events divide into more than {MAX_STRATA} strata: choose coarser ones, or a narrower filter",
                field="strata",
            )
    wanted = quotas(counts, size, seed)
    lowest: dict[str, list[tuple[int, int, Candidate]]] = {stratum: [] for stratum in wanted}
    for number, candidate in enumerate(population()):
        heap = lowest.get(candidate.stratum)
        if heap is None:
            continue
        entry = (-rank(seed, candidate.stratum, candidate.key), -number, candidate)
        if len(heap) < wanted[candidate.stratum]:
            heapq.heappush(heap, entry)
        elif entry[:2] > heap[0][:2]:
            heapq.heapreplace(heap, entry)
    found = sorted((-number, candidate) for heap in lowest.values() for _, number, candidate in heap)
    return Sample([candidate for _, candidate in found], dict(sorted(counts.items())))


def rank(seed: bytes, stratum: str, key: str) -> int:
    """The rank of a candidate; the lowest ones are drawn."""
    return int.from_bytes(sha256(b"\0".join((seed, stratum.encode(), key.encode()))).digest(), "big")


def quotas(counts: Mapping[str, int], size: int, seed: bytes) -> dict[str, int]:
    """How many items each stratum gets; strata without an item are left out."""
    total = sum(counts.values())
    if size >= total:
        return dict(counts)
    if len(counts) >= size:
        return dict.fromkeys(sorted(counts, key=lambda each: rank(seed, each, ""))[:size], 1)
    found = {stratum: min(count, max(1, size * count // total)) for stratum, count in counts.items()}
    left = size - sum(found.values())
    step = 1 if left > 0 else -1
    # How far each stratum is beyond its proportion, in parts of `total`: the smallest one is changed next.
    beyond = [(step * (found[each] * total - size * counts[each]), each) for each in counts]
    heapq.heapify(beyond)
    while left:
        distance, stratum = heapq.heappop(beyond)
        if found[stratum] == (counts[stratum] if step > 0 else 1):
            continue
        found[stratum] += step
        left -= step
        heapq.heappush(beyond, (distance + total, stratum))
    return found
