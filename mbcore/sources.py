"""Own data, from memory or from files, as a DataSet; and MNIST.

    dataset     arrays, lists, tensors, a TensorDataset, a DataFrame
    from_csv    a CSV file
    from_npz    an NPZ file
    mnist       MNIST, or data in its formats

All go one way: labels are read by `labels`, the rest is done by `preparing.prepared`.
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from math import prod
from pathlib import Path

import numpy as np

from .arrays import is_tensor_dataset, pair
from .checking import WrongKind, existing_file, shown
from .examples import DataSet
from .labels import check_axes, labelled, of_words
from .preparing import Origin, check_features, prepared
from .stored import read_npz
from .tables import table

MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
MNIST_ADDRESS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_HELP = (
    f"nothing is downloaded here; fetch {MNIST_ADDRESS} (11 MB) by a browser and give its path, "
    f"or give a folder with the IDX files {', '.join(MNIST_FILES)}, as they are or as .gz"
)
MNIST_LICENCE = (
    "MNIST, if this is it: Y. LeCun and C. Cortes hold the copyright, CC BY-SA 3.0, "
    "as Keras's documentation says."
)


def dataset(
    x: object,
    y: object = None,
    test: object = 0.2,
    standardise: bool = False,
    seed: int = 0,
) -> DataSet:
    """Data in memory as a DataSet: x[n,...] numbers, y[n] classes, whole numbers or words.

    x and y: arrays of NumPy or CuPy, lists, tensors of PyTorch, a DataFrame of pandas. Also
    dataset(frame, "species") with the name of y's column, dataset(TensorDataset(x, y)) and
    dataset((x, y)). Examples of more axes, images, are laid out as rows; the description says so.
    test: the share that is kept for testing, spread over the classes, drawn with `seed`; or the
    pair (x_test, y_test), or a TensorDataset. standardise: subtract each column's mean over the
    examples to train on and divide by its deviation (ddof 0; constant columns are only centred),
    in float64.

    x_train, x_test: float32, [n,i]. TypeError or ValueError names what does not fit: missing
    entries, words among the features, a quantity as target, numbers that float32 cannot hold or
    tell apart, a target that is a column of x. Warns of classes with one or two examples, and of a
    column that is equal to the target.
    """
    given = pair(x, y)
    parts = [given]
    own = isinstance(test, (tuple, list)) or is_tensor_dataset(test)
    if own:
        parts.append(_tested(test, given.columns))
    elif test is None or np.ndim(test):
        raise WrongKind(f"test: expected a share or (x_test, y_test), got {shown(test)}")
    origin = Origin("own", columns=given.columns, trained=len(given.x) if own else None)
    x = [part.x for part in parts]
    labels = _labels(origin, x, [part.target for part in parts])
    return prepared(origin, x, labels, test, seed, standardise)


def _tested(test, columns):
    """The examples of (x_test, y_test) or of a TensorDataset, in these columns of a frame."""
    if is_tensor_dataset(test):
        test = test, None
    if len(test) != 2:
        raise ValueError(f"test: expected a share or (x_test, y_test), got {len(test)} things")
    found = pair(*test, "x_test", "y_test")
    if found.columns != columns:
        raise ValueError("test: expected the columns of x in the same order, "
                         f"got {found.columns} and {columns}")
    return found


def from_csv(
    path: str | os.PathLike,
    target: str,
    test: float = 0.2,
    standardise: bool = False,
    seed: int = 0,
    separator: str | None = None,
    decimal: str | None = None,
    encoding: str = "utf-8",
) -> DataSet:
    """A CSV file as a DataSet: a line of column names, then lines of numbers and a class.

    target: the name of the column with the class, whole numbers or words. test, standardise, seed:
    as in `dataset`. separator: comma, semicolon, tab or bar are recognised, others are passed.
    decimal: "." or ","; recognised where a number shows it (1,5 or 0.25). If all are like 1,234,
    which some write for 1234, it must be passed; a point between commas is a decimal one.

    A number is written like -1.5 or 2e-3. Blanks around names and entries do not count, quotes may
    stand around them, blank lines are skipped. A column is numbers throughout, or refused.

    FileNotFoundError, IsADirectoryError; ValueError for what is no CSV file (a spreadsheet, a
    compressed file, another encoding), for names that lack or come twice, and, by line and column,
    for missing entries, words, dates, complex numbers, thousands separators, inf, and whole numbers
    beyond 2**53. What may be wrong with labels and numbers is said as by `dataset`.
    """
    found = table(path, target, separator, decimal, encoding)
    origin = Origin(Path(path).stem, "path", "target", Path(path).name, found.columns, found.lines)
    labels = of_words(found.words, found.places, "target", origin.example, found.decimal)
    return prepared(origin, [found.x], labels, test, seed, standardise)


def from_npz(
    path: str | os.PathLike,
    test: float = 0.2,
    standardise: bool = False,
    seed: int = 0,
) -> DataSet:
    """An NPZ file as a DataSet: arrays x[n,...] and target[n], split as by `dataset`.

    Or with x_train, target_train, x_test, target_test, split already. Errors are those of
    `dataset`; ValueError too for a file that is no NPZ file, lacks an array, or holds Python
    objects, as loading these runs code; FileNotFoundError, IsADirectoryError.
    """
    whole = ("x", "target")
    split = ("x_train", "target_train", "x_test", "target_test")
    stored = _load(path, lambda names: split if "x_train" in names else whole)
    x = [array for name, array in stored.items() if name.startswith("x")]
    targets = [array for name, array in stored.items() if name.startswith("target")]
    trained = len(x[0]) if len(x) == 2 and x[0].ndim else None
    origin = Origin(Path(path).stem, "path", "target", Path(path).name, trained=trained)
    return prepared(origin, x, _labels(origin, x, targets), test, seed, standardise)


def mnist(path: str | os.PathLike) -> DataSet:
    """MNIST, or data in its formats; pixels / 255.

    path: an NPZ file (x_train, y_train, x_test, y_test) or a folder of IDX files.
    The classes are the labels that occur. FileNotFoundError with where to find the files;
    ValueError for files that are damaged, or hold anything but images of bytes and whole-number
    labels.
    """
    try:
        existing_file("path", path, "an NPZ file or a folder")
        names = ("x_train", "y_train", "x_test", "y_test")
        arrays = list(_load(path, lambda stored: names).values())
    except IsADirectoryError:
        arrays = _idx_folder(Path(path))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; {MNIST_HELP}") from None
    path = Path(path)
    for images, labels in (arrays[:2], arrays[2:]):
        fits = images.ndim > 1 and labels.shape == images.shape[:1] and len(images)
        if not fits or images.dtype != np.uint8 or labels.dtype.kind not in "iu":
            raise ValueError(
                f"path: expected images of bytes and a whole-number label for each, {path} has "
                f"{images.dtype} of shape {images.shape} and {labels.dtype} of shape {labels.shape}"
            )
    x, target, x_test, target_test = arrays
    origin = Origin("mnist", "path", "target", path.name, trained=len(x), licence=MNIST_LICENCE)
    x = [x, x_test]
    labels = _labels(origin, x, [target, target_test])
    return prepared(origin, x, labels, None, 0, False, divisor=255, note="A pixel / 255.")


def _labels(origin, x, targets):
    """The labels in one array, or in two, to train on and to test on; x likewise, checked first."""
    for part, target in zip(x, targets):
        check_features(part, origin)
        check_axes(target, origin.target)
        if len(part) != len(target):
            raise ValueError(f"{origin.target}: expected a label for each of {len(part)} examples, "
                             f"got {len(target)}")
    if len({target.dtype.kind for target in targets}) > 1:
        targets = [target.astype(object) for target in targets]     # 1 and "1" stay different
    return labelled(np.concatenate(targets), origin.target, origin.example)


def _idx_folder(path):
    """The four arrays of a folder with MNIST's IDX files."""
    arrays = []
    for name, axes in zip(MNIST_FILES, (3, 1, 3, 1)):
        there = [file for file in (path / name, path / f"{name}.gz") if file.is_file()]
        if not there:
            raise FileNotFoundError(f"path: {path} lacks {name}; {MNIST_HELP}")
        arrays.append(_idx(there[0], axes))
    return arrays


def _idx(path, axes):
    """An IDX file: two zero bytes, 8 for bytes, the number of axes, each size in 4 bytes, the data.

    The high byte of a size comes first.
    """
    raw = path.read_bytes()
    try:
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        magic, *shape = struct.unpack_from(f">{1 + axes}I", raw)
    except (OSError, EOFError, zlib.error, struct.error):       # cut short, or not zipped at all
        magic, shape = 0, []
    if magic != 0x800 + axes or len(raw) != 4 + 4 * axes + prod(shape):
        raise ValueError(f"path: {path} is no complete IDX file of bytes with {axes} axes; "
                         f"{MNIST_HELP}")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _load(path, wanted):
    """name -> array of an NPZ file: the names that wanted(all its names) gives, in this order."""
    found = read_npz("path", path, "an NPZ file of plain arrays", wanted)
    for name in wanted(found.names):
        if name not in found.arrays:
            raise ValueError(f"path: {path} has no array {name!r}; expected "
                             f"{', '.join(wanted(found.names))}, "
                             f"got {', '.join(found.names) or 'none'}")
    return found.arrays
