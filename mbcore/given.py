"""The examples that `advise` is given: read from memory, checked once, and looked over.

    read           a DataSet, a pair (x, target) or a TensorDataset -> Given
    nothing_told   why no training on these examples can tell anything: all alike, or one target
    uneven         which features are of a size that hides the others
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .backend import device_of, to_cpu
from .checking import host_array, shown

LEAST = 8  # examples
UNEVEN = 30.0  # times: how much larger than the usual one, or than 1, a feature may be
LOOKED_AT = 4096  # examples, at most, for the sizes of features
WAYS_OUT = (
    "give a DataSet, as mb.dataset(x, y) makes one of arrays, tensors or a DataFrame, "
    "or a pair of arrays (x, target)"
)


@dataclass(frozen=True, eq=False)
class Given:
    """x[n, ...], target[n, ...]: on the host. given: the same two as they came, maybe on a GPU.
    columns: the names of the features, or an empty tuple."""

    x: np.ndarray
    target: np.ndarray
    given: tuple
    columns: tuple

    def __len__(self):
        return len(self.x)


def read(data: object) -> Given:
    """Read and check: as many targets as examples, at least LEAST, finite real numbers.

    TypeError where `data` is of another kind, with what to give instead; ValueError for its values.
    """
    x_name, x, target_name, target = _parts(data)
    if target is None or x is None:
        missing = x_name if x is None else target_name
        raise TypeError(
            "data: expected a DataSet with x_train, and target_train with a label for each"
            f" example; {missing} is missing"
        )
    columns = () if device_of(x) == "gpu" else tuple(map(str, getattr(x, "columns", ())))
    host_x = _numbers(x_name, x)
    host_target = _numbers(target_name, target)
    if host_x.shape[:1] < (LEAST,):
        raise ValueError(
            f"data: expected at least {LEAST} examples to train on, got {x_name} of shape"
            f" {host_x.shape}"
        )
    if host_target.shape[:1] != host_x.shape[:1]:
        raise ValueError(
            f"data: expected a label for each of {len(host_x)} examples, "
            f"got {target_name} of shape {host_target.shape}"
        )
    given = tuple(
        array if device_of(array) == "gpu" else host
        for array, host in ((x, host_x), (target, host_target))
    )
    return Given(host_x, host_target, given, columns)


def _parts(data):
    """(name of x, x, name of target, target); None for what is missing."""
    if hasattr(data, "x_train") or hasattr(data, "target_train"):
        x = getattr(data, "x_train", None)
        return "x_train", x, "target_train", getattr(data, "target_train", None)
    pair = getattr(data, "tensors", data)  # of a TensorDataset
    if isinstance(pair, (tuple, list)) and len(pair) == 2:
        return "x", pair[0], "target", pair[1]
    said = f"data: expected examples with x_train and target_train, got {_kind(data)}"
    if hasattr(data, "batch_size") and hasattr(data, "dataset"):
        said = (
            "data: expected all examples, got a DataLoader, which has chosen a batch size already; "
            "give loader.dataset if that is a TensorDataset"
        )
    raise TypeError(f"{said}; {WAYS_OUT}")


def _kind(data):
    return f"a {type(data).__name__}" if hasattr(data, "columns") else shown(data)


def _numbers(name, array):
    """The array on the host, of finite real numbers."""
    host = host_array(f"data: {name}", to_cpu(array) if device_of(array) == "gpu" else array)
    if host.dtype.kind not in "iufb":
        hint = "; mb.dataset(x, y) makes classes of words" if host.dtype.kind in "OSU" else ""
        raise TypeError(f"data: {name}: expected real numbers, got {host.dtype}{hint}")
    if host.dtype.kind == "f" and not np.isfinite(host).all():
        raise ValueError(f"data: expected finite numbers, {name} has inf or nan")
    return host


# ------------------------------------------------------------------ looking them over


def nothing_told(found: Given, target_counts: bool = True) -> str | None:
    """Why nothing can be learned from these, in a sentence; None where it may be.

    target_counts: whether the loss depends on the targets.
    """
    if target_counts and not _differ(found.target):
        value = shown(found.target[0].tolist())
        return f"every one of the {len(found)} examples has the same target, {value}"
    if not _differ(found.x):
        return f"all {len(found)} examples are the same x, so it cannot tell them apart"
    return None


def _differ(array):
    return bool((array != array[:1]).any())


def uneven(found: Given) -> str | None:
    """Which features are of a size that hides others, or that the targets are far from 1, and what
    to do about it; None where none is.

    A feature's size is its root mean square. Beside one of size 50,000 a feature of size 40 is not
    seen, and a learning rate small enough for the one moves nothing along the other.
    """
    return _uneven_features(found) or _far_targets(found)


def _far_targets(found):
    target = found.target[:LOOKED_AT]
    if target.dtype.kind != "f":
        return None
    size = float(np.sqrt(np.square(target, dtype=float).mean()))
    if size <= UNEVEN and np.abs(target).max() >= 1 / UNEVEN:
        return None
    return (
        f"the targets are about {size:,.2g} in size, far from 1. Standardise them: subtract their"
        " mean, divide by their standard deviation"
    )


def _uneven_features(found):
    if found.x.dtype.kind not in "uif" or found.x.ndim < 2:
        return None
    flat = found.x[:LOOKED_AT].reshape(min(len(found), LOOKED_AT), -1)
    size = np.sqrt(np.square(flat, dtype=float).mean(axis=0))
    used = size[size > 0]
    if not used.size:
        return None
    usual = float(np.median(used))
    if used.max() <= UNEVEN * min(1.0, usual) and used.max() >= 1 / UNEVEN:
        return None
    large = sorted(int(k) for k in np.argsort(-size)[:3] if size[k] > used.max() / UNEVEN)
    small = int(np.argmin(np.where(size > 0, size, np.inf)))
    listed = ", ".join(f"{_name(found, k)} about {size[k]:,.2g}" for k in large)
    if small not in large:
        listed += f", beside {_name(found, small)} about {size[small]:,.2g}"
    return (
        f"features are of very different sizes, or all far from 1: {listed}. Standardise them:"
        " subtract each column's mean, divide by its standard deviation (standardise=True where"
        " data are read)"
    )


def _name(found, k):
    if len(found.columns) == found.x[0].size:
        return repr(found.columns[k])
    return f"column {k} (from 0)" if found.x.ndim == 2 else f"number {k} (from 0) of an example"
