"""The sample follows from the population and the seed, and every stratum is in it."""

from __future__ import annotations

import random
from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.reviews import sampling
from detection.reviews.sampling import Candidate, draw, quotas
from domain.errors import ConflictError

SEED = b"a seed of the test"
COUNTS = st.dictionaries(st.text("abcdé", min_size=1, max_size=3), st.integers(1, 60), min_size=1, max_size=8)


def population(counts: dict[str, int]) -> list[Candidate]:
    made = [
        Candidate(f"{stratum}-{number}", stratum, None, (number,), "")
        for stratum, count in counts.items()
        for number in range(count)
    ]
    random.Random(7).shuffle(made)
    return made


def draw_as_documented(candidates: list[Candidate], size: int, seed: bytes) -> list[Candidate]:
    """The text of the module, written down a second time as plainly as possible."""
    counts = Counter(each.stratum for each in candidates)
    total = len(candidates)

    def rank(stratum: str, key: str) -> bytes:
        return sha256(seed + b"\0" + stratum.encode() + b"\0" + key.encode()).digest()

    if size >= total:
        return candidates
    if len(counts) >= size:
        quota = dict.fromkeys(sorted(counts, key=lambda each: rank(each, ""))[:size], 1)
    else:
        quota = {each: min(counts[each], max(1, size * counts[each] // total)) for each in counts}
        while sum(quota.values()) < size:
            free = [each for each in sorted(quota) if quota[each] < counts[each]]
            quota[min(free, key=lambda each: quota[each] * total - size * counts[each])] += 1
        while sum(quota.values()) > size:
            free = [each for each in sorted(quota) if quota[each] > 1]
            quota[max(free, key=lambda each: quota[each] * total - size * counts[each])] -= 1
    drawn: set[Candidate] = set()
    for stratum, number in quota.items():
        own = [each for each in candidates if each.stratum == stratum]
        drawn.update(sorted(own, key=lambda each: rank(stratum, each.key))[:number])
    return [each for each in candidates if each in drawn]


@given(counts=COUNTS, size=st.integers(1, 80))
def test_the_sample_is_the_documented_one(counts: dict[str, int], size: int) -> None:
    candidates = population(counts)
    assert draw(lambda: candidates, size, SEED).drawn == draw_as_documented(candidates, size, SEED)


@given(counts=COUNTS, size=st.integers(1, 80))
def test_the_sample_has_its_size_and_every_stratum_that_fits(counts: dict[str, int], size: int) -> None:
    sample = draw(lambda: population(counts), size, SEED)
    found = Counter(each.stratum for each in sample.drawn)
    assert len(sample.drawn) == min(size, sum(counts.values()))
    assert len(found) == min(size, len(counts))
    assert sample.population == dict(sorted(counts.items()))


def test_quotas_are_proportional() -> None:
    assert quotas({"large": 900, "small": 90, "tiny": 10}, 100, SEED) == {"large": 90, "small": 9, "tiny": 1}
    assert quotas({"large": 9990, "tiny": 10}, 10, SEED) == {"large": 9, "tiny": 1}


def test_another_seed_draws_others() -> None:
    candidates = population({"a": 500})
    one, two = (draw(lambda: candidates, 20, seed).drawn for seed in (SEED, b"another"))
    assert one != two
    assert draw(lambda: candidates, 20, SEED).drawn == one


def test_too_many_strata_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "MAX_STRATA", 3)
    with pytest.raises(ConflictError, match=r"strata: .* choose coarser ones"):
        draw(lambda: population(dict.fromkeys("abcd", 1)), 2, SEED)
