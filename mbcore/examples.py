"""`DataSet`: examples to train on and to test on, checked once, where they are put together."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field

import numpy as np

from .backend import array_module, device_of, to_cpu, to_gpu, xp_of
from .checking import WrongKind, shown

ARRAYS = ("x_train", "target_train", "x_test", "target_test")


@dataclass(frozen=True, eq=False)
class DataSet:
    """Examples to train on and to test on: read-only arrays, checked when the data set is made.

    x_train[n,i], x_test[n,i]: floating-point numbers, finite; more axes than one for an example
    are allowed. target_train[n], target_test[n]: whole numbers, places in `classes`. All that this
    package makes are float32 and int64.
    Arrays are NumPy's, or all CuPy's: `data.on("gpu")` moves them once, and training there copies
    no example again.

    TypeError or ValueError names the array that does not fit. The arrays that were given stay
    writable for their owner.
    """

    name: str
    x_train: np.ndarray = field(repr=False)
    target_train: np.ndarray = field(repr=False)
    x_test: np.ndarray = field(repr=False)
    target_test: np.ndarray = field(repr=False)
    classes: tuple
    description: str
    licence: str

    def __post_init__(self):
        if not hasattr(type(self.classes), "__iter__") or len(set(self.classes)) < 1:
            raise WrongKind("classes: expected what each label means, such as range(10), "
                            f"got {shown(self.classes)}")
        object.__setattr__(self, "classes", tuple(self.classes))
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes: expected different ones, got {shown(self.classes)}")
        arrays = [getattr(self, name) for name in ARRAYS]
        for name, array in zip(ARRAYS, arrays):
            plain = isinstance(array, np.ndarray) and not isinstance(array, np.ma.MaskedArray)
            if not plain and device_of(array) != "gpu":
                raise WrongKind(f"{name}: expected an array of NumPy or CuPy, got {shown(array)}")
        xp_of(*arrays, names=ARRAYS)
        for part in ("train", "test"):
            target = to_cpu(getattr(self, f"target_{part}"))
            _check_examples(part, to_cpu(getattr(self, f"x_{part}")), target)
            _check_labels(part, target, len(self.classes))
        if self.x_train.shape[1:] != self.x_test.shape[1:]:
            wanted, got = self.x_train.shape[1:], self.x_test.shape[1:]
            raise ValueError(f"x_test: expected examples of shape {wanted}, as x_train, got {got}")
        for name, array in zip(ARRAYS, arrays):
            object.__setattr__(self, name, _read_only(array))

    @property
    def device(self):
        """Where the arrays are: "cpu" or "gpu"."""
        return device_of(self.x_train)

    def on(self, device):
        """The same data set with its arrays on "cpu" or "gpu": copied once, here; itself if there.

        Example: `train(net, data.on("gpu"), ...)` for a program compiled with device="gpu".
        RuntimeError where no GPU can be used; ValueError for another word.
        """
        array_module(device)
        if device == self.device:
            return self
        moved = copy(self)              # not made anew: its arrays have been checked
        for name in ARRAYS:
            array = getattr(self, name)
            there = to_gpu(array) if device == "gpu" else to_cpu(array)
            object.__setattr__(moved, name, _read_only(there))
        return moved


def _check_examples(part, x, target):
    """x[n,i]: finite floats, one example or more; target[n]."""
    if x.dtype.kind != "f":
        raise WrongKind(f"x_{part}: expected floating-point numbers, got {x.dtype}")
    if x.ndim < 2 or not x.size:
        raise ValueError(f"x_{part}: expected one or more examples, x[n,i], got shape {x.shape}")
    if not np.isfinite(x).all():
        place = [int(k) for k in np.argwhere(~np.isfinite(x))[0]]
        raise ValueError(f"x_{part}: expected finite numbers, got {x[tuple(place)]} at {place}")
    if target.shape != x.shape[:1]:
        wanted = f"a label for each of {len(x)} examples"
        raise ValueError(f"target_{part}: expected {wanted}, got shape {target.shape}")


def _check_labels(part, target, classes):
    """target[n]: whole numbers from 0 to classes - 1."""
    wanted = f"target_{part}: expected whole numbers from 0 to {classes - 1}, places in classes"
    if target.dtype.kind not in "iu":
        raise WrongKind(f"{wanted}, got {target.dtype}")
    if target.min() < 0 or target.max() >= classes:
        wrong = np.flatnonzero((target < 0) | (target >= classes))[0]
        raise ValueError(f"{wanted}, got {target[wrong]} at {wrong}")


def _read_only(array):
    """A view that cannot be written through. CuPy has no such flag: its arrays stay as they are."""
    if device_of(array) == "gpu":
        return array
    view = array.view()
    view.setflags(write=False)
    return view
