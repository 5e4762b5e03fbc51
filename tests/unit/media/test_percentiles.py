"""Percentiles: exact while few, bounded and near when many."""

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcctl.media.percentiles import RELATIVE_ERROR, Distribution

VALUES = st.floats(-1e6, 1e6)
RANKS = (0.0, 1.0, 50.0, 95.0, 99.0, 100.0)


def nearest_rank(values: list[float], rank: float) -> float:
    return sorted(values)[max(1, math.ceil(rank * len(values) / 100)) - 1]


@given(st.lists(VALUES, min_size=1, max_size=200))
def test_exact(values: list[float]):
    """A percentile is the nearest rank of all samples, and reading it twice gives the same."""
    distribution = Distribution()
    for value in values:
        distribution.add(value)
        distribution.percentiles(50)
    expected = tuple(nearest_rank(values, rank) for rank in RANKS)
    assert distribution.percentiles(*RANKS) == expected
    assert distribution.percentiles(*RANKS) == expected
    assert len(distribution) == len(values)
    assert distribution.is_exact


@given(st.lists(VALUES, min_size=11, max_size=200))
def test_near_beyond_the_bound(values: list[float]):
    """Beyond the bound a percentile is right to half a per cent of its value, negative ones too."""
    distribution = Distribution(exact_samples=10)
    for value in values:
        distribution.add(value)
    assert not distribution.is_exact
    assert len(distribution) == len(values)
    found = distribution.percentiles(*RANKS)
    assert found is not None
    for rank, value in zip(RANKS, found, strict=True):
        assert value == pytest.approx(nearest_rank(values, rank), rel=RELATIVE_ERROR * 1.001, abs=2e-6)


def test_memory_is_bounded():
    """A hundred times more samples than are kept take a few hundred buckets."""
    distribution = Distribution(exact_samples=1000)
    for i in range(100_000):
        distribution.add(1 + i % 997 / 10)
    assert len(distribution._buckets) < 500
    assert not distribution._samples


def test_a_receiver_of_a_load_test_is_small():
    """What is kept of the samples never takes more than 100 KB, so that thousands of receivers fit into a machine."""
    distribution = Distribution()
    largest = 0
    for i in range(12_000):
        distribution.add(1 + i % 997 / 10)
        largest = max(largest, sys.getsizeof(distribution._samples))
    assert not distribution.is_exact
    assert largest < 100_000


def test_nothing():
    """Without samples there is no percentile, at first and after `clear`."""
    distribution = Distribution(exact_samples=1)
    assert distribution.percentiles(50) is None
    distribution.add(1.0)
    distribution.add(2.0)
    distribution.clear()
    assert distribution.percentiles(50) is None
    assert len(distribution) == 0
    assert distribution.is_exact


def test_a_sample_that_is_no_number_is_a_bug():
    """NaN has no rank."""
    with pytest.raises(AssertionError):
        Distribution().add(math.nan)
