"""Data from files: own data as NPZ or CSV, and MNIST."""

from __future__ import annotations

import csv
import gzip
import struct
import zipfile
import zlib
from math import prod
from pathlib import Path

import numpy as np

from .checking import real
from .examples import DataSet

MNIST_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
MNIST_HELP = ("nothing is downloaded here; fetch https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz (11 MB) by a "
              f"browser and give its path, or give a folder with the IDX files {', '.join(MNIST_FILES)}, as they are or as .gz")


def from_npz(path, test=0.2, standardise=False, seed=0):
    """Own data from an NPZ file with x [n,...] and target [n], of which the share `test` of each class is kept for testing;
    or with x_train, target_train, x_test, target_test. standardise: see `from_csv`."""
    stored = _load(path)
    if "x_train" in stored:
        _has(path, stored, ("x_train", "target_train", "x_test", "target_test"))
        n = len(stored["x_train"])
        x, target = (np.concatenate([stored[k + "_train"], stored[k + "_test"]]) for k in ("x", "target"))
        return _own(path, x, target, np.arange(len(x)) >= n, standardise)
    _has(path, stored, ("x", "target"))
    return _own(path, stored["x"], stored["target"], (test, seed), standardise)


def from_csv(path, target, test=0.2, standardise=False, seed=0):
    """Own data from a CSV file: a line of column names, then numbers; the column `target` holds the class, a number or a word.

    test: the share of each class that is kept for testing, drawn with `seed`. standardise: subtract the training mean of each
    column and divide by its standard deviation (ddof 0; constant columns are only centred); otherwise x is as in the file.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True)
            (_, names), *rows = [(reader.line_num, row) for row in reader if row] or [(0, [])]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"path: {path} is no CSV file in UTF-8: {error}") from None
    if len(set(names)) < len(names):
        raise ValueError(f"path: expected different names of columns, {path} has {', '.join(names)}")
    if target not in names:
        raise ValueError(f"target: {path} has no column {target!r}; it has {', '.join(names) or 'none'}")
    at, values = names.index(target), []
    if len(names) < 2:
        raise ValueError(f"path: expected columns beside {target!r}, {path} has none")
    for line, row in rows:
        if len(row) != len(names):
            raise ValueError(f"path: expected {len(names)} entries in each line, line {line} of {path} has {len(row)}")
        values.append([_cell(entry, path, line, name) for entry, name in zip(row, names) if name != target])
    return _own(path, np.array(values), np.array([row[at].strip() for _, row in rows]), (test, seed), standardise)


def _cell(entry, path, line, name):
    try:
        return float(entry)
    except ValueError:
        raise ValueError(f"path: expected numbers, line {line} of {path} has {entry!r} in the column {name!r}") from None


def mnist(path):
    """MNIST, or data in its formats: an NPZ file (x_train, y_train, x_test, y_test) or a folder of IDX files; pixels / 255."""
    path = Path(path)
    if path.is_dir():
        found = [next((f for f in (path / name, path / f"{name}.gz") if f.exists()), None) for name in MNIST_FILES]
        if None in found:
            raise FileNotFoundError(f"path: {path} lacks {MNIST_FILES[found.index(None)]}; {MNIST_HELP}")
        arrays = [_idx(f, axes) for f, axes in zip(found, (3, 1, 3, 1))]
    elif path.exists():
        stored, wanted = _load(path), ("x_train", "y_train", "x_test", "y_test")
        _has(path, stored, wanted)
        arrays = [stored[k] for k in wanted]
    else:
        raise FileNotFoundError(f"path: there is no {path}; {MNIST_HELP}")
    x, target, x_test, target_test = arrays
    for some, labels in ((x, target), (x_test, target_test)):
        if some.shape[:1] != labels.shape or some.dtype != np.uint8 or labels.dtype.kind not in "iu":
            raise ValueError(f"path: expected images of bytes and a whole-number label for each, {path} has {some.dtype} of shape {some.shape} "
                             f"and {labels.dtype} of shape {labels.shape}")
    return _data_set("mnist", *(a.reshape(len(a), -1) / np.float32(255) if a.ndim > 1 else a for a in arrays), range(int(target.max()) + 1),
                     "MNIST, if this is it: Y. LeCun and C. Cortes hold the copyright, CC BY-SA 3.0, as Keras's documentation says.",
                     f"{len(x) + len(x_test):,} images, {' x '.join(map(str, x.shape[1:]))} pixels, a pixel divided by 255.")


def _idx(path, axes):
    """An IDX file: two zero bytes, 8 for unsigned bytes, the number of axes, each size in 4 bytes, high byte first, the data."""
    raw = path.read_bytes()
    try:
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        magic, *shape = struct.unpack_from(f">{1 + axes}I", raw)
    except (OSError, EOFError, zlib.error, struct.error):               # cut short, or not zipped at all
        magic, shape = 0, []
    if magic != 0x800 + axes or len(raw) != 4 + 4 * axes + prod(shape):
        raise ValueError(f"path: {path} is no complete IDX file of bytes with {axes} axes; {MNIST_HELP}")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _load(path):
    """name -> array, of a whole NPZ file; Python objects inside are refused, as loading them runs code."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, TypeError) as error:     # TypeError: an NPY file, one bare array
        raise ValueError(f"path: {path} is no NPZ file of plain arrays: {error}") from None


def _has(path, stored, names):
    for name in names:
        if name not in stored:
            raise ValueError(f"path: {path} has no array {name!r}; expected {', '.join(names)}, got {', '.join(stored) or 'none'}")


def _own(path, x, target, split, standardise):
    """A DataSet of somebody's arrays. split: which examples are for testing, or (share, seed)."""
    if x.dtype.kind not in "iufb" or x.ndim < 2 or not x.size or len(x) != len(target) or target.ndim != 1:
        raise ValueError(f"path: expected numbers x[n,...] and target[n], {path} has {x.dtype} of shape {x.shape} and target of shape {target.shape}")
    with np.errstate(over="ignore"):
        x = x.reshape(len(x), -1).astype(np.float32)
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise ValueError(f"path: expected finite numbers, example {row} of {path} has {x[row, column]} in column {column} of x (from 0)")
    classes, target = _classes(path, target)
    if isinstance(split, tuple):
        split = _kept_for_test(target, real("test", split[0], least=0, most=1), np.random.default_rng(split[1]))
    if split.all() or not split.any():
        raise ValueError(f"test: expected some examples to train on and some to test on, got {(~split).sum()} and {split.sum()}")
    if standardise:
        mean, deviation = x[~split].mean(axis=0, dtype=float), x[~split].std(axis=0, dtype=float)
        x = (x - mean) / np.where(deviation > 0, deviation, 1)
    return _data_set(Path(path).stem, x[~split], target[~split], x[split], target[split], classes, "As the file's owner says.",
                     f"{len(x):,} examples of {x.shape[1]} numbers from {Path(path).name}{', standardised' if standardise else ''}.")


def _classes(path, target):
    """The classes in order, and the place of each label among them; words that are all whole numbers count as numbers."""
    try:
        numbers = target.astype(float)
    except ValueError:
        numbers = None
    if numbers is not None:
        if not (numbers == np.floor(numbers)).all():                    # NaN too
            bad = numbers[numbers != np.floor(numbers)][0]
            raise ValueError(f"target: expected classes, whole numbers or words, {path} has {bad}")
        target = numbers.astype(np.int64)
    elif (target == "").any():
        raise ValueError(f"target: expected a class for each example, example {int(np.argmax(target == ''))} of {path} has none")
    classes, places = np.unique(target, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"target: expected at least two classes, {path} has {classes.tolist()} alone")
    return classes.tolist(), places


def _kept_for_test(target, share, rng):
    """Which examples are for testing: round(share n) of each class."""
    test = np.zeros(len(target), dtype=bool)
    for k in range(target.max() + 1):
        members = rng.permutation(np.flatnonzero(target == k))
        test[members[: round(share * len(members))]] = True
    return test


def _data_set(name, x, target, x_test, target_test, classes, licence, description):
    as_x, as_target = (lambda a: np.array(a, dtype=np.float32)), (lambda a: np.array(a, dtype=np.int64))
    return DataSet(name, as_x(x), as_target(target), as_x(x_test), as_target(target_test), tuple(classes), description, licence)
