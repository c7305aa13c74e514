"""A mean over seeds, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit    # the quantile of Student's t; scipy.stats takes twice as long to import, and 50 MB


@dataclass(frozen=True)
class Interval:
    """A mean over seeds, or another statistic, and its interval."""

    mean: float
    low: float
    high: float

    @property
    def sign(self):
        """1 or -1 where the interval lies on one side of 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    def order(self, above="higher", below="lower"):
        """In words: which sign the interval allows."""
        return {1: above, -1: below, 0: "not resolvably different"}[self.sign]


def half_width(values, level=0.99):
    """Half of the t-interval of a mean over the last axis, one value for each seed: t s / sqrt(n), s with ddof = 1."""
    n = values.shape[-1]
    return stdtrit(n - 1, (1 + level) / 2) * values.std(axis=-1, ddof=1) / n**0.5


def interval(values, level=0.99):
    """The mean of values, one for each seed, with its t-interval: Interval."""
    values = np.asarray(values, dtype=float)
    mean, half = values.mean(), half_width(values, level)
    return Interval(float(mean), float(mean - half), float(mean + half))
