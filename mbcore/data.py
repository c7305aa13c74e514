"""Data sets and batch sampling."""

from dataclasses import dataclass, field
from importlib.resources import files
from operator import index

import numpy as np


@dataclass(frozen=True, eq=False)
class DataSet:
    """Read-only arrays. x_train[n,i], x_test[n,i]: float32 in [0, 1]; target_train[n], target_test[n]: int64 labels."""

    name: str
    x_train: np.ndarray = field(repr=False)
    target_train: np.ndarray = field(repr=False)
    x_test: np.ndarray = field(repr=False)
    target_test: np.ndarray = field(repr=False)
    classes: tuple
    description: str
    licence: str

    def __post_init__(self):
        for array in (self.x_train, self.target_train, self.x_test, self.target_test):
            array.setflags(write=False)


def digits():
    """The 8x8 handwritten digits: 1,437 to train on and 360 to test on, the same split always, balanced by class."""
    with files(__package__).joinpath("digits.npz").open("rb") as file, np.load(file) as stored:
        x = stored["images"].astype(np.float32) / 16
        target, test = stored["labels"].astype(np.int64), stored["test"]
    return DataSet(
        name="digits",
        x_train=x[~test],
        target_train=target[~test],
        x_test=x[test],
        target_test=target[test],
        classes=tuple(range(10)),
        description="1,797 images of handwritten digits, 8x8 pixels; a pixel counts the ink in a 4x4 block, divided by 16.",
        licence="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (test set), UCI Machine Learning "
        "Repository, 1998, doi:10.24432/C50P49, CC BY 4.0. Changed: pixels divided by 16, split into train and test.",
    )


def batches(n, B, rng, replacement=False, drop_last=False, epochs=1):
    """Iterate over batches of indices into n examples, int64 arrays, for a number of passes.

    Without replacement every pass is a fresh permutation cut into ceil(n/B) parts: each index comes once per pass. The
    last part is smaller where B does not divide n; drop_last leaves it out. The mean over a batch of B has the variance
    (sigma^2/B) (n-B)/(n-1), sigma^2 with ddof 0.

    With replacement a pass is ceil(n/B) batches, floor(n/B) with drop_last, all of B independent uniform indices, and B
    may exceed n. The mean over a batch has the variance sigma^2/B.

    The arguments are checked here; rng, a numpy.random.Generator, is drawn from as the batches are taken.
    """
    n, B, epochs = _count("n", n), _count("B", B), _count("epochs", epochs)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng: expected a numpy.random.Generator, as numpy.random.default_rng(seed) makes; got {rng!r}")
    if B > n and not replacement:
        raise ValueError(f"B: expected at most n = {n} without replacement; got {B}")
    if B > n and drop_last:
        raise ValueError(f"drop_last: leaves no batch, because B = {B} exceeds n = {n}; expected B of at most n, or False")
    parts = n // B if drop_last else -(-n // B)
    draw = _with_replacement if replacement else _without_replacement
    return (batch for _ in range(epochs) for batch in draw(n, B, rng, parts))


def _with_replacement(n, B, rng, parts):
    for _ in range(parts):
        yield rng.integers(n, size=B)


def _without_replacement(n, B, rng, parts):
    order = rng.permutation(n)
    for k in range(parts):
        yield order[k * B : (k + 1) * B]


def _count(name, value):
    try:
        if isinstance(value, bool):
            raise TypeError
        count = index(value)
    except TypeError:
        raise TypeError(f"{name}: expected a whole number; got {value!r}") from None
    if count < 1:
        raise ValueError(f"{name}: expected at least 1; got {count}")
    return count
