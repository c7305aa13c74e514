"""Data in memory, of any library, as NumPy arrays: lists, tensors, CuPy arrays, DataFrames.

No library is imported here: an object is known by what it has, and who has one imported it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from .backend import device_of, to_cpu
from .checking import WrongKind, host_array, shown
from .entries import trouble


@dataclass(frozen=True)
class Pair:
    """x[n,...] and target[n] as they were given. columns: their names in a DataFrame, else None."""

    x: np.ndarray
    target: np.ndarray
    columns: list | None = None


def pair(x: object, y: object = None, x_name: str = "x", y_name: str = "y") -> Pair:
    """The two in what was given: x and y, a frame and a column's name, or one thing with both."""
    x = _off_the_gpu(x)
    _refuse_other_forms(x, x_name)
    if y is None:
        x, y = _both_in_one(x, x_name, y_name)
    elif is_tensor_dataset(x):
        raise WrongKind(f"{x_name}: a TensorDataset holds x and y, got {y_name} beside it; of "
                        "(train, test) write mb.dataset(train, test=test)")
    x, y = _off_the_gpu(x), _off_the_gpu(y)
    if not _is_frame(x):
        if isinstance(y, str):
            raise WrongKind(f"{y_name}: expected labels, got {shown(y)}; "
                            "the name of a column goes with a DataFrame")
        return Pair(as_array(x_name, x), _target(y_name, y))
    names = list(x.columns)
    twice = [name for k, name in enumerate(names) if name in names[:k]]
    if twice:
        raise ValueError(f"{x_name}: expected different names of columns, got {twice[0]!r} twice")
    single = isinstance(y, str) or not hasattr(y, "__len__")
    if single or isinstance(y, tuple) and y in names:
        if y not in names:
            raise ValueError(f"{y_name}: expected a column's name, one of {names}, got {y!r}")
        names.remove(y)
        y = x[y]
    index = getattr(x, "index", None)
    other = getattr(y, "index", None)
    if hasattr(index, "equals") and hasattr(other, "equals") and not index.equals(other):
        raise ValueError(f"{y_name}: expected the index of {x_name}, got another: rows would be "
                         f"taken for others; use {y_name}.loc[{x_name}.index], or reset both")
    if any(name == getattr(y, "name", None) and _same(x[name], y) for name in names):
        raise ValueError(f"{y_name}: expected a target that is no column of {x_name}, got its "
                         f"column {y.name!r}: write mb.dataset({x_name}, {y.name!r}), which "
                         "leaves it out")
    if not names:
        raise ValueError(f"{x_name}: expected columns beside the target, got none")
    columns = [_column(x_name, name, np.asarray(x[name])) for name in names]
    return Pair(np.column_stack(columns), _target(y_name, y), names)


def as_array(name: str, value: object) -> np.ndarray:
    """The value as an array. Refused: what is none, records, whole numbers that float64 skips."""
    found = host_array(name, value)
    if found.dtype.names:
        raise WrongKind(f"{name}: expected numbers, got records with the fields "
                        f"{', '.join(found.dtype.names)}; pandas.DataFrame({name}) makes columns")
    if found.dtype == object and not found.ndim:
        raise WrongKind(f"{name}: expected an array, got {shown(value)}")
    if isinstance(value, (list, tuple)) and found.dtype == np.float64:
        for place in np.argwhere(abs(found) >= 2**53):      # where a list may have held an integer
            entry = value
            for k in place:
                entry = entry[int(k)]
            if _beyond(entry):
                raise ValueError(f"{name}: expected whole numbers up to 2**53, got {entry}: "
                                 "float64 skips some beyond; leave ids out")
    return found


def _beyond(value):
    """Whether this is a whole number beyond 2**53, where float64 skips some."""
    return isinstance(value, Integral) and abs(int(value)) > 2**53


def _same(one, other):
    """Whether two columns have the same entries."""
    one, other = np.asarray(one), np.asarray(other)
    return one.shape == other.shape and bool((one == other).all())


def _off_the_gpu(value):
    """A copy on the CPU of a CuPy array; anything else as it is."""
    return to_cpu(value) if device_of(value) == "gpu" else value


def _both_in_one(x, x_name, y_name):
    """x and y of a TensorDataset or a pair."""
    if is_tensor_dataset(x):
        if len(x.tensors) != 2:
            raise ValueError(f"{x_name}: expected two tensors in it, got {len(x.tensors)}")
        return x.tensors
    if isinstance(x, tuple) and len(x) == 2:
        if all(isinstance(part, tuple) for part in x):
            raise WrongKind(f"{x_name}: expected (x, y), got two pairs; "
                            "of (train, test) write mb.dataset(*train, test=test)")
        return x
    hint = "; of a DataFrame, pass the name of the target's column as y" if _is_frame(x) else ""
    raise WrongKind(f"{y_name}: expected a label for each example, got none{hint}")


def is_tensor_dataset(value: object) -> bool:
    """Whether this is a TensorDataset of PyTorch."""
    return type(value).__module__.startswith("torch.") and hasattr(value, "tensors")


def _refuse_other_forms(x, name):
    """Refuse what gives its examples one by one or in batches, with the way out."""
    if isinstance(x, (np.ndarray, list, tuple)):
        return
    lazy = next((act for act in ("collect", "compute") if hasattr(type(x), act)), None)
    if lazy and (_is_frame(x) or hasattr(x, "dtype")):
        raise WrongKind(f"{name}: expected data in memory, got a {type(x).__name__}; "
                        f"pass {name}.{lazy}()")
    if _is_frame(x):
        return
    if isinstance(x, (str, bytes)):
        raise WrongKind(f"{name}: expected numbers, got {shown(x)}; files are read by "
                        "mbcore.sources.from_csv and from_npz")
    if hasattr(x, "toarray") and hasattr(x, "nnz"):
        raise WrongKind(f"{name}: expected an array, got a sparse one; use {name}.toarray()")
    if isinstance(x, dict):
        hint = "pass its data and its target, mb.dataset(d.data, d.target)"
        if not {"data", "target"} <= set(x):
            hint = "pandas.DataFrame(x) makes a frame of columns"
        raise WrongKind(f"{name}: expected an array, got a dictionary; {hint}")
    if hasattr(x, "batch_sampler") or hasattr(x, "dataset") and hasattr(x, "batch_size"):
        raise WrongKind(f"{name}: expected all examples, got a DataLoader, which gives batches; "
                        "pass the tensors of its dataset, loader.dataset.tensors")
    if hasattr(x, "targets") and hasattr(x, "data"):
        raise WrongKind(f"{name}: expected arrays, got a {type(x).__name__}; "
                        "pass its data and its targets, mb.dataset(d.data, d.targets)")
    whole = hasattr(x, "__array__") or is_tensor_dataset(x)
    if hasattr(x, "__getitem__") and not whole:
        raise WrongKind(f"{name}: expected arrays, got a {type(x).__name__}, which gives one "
                        "example at a time; pass torch.stack([x for x, _ in d]) and "
                        "[int(y) for _, y in d]")
    if hasattr(x, "x_train") and hasattr(x, "target_train"):
        raise WrongKind(f"{name}: expected arrays, got a data set already")
    if hasattr(x, "__next__"):
        raise WrongKind(f"{name}: expected all examples at once, got an iterator; use list(x)")


def _is_frame(value):
    """Whether this is a DataFrame. Its type is asked, as columns are attributes of a frame too."""
    return hasattr(type(value), "columns") and hasattr(type(value), "dtypes")


def _target(name, y):
    """y[n] as an array; a list as one of Python objects, so that 1 and "1" stay different."""
    if _is_frame(y):
        raise WrongKind(f"{name}: expected labels, got a DataFrame; pass its column, frame[name]")
    ordered = isinstance(y, Sequence) and not isinstance(y, (str, bytes))
    if not ordered and not hasattr(type(y), "__array__"):
        raise WrongKind(f"{name}: expected a label for each example, in an array or a list, "
                        f"got {shown(y)}")
    if not isinstance(y, (list, tuple)):
        return as_array(name, y)
    objects = np.empty(len(y), dtype=object)
    for k, label in enumerate(y):
        objects[k] = label
    return objects


def _column(argument, name, values):
    """One column of a frame as float64."""
    what = f"{argument}: expected numbers, the column {name!r}"
    beyond = ValueError(f"{what} has whole numbers beyond 2**53, where float64 skips some; "
                        "leave a column of ids out")
    if values.dtype.kind in "iu" and values.size:
        if _beyond(values.max()) or _beyond(values.min()):
            raise beyond
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    if values.dtype.kind not in "OUT":
        raise WrongKind(f"{what} holds {values.dtype}; write dates as days since a start, and "
                        "complex numbers as two columns")
    for k, value in enumerate(values.tolist()):
        if isinstance(value, str):
            why = trouble(value.strip()) or "a number in quotes: pandas.to_numeric reads it"
            raise WrongKind(f"{what} has {value!r} in row {k}, {why}. Words are encoded one-hot: "
                            "pandas.get_dummies(frame)")
        if value is None or type(value).__name__ in ("NAType", "NaTType"):
            raise ValueError(f"{what} has nothing in row {k}: fill it in, or leave the row out")
        if type(value).__name__ in ("Decimal", "Fraction"):
            raise WrongKind(f"{what} has {value!r} in row {k}: make it floats, "
                            f"{argument}[{name!r}].astype(float)")
        if not isinstance(value, (Real, np.bool_)):
            raise WrongKind(f"{what} has {shown(value)} in row {k}, a {type(value).__name__}")
        if _beyond(value):
            raise beyond
    return values.astype(np.float64)
