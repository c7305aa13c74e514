"""A mean over seeds, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 99 % t-interval (ddof 1)."""

    mean: float
    low: float
    high: float

    @property
    def sign(self):
        """1 or -1 where the interval lies on one side of 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def interval(values):
    """The mean of values, one for each seed, with its 99 % t-interval: Interval."""
    values = np.asarray(values, dtype=float)
    mean, half = values.mean(), student.ppf(0.995, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return Interval(float(mean), float(mean - half), float(mean + half))
