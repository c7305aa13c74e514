"""A stand-in for CuPy where there is no GPU: arrays that refuse to become NumPy arrays and count what would wait for a GPU.

It shows that the program asks nothing of a device array that CuPy would answer by a copy or by waiting. It does not
show that CuPy computes the same numbers: that is for the tests that need a GPU.
"""

import types

import numpy as np

synchronisations = []           # what asked a device array for its value on the host
NUMBERS = (int, float, np.integer, np.floating)


class ndarray:
    __array_ufunc__ = None      # NumPy's own functions refuse it

    def __init__(self, host):
        self._host = host

    shape, strides, dtype, ndim, size, nbytes = (property(lambda self, n=n: getattr(self._host, n))
                                                 for n in ("shape", "strides", "dtype", "ndim", "size", "nbytes"))

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def _waits(self, what):
        synchronisations.append(what)
        return self._host

    def __float__(self): return float(self._waits("float"))
    def __int__(self): return int(self._waits("int"))
    def __bool__(self): return bool(self._waits("bool"))
    def get(self): return self._waits("get").copy()
    def item(self): return self._waits("item").item()
    def __len__(self): return len(self._host)

    T = property(lambda self: ndarray(self._host.T))
    def __getitem__(self, key): return ndarray(self._host[_plain(key)])
    def __setitem__(self, key, value): self._host[_plain(key)] = _unwrapped(value)

    def reshape(self, *shape): return ndarray(self._host.reshape(*shape))
    def transpose(self, *axes): return ndarray(self._host.transpose(*axes))
    def copy(self): return ndarray(self._host.copy())
    def fill(self, value): self._host.fill(_unwrapped(value))
    def sum(self, axis=None, out=None): return _into(self._host.sum(axis=axis, out=_unwrapped(out)), out)
    def max(self, axis=None, out=None): return _into(self._host.max(axis=axis, out=_unwrapped(out)), out)
    def take(self, at, out=None): return _into(self._host.take(_unwrapped(at), out=_unwrapped(out)), out)
    def put(self, at, values): self._host.put(_unwrapped(at), _unwrapped(values))

    def __iadd__(self, other): self._host += _unwrapped(other); return self
    def __isub__(self, other): self._host -= _unwrapped(other); return self
    def __imul__(self, other): self._host *= _unwrapped(other); return self
    def __itruediv__(self, other): self._host /= _unwrapped(other); return self
    def __add__(self, other): return ndarray(self._host + _unwrapped(other))
    def __radd__(self, other): return ndarray(_unwrapped(other) + self._host)
    def __sub__(self, other): return ndarray(self._host - _unwrapped(other))
    def __mul__(self, other): return ndarray(self._host * _unwrapped(other))
    def __rmul__(self, other): return ndarray(_unwrapped(other) * self._host)
    def __truediv__(self, other): return ndarray(self._host / _unwrapped(other))
    def __pow__(self, other): return ndarray(self._host ** _unwrapped(other))


ndarray.__module__ = "cupy"     # as type(array).__module__ says of CuPy's arrays


def _plain(key):
    assert all(k is None or k is ... or isinstance(k, (slice, int)) for k in (key if isinstance(key, tuple) else (key,))), key
    return key


def _unwrapped(value):
    if isinstance(value, ndarray):
        return value._host
    if value is None or isinstance(value, NUMBERS):
        return value
    raise TypeError(f"Unsupported type {type(value)}")          # CuPy's words for a NumPy array among its own


def _into(result, out):
    return ndarray(result) if out is None else out


def _function(name):
    def call(*arrays, out=None):
        return _into(getattr(np, name)(*map(_unwrapped, arrays), **({"out": _unwrapped(out)} if out is not None else {})), out)
    return call


def module():
    """The part of the cupy module that mbcore may use."""
    xp = types.SimpleNamespace(ndarray=ndarray, finfo=np.finfo)
    for name in ("add", "subtract", "multiply", "divide", "matmul", "exp", "log", "tanh", "sqrt", "sign", "negative", "maximum", "power", "isfinite"):
        setattr(xp, name, _function(name))
    xp.zeros = lambda shape, dtype=float: ndarray(np.zeros(shape, dtype))
    xp.zeros_like = lambda a: ndarray(np.zeros_like(_unwrapped(a)))
    xp.arange = lambda n: ndarray(np.arange(n))
    xp.asarray = lambda a, dtype=None: a if isinstance(a, ndarray) and dtype in (None, a.dtype) else ndarray(np.asarray(a._host if isinstance(a, ndarray) else a, dtype))
    xp.copyto = lambda out, value: np.copyto(_unwrapped(out), _unwrapped(value))
    return xp
