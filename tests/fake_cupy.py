"""A stand-in for CuPy where there is no GPU: it offers the operations of `cupy_table` and refuses all others.

Its arrays live on the host, behind a wall: they never become NumPy arrays by themselves, NumPy arrays never mix with
them, indices out of range wrap as CuPy's do, and every copy to the device and every wait for it is counted. It shows
what mbcore asks of CuPy. That CuPy computes the same numbers is for the tests that need a GPU.
"""

from __future__ import annotations

import types

import numpy as np
from cupy_table import TABLE

synchronisations = []           # what made the host wait for the device: "get", "float", ...
transfers = []                  # what copied from the host to the device: "asarray", "index"
OPERATIONS = {row.operation for row in TABLE}
PLAIN = ("shape", "strides", "dtype", "ndim", "size", "nbytes")
METHODS = ("reshape", "transpose", "ravel", "copy", "astype", "sum", "max", "min", "mean", "argmax", "all", "any")
OPERATORS = ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow", "lt", "le", "gt", "ge", "eq",
             "ne", "and", "or", "invert", "neg", "abs", "iadd", "isub", "imul", "itruediv")
FROM_SIZES = ("zeros", "empty", "ones", "full", "arange")
NUMBERS = (bool, int, float, np.generic)


class ndarray:
    """An array on the imagined device."""

    __hash__ = None

    def __init__(self, host, viewed=None):
        self._host = host
        shares = viewed is not None and np.may_share_memory(host, viewed._host)
        self.base = (viewed if viewed.base is None else viewed.base) if shares else None

    def __getattr__(self, name):
        if name.startswith("__"):               # asked for by Python and NumPy themselves
            raise AttributeError(name)
        raise NotImplementedError(f"ndarray.{name} stands in no row of cupy_table")

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __array_ufunc__(self, function, method, *arrays, **options):
        if method != "__call__":
            return NotImplemented
        if out := options.pop("out", None):
            options["out"] = out[0]
        return _offered(function.__name__)(*arrays, **options)

    def __array_function__(self, function, *_):
        raise NotImplementedError(f"numpy.{function.__name__} of a device array: ask xp_of(array) for it")

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        raise NotImplementedError("iteration over a device array stands in no row of cupy_table")

    def get(self):
        return _waited("get", self).copy()

    def item(self):
        return _waited("item", self).item()

    def __float__(self):
        return float(_waited("float", self))

    def __int__(self):
        return int(_waited("int", self))

    def __bool__(self):
        return bool(_waited("bool", self))

    @property
    def T(self):
        return ndarray(self._host.T, self)

    def fill(self, value):
        if np.ndim(getattr(value, "_host", value)):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        self._host.fill(getattr(value, "_host", value))

    def __getitem__(self, key):
        return ndarray(self._host[_key(self, key)], self)

    def __setitem__(self, key, value):
        if isinstance(value, np.ndarray) and value.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        self._host[_key(self, key)] = _unwrapped(value)

    def take(self, places, out=None):
        return _result(self._host.take(_unwrapped(places), out=_unwrapped(out), mode="wrap"), out)

    def put(self, places, values):
        self._host.put(_unwrapped(places), _unwrapped(values), mode="wrap")


ndarray.__module__ = "cupy"     # as type(array).__module__ says of CuPy's arrays


def _waited(what, array):
    synchronisations.append(what)
    return array._host


def _unwrapped(value):
    """The host's array behind a device array; a number stays one, and anything else is refused in CuPy's words."""
    if isinstance(value, ndarray):
        return value._host
    if value is None or isinstance(value, NUMBERS):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def _result(found, out=None):
    """A device array, also without axes: CuPy's reductions do not come back to the host."""
    return out if out is not None else ndarray(np.asarray(found))


def _key(array, key):
    """An index for the host, in which places out of range wrap."""
    parts = key if isinstance(key, tuple) else (key,)
    axis, found = 0, []
    for part in parts:
        if isinstance(part, (np.ndarray, list)):
            transfers.append("index")
            part = ndarray(np.asarray(part))
        if isinstance(part, ndarray):
            part = _waited("mask", part) if part.dtype == bool else part._host % array.shape[axis]
        elif part is not None and part is not ... and not isinstance(part, (slice, int, np.integer)):
            raise IndexError(f"no index: {part!r}")
        axis += part is not None and part is not ...
        found.append(part)
    return tuple(found)


def _method(name):
    def call(self, *arguments, out=None, **options):
        host = getattr(self._host, name)
        found = host(*arguments, **options, **({} if out is None else {"out": out._host}))
        return out if out is not None else ndarray(np.asarray(found), self)
    return call


def _operator(name):
    def call(self, *other):
        if any(isinstance(o, np.ndarray) for o in other):
            raise TypeError(f"Unsupported type {np.ndarray}")
        found = getattr(self._host, f"__{name}__")(*map(_unwrapped, other))
        return self if name[0] == "i" and found is self._host else _result(found)
    return call


for _name in PLAIN:
    setattr(ndarray, _name, property(lambda self, name=_name: getattr(self._host, name)))
for _name in METHODS:
    setattr(ndarray, _name, _method(_name))
for _name in OPERATORS:
    setattr(ndarray, f"__{_name}__", _operator(_name))


def _offered(name):
    """The function of this name, if a row of the table has it."""
    if name not in OPERATIONS:
        raise NotImplementedError(f"cupy.{name} stands in no row of cupy_table")

    def call(*arrays, out=None, **options):
        host = getattr(np, name)
        if name in FROM_SIZES:
            return ndarray(host(*arrays, **options))
        if isinstance(arrays[0], (list, tuple)):            # concatenate, stack
            return ndarray(host([_unwrapped(a) for a in arrays[0]], *arrays[1:], **options))
        found = host(*map(_unwrapped, arrays), **({} if out is None else {"out": out._host}), **options)
        return bool(found) if name == "may_share_memory" else _result(found, out)
    return call


def _asarray(value, dtype=None):
    if isinstance(value, ndarray):
        return value if dtype in (None, value.dtype) else ndarray(value._host.astype(dtype))
    transfers.append("asarray")
    return ndarray(np.array(value, dtype))


def _array(value, dtype=None):
    return ndarray(value._host.astype(dtype or value.dtype)) if isinstance(value, ndarray) else _asarray(value, dtype)


def _copyto(out, value, where=True):
    if isinstance(value, np.ndarray) and value.size != 1:
        raise ValueError("non-scalar numpy.ndarray cannot be used for copyto")
    np.copyto(out._host, _unwrapped(value), where=_unwrapped(where))


class _Module(types.SimpleNamespace):
    def __getattr__(self, name):
        return _offered(name)


def module():
    """What stands for the module cupy. A GPU of 8 GB with nothing on it."""
    stream = types.SimpleNamespace(synchronize=lambda: synchronisations.append("synchronize"))
    runtime = types.SimpleNamespace(memGetInfo=lambda: (8 * 10**9, 8 * 10**9))
    cuda = types.SimpleNamespace(get_current_stream=lambda: stream, runtime=runtime)
    return _Module(ndarray=ndarray, asarray=_asarray, array=_array, copyto=_copyto, cuda=cuda, finfo=np.finfo)
