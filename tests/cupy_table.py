"""What mbcore may ask of CuPy, one row an operation: an example, what CuPy 14.2 does with it, and where that is said.

The stand-in for CuPy (`fake_cupy`) offers these operations and no others. `test_cupy_table` runs every row against the
stand-in, and against CuPy itself where a GPU is at hand. So what a row claims is held against the real thing, and what
no row claims cannot be used. A row that refuses names the error.

An example is a function of (xp, d): xp is cupy, or numpy for the right value; d puts a host array where xp's arrays live.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itruediv

import numpy as np

KERNEL = "cupy/_core/_kernel.pyx"
INDEXING = "cupy/_core/_routines_indexing.pyx"
CORE = "cupy/_core/core.pyx"
BASIC = "cupy/_manipulation/basic.py"
DIFFERENCES = "docs/source/user_guide/difference.rst"
UFUNCS = f"{KERNEL}, class ufunc; promotion as in NumPy 2 (NEP 50)"


@dataclass(frozen=True)
class Row:
    """operation: as the stand-in names it. example(xp, d): what is run.

    raises: the error that CuPy gives in place of a value. costs: what the stand-in must count, "to device" (a copy from
    the host) or "waits" (the host waits for the device). differs: the value where it is not NumPy's. source: in CuPy 14.2.
    """

    operation: str
    example: object
    source: str
    raises: type | None = None
    costs: tuple = ()
    differs: object = None


F = np.array([[0.5, -1.0, 2.0], [3.0, 0.25, -0.5]], np.float32)
P = abs(F)
INTEGERS = np.array([2, 0, 1])
LEFT, RIGHT = np.arange(12.0).reshape(2, 2, 3), np.arange(6.0).reshape(3, 2)


def into(function, *host):
    """An example of function(*arrays, out=out), with out of the arrays' type."""
    def example(xp, d):
        arrays = [d(a) for a in host]
        out = d(np.zeros_like(function(np)(*host)))
        function(xp)(*arrays, out=out)
        return out
    return example


def ufunc(name, *host):
    """The two forms in which kernels call a ufunc: with out=, and for a new array."""
    named = lambda xp: getattr(xp, name)
    yield Row(name, lambda xp, d: named(xp)(*(d(a) for a in host)), UFUNCS)
    yield Row(name, into(named, *host), UFUNCS)
    if len(host) == 2:
        yield Row(name, lambda xp, d: named(xp)(d(host[0]), 0.5), UFUNCS)
        yield Row(name, lambda xp, d: named(xp)(d(host[0]), np.float64(0.5)), UFUNCS)
        yield Row(name, lambda xp, d: named(xp)(d(host[0]), host[1].tolist()), f"{DIFFERENCES}: only arrays or scalars",
                  raises=TypeError)


def method(name, *arguments, host=F, source=CORE, **options):
    return Row(f"ndarray.{name}", lambda xp, d: getattr(d(host), name)(*arguments, **options), source)


def changed(host, change):
    """An example in which an array is changed in place, and looked at."""
    def example(xp, d):
        array = d(host)
        change(xp, array, d)
        return array
    return example


def with_host_array(xp, d):
    """A device array times a host array; NumPy itself is given what it would refuse too, to have a value."""
    return d(F) * F


ONE = ("exp", "log", "tanh", "negative", "abs", "log1p", "expm1", "isfinite", "square", "reciprocal")
TWO = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "copysign",
       "less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "logical_and", "logical_or")

TABLE = (
    *(row for name in ONE for row in ufunc(name, P)),
    *(row for name in ("sqrt", "sign") for row in ufunc(name, P)),
    *(row for name in TWO for row in ufunc(name, P, P[::-1].copy())),
    Row("equal", changed(F, lambda xp, a, d: xp.equal(d(F), 0.5, out=a)), f"{UFUNCS}; out casts bool"),
    Row("matmul", lambda xp, d: xp.matmul(d(LEFT), d(RIGHT)), "cupy/_core/_routines_linalg.pyx, matmul"),
    Row("matmul", into(lambda xp: xp.matmul, LEFT, RIGHT), "cupy/_core/_routines_linalg.pyx, matmul"),
    Row("matmul", lambda xp, d: xp.matmul(d(LEFT), RIGHT), KERNEL, raises=TypeError),
    Row("where", lambda xp, d: xp.where(d(F) > 0, d(F), 0.0), "cupy/_sorting/search.py, where"),
    Row("where", lambda xp, d: xp.where(d(INTEGERS) > 1, 0, d(INTEGERS)), "cupy/_sorting/search.py, where"),

    # making and moving
    Row("zeros", lambda xp, d: xp.zeros((2, 3), np.float32), "cupy/_creation/basic.py"),
    Row("empty", lambda xp, d: xp.empty((2, 3), np.float32) * 0, "cupy/_creation/basic.py"),
    Row("ones", lambda xp, d: xp.ones((2, 3), np.float32), "cupy/_creation/basic.py"),
    Row("full", lambda xp, d: xp.full((2, 3), 0.5, np.float32), "cupy/_creation/basic.py"),
    Row("zeros_like", lambda xp, d: xp.zeros_like(d(F)), "cupy/_creation/basic.py"),
    Row("empty_like", lambda xp, d: xp.empty_like(d(F)) * 0, "cupy/_creation/basic.py"),
    Row("ones_like", lambda xp, d: xp.ones_like(d(F)), "cupy/_creation/basic.py"),
    Row("arange", lambda xp, d: xp.arange(5), "cupy/_creation/ranges.py"),
    Row("asarray", lambda xp, d: xp.asarray(F), f"{CORE}, array", costs=("to device",)),
    Row("asarray", lambda xp, d: xp.asarray(F, dtype=np.float64), f"{CORE}, array", costs=("to device",)),
    Row("asarray", lambda xp, d: xp.asarray(d(F)), f"{CORE}, _array_from_cupy_ndarray"),
    Row("array", lambda xp, d: xp.array(d(F)), f"{CORE}, _array_from_cupy_ndarray"),
    Row("array", lambda xp, d: xp.array(F), f"{CORE}, array", costs=("to device",)),
    Row("copyto", changed(F, lambda xp, a, d: xp.copyto(a, d(P))), f"{BASIC}, copyto"),
    Row("copyto", changed(F, lambda xp, a, d: xp.copyto(a, 2.0)), f"{BASIC}, copyto"),
    Row("copyto", changed(F, lambda xp, a, d: xp.copyto(a, 2, where=d(F > 0))), f"{BASIC}, copyto, where"),
    Row("copyto", changed(F, lambda xp, a, d: xp.copyto(a, P)), f"{BASIC}: non-scalar numpy.ndarray", raises=ValueError),
    Row("concatenate", lambda xp, d: xp.concatenate([d(F), d(P)]), "cupy/_manipulation/join.py"),
    Row("stack", lambda xp, d: xp.stack([d(F), d(P)]), "cupy/_manipulation/join.py"),
    Row("ravel", lambda xp, d: xp.ravel(d(F)), "cupy/_manipulation/shape.py"),
    Row("ndarray.get", lambda xp, d: d(F).get() if xp is not np else F, f"{CORE}, get(blocking=True)", costs=("waits",)),
    Row("ndarray.item", lambda xp, d: d(F)[0, 0].item(), f"{CORE}, item", costs=("waits",)),
    Row("ndarray.__float__", lambda xp, d: float(d(F)[0, 0]), f"{CORE}, __float__", costs=("waits",)),
    Row("ndarray.__int__", lambda xp, d: int(d(INTEGERS)[0]), f"{CORE}, __int__", costs=("waits",)),
    Row("ndarray.__bool__", lambda xp, d: bool(d(F)[0, 0]), f"{CORE}, __nonzero__", costs=("waits",)),
    Row("ndarray.__array__", lambda xp, d: np.asarray(d(F)), f"{CORE}, __array__", raises=TypeError),

    # looking at an array without its values
    Row("ndarray.shape", lambda xp, d: d(F).shape, CORE),
    Row("ndarray.strides", lambda xp, d: d(F).strides, CORE),
    Row("ndarray.dtype", lambda xp, d: d(F).dtype, CORE),
    Row("ndarray.ndim", lambda xp, d: d(F).ndim, CORE),
    Row("ndarray.size", lambda xp, d: d(F).size, CORE),
    Row("ndarray.nbytes", lambda xp, d: d(F).nbytes, CORE),
    Row("ndarray.__len__", lambda xp, d: len(d(F)), CORE),
    Row("may_share_memory", lambda xp, d: (lambda a: xp.may_share_memory(a, a[1:]))(d(F)), "cupy/_misc/memory_ranges.py"),
    Row("may_share_memory", lambda xp, d: xp.may_share_memory(d(F), d(F) * 1), "cupy/_misc/memory_ranges.py"),

    # other shapes of the same values
    method("reshape", 3, 2), method("reshape", (-1,)), method("transpose", 1, 0), method("transpose", [1, 0]),
    method("ravel"), method("copy"), method("astype", np.float64),
    Row("ndarray.T", lambda xp, d: d(F).T, CORE),
    Row("ndarray.base", lambda xp, d: (lambda a: [v.base is a for v in (a.T, a[1:], a.reshape(3, 2), a.T.reshape(6))])(d(F)),
        "cupy/_core/_routines_manipulation.pyx, _reshape: a view where strides allow it, else a copy"),
    Row("ndarray.fill", changed(F, lambda xp, a, d: a.fill(2.0)), f"{CORE}, fill"),
    Row("ndarray.fill", changed(F, lambda xp, a, d: a.fill(np.float32(2))), f"{CORE}, fill"),
    Row("ndarray.fill", changed(F, lambda xp, a, d: a.fill(P)), f"{CORE}: non-scalar numpy.ndarray", raises=ValueError),

    # reductions: an array without axes stays on the device
    *(method(name, axis=1, source="cupy/_core/_routines_statistics.pyx, _routines_math.pyx")
      for name in ("sum", "max", "min", "mean", "argmax")),
    *(method(name, source=f"{DIFFERENCES}: zero-dimensional array") for name in ("sum", "max", "min", "mean", "argmax")),
    *(Row(f"ndarray.{name}", into(lambda xp, name=name: lambda a, out=None: getattr(a, name)(axis=1, out=out), F),
          "cupy/_core/_reduction.pyx, out") for name in ("sum", "max", "min")),
    method("all", host=F > 0, source="cupy/_core/_routines_logic.pyx"),
    method("any", host=F > 0, source="cupy/_core/_routines_logic.pyx"),

    # indexing
    Row("ndarray.__getitem__", lambda xp, d: d(F)[:, 1:], f"{INDEXING}, _view_getitem"),
    Row("ndarray.__getitem__", lambda xp, d: d(F)[..., None, 1], f"{INDEXING}, _view_getitem"),
    Row("ndarray.__getitem__", lambda xp, d: d(F)[:, d(INTEGERS)], f"{INDEXING}, _take"),
    Row("ndarray.__getitem__", lambda xp, d: d(F)[:, INTEGERS], f"{INDEXING}, _prepare_slice_list: a host index is copied",
        costs=("to device",)),
    Row("ndarray.__getitem__", lambda xp, d: d(F)[:, d(np.array([3, -4]))], f"{DIFFERENCES}: out-of-bounds indices wrap",
        differs=F[:, [0, 2]]),
    Row("ndarray.__getitem__", lambda xp, d: d(F)[d(F > 0)], f"{INDEXING}, _ndarray_argwhere: synchronize!", costs=("waits",)),
    Row("ndarray.__setitem__", changed(F, lambda xp, a, d: a.__setitem__(..., d(P))), f"{INDEXING}, _scatter_op"),
    Row("ndarray.__setitem__", changed(F, lambda xp, a, d: a.__setitem__((slice(None), 1), 2.0)), f"{INDEXING}, _scatter_op"),
    Row("ndarray.__setitem__", changed(F, lambda xp, a, d: a.__setitem__(..., P)),
        f"{INDEXING}, _scatter_op: refuse assignment from CPU arrays", raises=ValueError),
    Row("ndarray.__setitem__", changed(F, lambda xp, a, d: a[0].__setitem__(d(INTEGERS), d(P[1]))),
        f"{INDEXING}, _scatter_op_single"),
    Row("ndarray.take", lambda xp, d: d(F).take(d(INTEGERS)), f"{INDEXING}, _take"),
    Row("ndarray.take", into(lambda xp: lambda a, k, out=None: a.take(k, out=out), F, INTEGERS), f"{INDEXING}, _take"),
    Row("ndarray.take", lambda xp, d: d(F).take(d(np.array([6, -7]))), f"{INDEXING}, _take wraps", differs=F.ravel()[[0, 5]]),
    Row("ndarray.put", changed(F, lambda xp, a, d: a.put(d(INTEGERS), d(P[0]))), f"{INDEXING}, _ndarray_put"),
    Row("ndarray.put", changed(F, lambda xp, a, d: a.put(d(np.array([6])), d(P[0, :1]))), f"{INDEXING}: mode wrap by default",
        differs=np.concatenate([P[0, :1], F.ravel()[1:]]).reshape(F.shape)),

    # operators
    *(Row(f"ndarray.__{name}__", lambda xp, d, name=name: getattr(d(P), f"__{name}__")(d(P)), f"{CORE}, {name}")
      for name in ("add", "sub", "mul", "truediv", "pow", "lt", "le", "gt", "ge", "eq", "ne")),
    *(Row(f"ndarray.__{name}__", lambda xp, d, name=name: getattr(d(P), f"__{name}__")(2.0), f"{CORE}, {name}")
      for name in ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow")),
    *(Row(f"ndarray.__{name}__", changed(F, lambda xp, a, d, name=name: getattr(a, f"__{name}__")(d(P))), f"{CORE}, {name}")
      for name in ("iadd", "isub", "imul", "itruediv")),
    *(Row(f"ndarray.__{name}__", lambda xp, d, name=name: getattr(d(F > 0), f"__{name}__")(d(P > 1)), f"{CORE}, {name}")
      for name in ("and", "or")),
    Row("ndarray.__invert__", lambda xp, d: ~d(F > 0), f"{CORE}, __invert__"),
    Row("ndarray.__neg__", lambda xp, d: -d(F), f"{CORE}, __neg__"),
    Row("ndarray.__abs__", lambda xp, d: abs(d(F)), f"{CORE}, __abs__"),
    Row("ndarray.__mul__", with_host_array, f"{KERNEL}, _preprocess_arg: Unsupported type", raises=TypeError),
    Row("ndarray.__rmul__", lambda xp, d: F * d(F), f"{CORE}, __array_ufunc__", raises=TypeError),
    Row("ndarray.__itruediv__", lambda xp, d: itruediv(d(F), F), f"{KERNEL}, _preprocess_arg", raises=TypeError),
)
