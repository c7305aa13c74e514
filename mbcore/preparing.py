"""Somebody's own arrays -> a DataSet: checked, split, standardised, and described in one sentence.

`sources` calls `prepared` for files and for data in memory alike, so that both are checked alike.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .checking import WrongKind, flag, real, whole
from .examples import DataSet
from .labels import Labels, for_testing

FLOAT32 = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Origin:
    """Where the data come from, for the words of errors and of the description.

    name: of the data set. x, target: what errors call the two, "path" and "target" for a file.
    file: its name, or "". columns: the names of x's columns, or None. lines: the line of the file
    on which each example stands, or None. trained: how many examples are to train on, if the others
    came apart from them. licence: who holds which rights.
    """

    name: str
    x: str = "x"
    target: str = "y"
    file: str = ""
    columns: Sequence | None = None
    lines: Sequence | None = None
    trained: int | None = None
    licence: str = "As the data's owner says."

    def example(self, k):
        """The k-th example in words: "line 5 of own.csv", "example 3 of own.npz", "example 3"."""
        where = f"example {k}" if self.lines is None else f"line {self.lines[k]}"
        if self.trained is not None and k >= self.trained:
            where = f"example {k - self.trained} to test on"
        return f"{where} of {self.file}" if self.file else where

    def column(self, k):
        """The k-th column of x in words."""
        return f"column {k} of x" if self.columns is None else f"the column {self.columns[k]!r}"


def check_features(x: np.ndarray, origin: Origin) -> None:
    """x[n,...] holds numbers, of one example or more, and whole numbers that float64 has."""
    kinds = {"c": "complex numbers", "M": "dates", "m": "times", "O": "Python objects",
             "U": "words (encode them one-hot)", "T": "words (encode them one-hot)", "S": "bytes"}
    if x.dtype.kind not in "biuf":
        got = kinds.get(x.dtype.kind, str(x.dtype))
        raise WrongKind(f"{origin.x}: expected numbers x[n,...], got {got} of shape {x.shape}")
    if x.ndim < 2 or not x.size:
        hint = "; one number an example is x[:, None]" if x.ndim == 1 and x.size else ""
        raise ValueError(f"{origin.x}: expected numbers x[n,...], got shape {x.shape}{hint}")
    if x.dtype.kind in "iu" and (int(x.max()) > 2**53 or int(x.min()) < -(2**53)):
        raise ValueError(f"{origin.x}: expected whole numbers up to 2**53, got {x.max()}: float64 "
                         "skips some beyond; leave ids out")


def prepared(
    origin: Origin,
    x: list[np.ndarray],
    labels: Labels,
    test: object,
    seed: object,
    standardise: object,
    divisor: float = 1.0,
    note: str = "",
) -> DataSet:
    """The DataSet of these examples.

    x: one array [n,...], of which the share `test` is kept for testing, drawn with `seed`; or two,
    to train on and to test on; they have passed `check_features`.
    labels: of all examples, in the same order.
    standardise: x -> (x - mean) / deviation of each column, by the examples to train on, in float64
    and only then cast to float32. divisor: what x is divided by before.
    Raises TypeError or ValueError; warns, in the caller's name, of classes with one or two examples
    and of a column that is the target itself.
    """
    standardise = flag("standardise", standardise)
    n = sum(map(len, x))
    if x[0].shape[1:] != x[-1].shape[1:]:
        raise ValueError(f"{origin.x}: expected examples of one shape, got {x[0].shape[1:]} to "
                         f"train on and {x[-1].shape[1:]} to test on")
    seed = whole("seed", seed, 0)
    if len(x) == 2:
        kept = np.arange(n) >= len(x[0])
    else:
        share = real("test", test, least=0, most=1)
        kept = for_testing(labels.places, share, np.random.default_rng(seed))
    target_train, target_test = labels.places[~kept], labels.places[kept]
    for part, target in (("train", target_train), ("test", target_test)):
        if len(np.unique(target)) < 2:
            only = labels.classes[target[0]]
            raise ValueError(f"{origin.target}: expected two classes or more to {part} on, "
                             f"got {only!r} alone")
    shape = x[0].shape[1:]
    flat = [part.reshape(len(part), -1) for part in x]
    x_train, x_test = _cast(origin, flat, kept, standardise, divisor)
    known = [_rare(labels, target_train, target_test), _told(origin, flat, labels)]
    beware = " ".join(filter(None, known))
    if beware:
        warnings.warn(f"{origin.target}: {beware}", stacklevel=3)
    said = [_counts(origin, shape, n, int(kept.sum())), note, beware,
            "Standardised." if standardise else ""]
    return DataSet(origin.name, x_train, target_train, x_test, target_test, labels.classes,
                   " ".join(filter(None, said)), origin.licence)


def _counts(origin, shape, n, tested):
    """How many examples there are, of what, and how many are kept for testing."""
    of = " x ".join(map(str, shape))
    laid = f", laid out as a row of {np.prod(shape)}" if len(shape) > 1 else ""
    source = f" from {origin.file}" if origin.file else ""
    return (f"{n:,} examples of {of} numbers{laid}{source}: "
            f"{n - tested:,} to train on, {tested:,} ({tested / n:.1%}) to test on.")


def _rare(labels, train, test):
    """What to know of classes with few examples, or ""."""
    k = len(labels.classes)
    sizes = np.bincount(labels.places, minlength=k)
    said = []
    few = np.count_nonzero(sizes <= 2)
    if few:
        said.append(f"{few} of {k} classes have one or two examples")
    for target, words in ((train, "to train on"), (test, "to test on")):
        none = np.count_nonzero(np.bincount(target, minlength=k) == 0)
        if none:
            said.append(f"{none} of {k} classes have no example {words}")
    return "; ".join(said) + "." if said else ""


def _told(origin, x, labels):
    """The columns of x[n,i] that are the target itself, which a network need only copy, or ""."""
    if isinstance(labels.classes[0], str) or max(map(abs, labels.classes)) > 2**53:
        return ""
    target = np.array(labels.classes, dtype=np.float64)[labels.places]
    parts = np.split(target, [len(x[0])])
    few = slice(64)                         # a look at some examples rules most columns out
    columns = np.flatnonzero((x[0][few] == parts[0][few, None]).all(axis=0))
    same = [k for k in columns if all((a[:, k] == t).all() for a, t in zip(x, parts))]
    return " ".join(f"{origin.column(k)} is the target itself." for k in same[:3])


def _cast(origin, x, kept, standardise, divisor):
    """x[n,i] as two float32 arrays, to train and to test on; see `prepared`.

    A few columns at a time are made float64, so that beside x and the result little memory is used.
    """
    i = x[0].shape[1]
    results = [np.empty((count, i), np.float32) for count in ((~kept).sum(), kept.sum())]
    few = max(1, i // 16)
    for first in range(0, i, few):
        some = slice(first, first + few)
        parts = [part[:, some].astype(np.float64) for part in x]
        for part, before in zip(parts, (0, len(x[0]))):
            _check_finite(origin, part, first, before)
            part /= divisor
        if len(parts) == 1:
            parts = [parts[0][~kept], parts[0][kept]]
        parts = _standardised(*parts) if standardise else parts
        with np.errstate(over="ignore"):
            for result, part in zip(results, parts):
                result[:, some] = part
        _check_digits(origin, parts, [result[:, some] for result in results], first)
    return results


def _check_finite(origin, x, first, before):
    """x[n,i]: finite; its columns begin at `first`, its examples at `before`."""
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        where = f"{origin.example(before + row)} has {x[row, column]}"
        raise ValueError(f"{origin.x}: expected finite numbers, {where} in "
                         f"{origin.column(first + column)}")


def _standardised(train, test):
    """(x - mean) / deviation, ddof 0, of train's columns, for both; constants are only centred.

    Divided by a power of two first, which changes no digit, so that no square overflows.
    """
    _, exponent = np.frexp(abs(train).max(axis=0))
    mean = np.ldexp(train, -exponent).mean(axis=0)
    centred = [np.ldexp(part, -exponent) - mean for part in (train, test)]
    rest = centred[0].mean(axis=0)              # what rounding has left of the mean
    centred = [part - rest for part in centred]
    deviation = np.sqrt((centred[0] ** 2).mean(axis=0))
    constant = train.max(axis=0) == train.min(axis=0)
    deviation[constant] = np.ldexp(1.0, -exponent[constant])
    return [part / deviation for part in centred]


def _check_digits(origin, parts, casts, first):
    """float32 holds what tells the numbers of a column apart: seven digits, up to 3.4e38."""
    for part, cast in zip(parts, casts):
        if not np.isfinite(cast).all():
            column = int(np.argmax(~np.isfinite(cast).all(axis=0)))
            largest = abs(part[:, column]).max()
            raise ValueError(
                f"{origin.x}: expected numbers up to {FLOAT32:.1e}, where float32 ends, "
                f"{origin.column(first + column)} has {largest:g}; standardise=True helps"
            )
        lost = abs(part - cast).max(axis=0)
        differing = part.max(axis=0) > part.min(axis=0)
        wrong = differing & (lost > 0.01 * part.std(axis=0))
        if wrong.any():
            column = int(np.argmax(wrong))
            low, high = part[:, column].min(), part[:, column].max()
            raise ValueError(
                f"{origin.x}: {origin.column(first + column)} goes from {low:.12g} to {high:.12g}, "
                "which float32, with seven digits, cannot tell apart; pass standardise=True"
            )
