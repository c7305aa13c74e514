"""Every row of `cupy_table` holds: of the stand-in everywhere, of CuPy itself where there is a GPU."""

import fake_cupy
import numpy as np
import pytest
from cupy_table import TABLE

import mbcore as mb
from mbcore import backend

NEEDS_GPU = pytest.mark.skipif(not mb.gpu_available(), reason="CuPy finds no GPU on this machine")
ROWS = [pytest.param(row, id=f"{number} {row.operation}") for number, row in enumerate(TABLE)]


def holds(row, xp):
    """Run the row's example on xp, and compare with NumPy's value, dtype and shape."""
    device = lambda a: xp.asarray(a)
    if row.raises:
        with pytest.raises(row.raises):
            row.example(xp, device)
        return
    found = row.example(xp, device)
    right = row.example(np, np.array) if row.differs is None else row.differs
    if isinstance(found, xp.ndarray):
        assert (found.dtype, found.shape) == (np.asarray(right).dtype, np.shape(right))
        np.testing.assert_allclose(found.get(), right, rtol=1e-6)
    elif isinstance(found, np.ndarray):                     # what get() gave
        np.testing.assert_array_equal(found, right)
    else:                                                   # a number, a shape, a dtype
        assert found == right


@pytest.mark.parametrize("row", ROWS)
def test_stand_in(row):
    holds(row, fake_cupy.module())


@NEEDS_GPU
@pytest.mark.parametrize("row", ROWS)
def test_cupy(row):
    holds(row, backend.array_module("gpu"))


@pytest.mark.parametrize("row", [param for param in ROWS if not param.values[0].raises])
def test_stand_in_counts(row):
    made = lambda a: fake_cupy.ndarray(np.array(a))         # there already, so that only the example's own copies count
    fake_cupy.synchronisations.clear()
    fake_cupy.transfers.clear()
    row.example(fake_cupy.module(), made)
    assert len(fake_cupy.synchronisations) == row.costs.count("waits")
    assert len(fake_cupy.transfers) == row.costs.count("to device")


def test_nothing_off_the_table():
    xp, array = fake_cupy.module(), fake_cupy.ndarray(np.ones(3))
    for asked in (lambda: xp.linalg, lambda: xp.einsum("i->", array), lambda: array.cumsum(), lambda: list(array),
                  lambda: np.concatenate([array, array]), lambda: np.cos(array), lambda: array @ array):
        with pytest.raises((NotImplementedError, TypeError)):
            asked()


def test_every_operation_of_the_stand_in_is_in_the_table():
    own = {f"ndarray.{name}" for name in vars(fake_cupy.ndarray)}
    own -= {f"ndarray.__{name}__" for name in ("module", "init", "doc", "dict", "weakref", "hash", "getattr", "iter",
                                               "array_ufunc", "array_function", "firstlineno", "static_attributes",
                                               "annotations", "qualname")}
    assert own <= fake_cupy.OPERATIONS


def test_every_row_says_where():
    assert all(row.source.startswith(("cupy/", "docs/")) for row in TABLE)
