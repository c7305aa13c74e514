"""T9: the bytes that a batch of the usual network takes, counted before anything is allocated.

    bytes(B) = fixed + B each,  B >= 2

since every array of a program has the batch index once or not at all: parameters and their gradients do not, values and
theirs do. At B = 1 a product over b needs a few bytes less.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from .models import MLP

T4_BYTES = 16e9         # NVIDIA T4: data sheet, of which a driver keeps a part; not measured


@dataclass(frozen=True)
class Bytes:
    """one: bytes at B = 1. fixed, each: of the line above."""

    one: int
    fixed: int
    each: int

    def of(self, B):
        """The bytes that a program for B examples will hold."""
        return self.one if B == 1 else self.fixed + B * self.each

    def largest(self, free):
        """The largest batch that fits into `free` bytes; 0 when not even one example does."""
        return int((free - self.fixed) // self.each) if self.of(2) <= free else int(self.one <= free)

    @property
    def knee(self):
        """The B at which the examples take as many bytes as all that has no b."""
        return self.fixed / self.each


@functools.lru_cache(maxsize=256)
def predicted(i, j, y=10, dtype="float32"):
    """Bytes of the usual network, from three counts of its graph."""
    one, two, three = (MLP.with_index("b").nbytes(dtype, b=B, i=i, j=j, y=y) for B in (1, 2, 3))
    return Bytes(one, two - 2 * (three - two), three - two)
