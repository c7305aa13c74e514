"""Which array library holds these arrays. The only module that imports CuPy."""

from __future__ import annotations

import functools
import threading
from collections import deque
from contextlib import contextmanager
from contextvars import copy_context
from operator import call
from pathlib import Path
from weakref import WeakSet

import numpy as np
import psutil
from threadpoolctl import OpenBLASController, ThreadpoolController

from .checking import one_of


@functools.cache
def _cupy():
    """CuPy, or None when it is not installed or finds no GPU. Looked for at the first question, not at import."""
    try:
        import cupy
        return cupy if cupy.cuda.runtime.getDeviceCount() > 0 else None
    except Exception:               # no CuPy, no driver, or a driver that does not fit: all mean no GPU here
        return None


def gpu_available():
    """True when CuPy is installed and sees a GPU."""
    return _cupy() is not None


def array_module(device):
    """"cpu" -> numpy, "gpu" -> cupy; RuntimeError in words when there is no GPU."""
    one_of("device", device, ("cpu", "gpu"))
    if device == "gpu" and not gpu_available():
        raise RuntimeError("device: 'gpu' was asked for, and there is no GPU that CuPy can use here; "
                           'install it by pip install -e ".[gpu]" on a machine with an NVIDIA GPU')
    return _cupy() if device == "gpu" else np


def device_of(array):
    """"gpu" for a CuPy array, "cpu" for anything else."""
    return "gpu" if type(array).__module__.partition(".")[0] == "cupy" else "cpu"


def xp_of(*arrays, names=()):
    """numpy or cupy, as the arrays decide; TypeError naming the first that is on another device than the one before."""
    for array in arrays:
        if type(array) is not np.ndarray:
            break
    else:
        return np
    devices = [device_of(a) for a in arrays]
    for k, device in enumerate(devices):
        if device != devices[0]:
            name = names[k] if k < len(names) else f"argument {k + 1}"
            raise TypeError(f"{name}: expected an array on the {devices[0]}, got one on the {device}; "
                            "move it by mb.to_cpu or mb.to_gpu")
    return array_module(devices[0])


def to_gpu(array):
    """A copy of the array on the GPU; RuntimeError without one."""
    return array_module("gpu").asarray(array)


def to_cpu(array):
    """The array as a NumPy array on the host; itself if it is there already."""
    return array.get() if device_of(array) == "gpu" else np.asarray(array)


def take(flat, places, out):
    """out[k] = flat[places[k]]. NumPy copies `out` unless told not to raise for places outside; CuPy cannot be told."""
    if type(flat) is np.ndarray:
        flat.take(places, out=out, mode="clip")
    else:
        flat.take(places, out=out)


_QUIET = copy_context()     # NumPy warns of nothing there: a warning is Python code, to be interrupted
_QUIET.run(np.seterr, all="ignore")


def at_once(calls):
    """Make all these calls or none: Ctrl-C comes before the first or after the last, on any thread.

    calls: functools.partial objects of NumPy's or CuPy's element-wise functions or of arrays' own
    methods, with arguments that were checked before: partial(np.subtract, W, step, out=W),
    partial(W.__setitem__, ..., new). Python looks for an interrupt between two of its
    instructions, and `deque` pulls the whole of `map` within one. So no call may run Python code:
    a function of ours, a lambda, np.copyto.
    """
    _QUIET.copy().run(deque, map(call, calls), 0)


def synchronise(device):
    """Wait until the device has done all that was asked of it; nothing to wait for on a CPU."""
    if device == "gpu":
        array_module("gpu").cuda.get_current_stream().synchronize()


CGROUPS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))     # v2, v1


def free_memory(device="cpu"):
    """Bytes that this process may still allocate there: what the machine has left, and within a container's limit."""
    if device == "gpu":
        return int(array_module("gpu").cuda.runtime.memGetInfo()[0])
    free = psutil.virtual_memory().available
    for limit, used in CGROUPS:
        try:
            limit, used = ((Path("/sys/fs/cgroup") / name).read_text() for name in (limit, used))
            free = min(free, int(limit) - int(used))
        except (OSError, ValueError):           # no such limit
            pass
    return max(free, 0)


@contextmanager
def one_blas_thread():
    """A context in which NumPy's BLAS uses one thread.

    Small matrices lose more to waking threads than they gain. The number of BLAS threads belongs
    to the process. So threads that are in such a context at the same time share it: what other
    code set before the first entered is back in force when the last has left, after an error too.
    """
    limit, holder = _limit(), _Holder()
    try:
        with limit.lock:
            limit.holders.add(holder)
            if limit.limiter is None:
                limit.limiter = _as_any_thread(_blas().limit, limits=1, user_api="blas")
        yield
    finally:
        with limit.lock:
            limit.holders.discard(holder)
            limiter = limit.limiter
            if not limit.holders and limiter is not None:
                limit.limiter = None
                _as_any_thread(limiter.restore_original_limits)


class _Holder:
    """One context. The set of holders forgets it also where an interrupt kept it from leaving."""


class _Limit:
    """Who asked for one BLAS thread and is not done, and how to go back to what was before."""

    def __init__(self):
        self.lock = threading.RLock()
        self.holders = WeakSet()
        self.limiter = None


class _LimitOfEach(_Limit, threading.local):
    """The same with another one for each thread: BLAS on OpenMP counts threads by caller."""


_SHARED, _OF_EACH = _Limit(), _LimitOfEach()


def _limit():
    return _OF_EACH if _on_openmp() else _SHARED


@functools.cache
def _on_openmp():
    return any(library.get("threading_layer") == "openmp" for library in _blas().info())


@functools.cache
def _blas():
    return ThreadpoolController().select(user_api="blas")


def _as_any_thread(act, **options):
    """act(**options), also where threadpoolctl lets another thread alone set OpenBLAS's threads."""
    release = getattr(OpenBLASController, "clear_controlling_thread", lambda force: None)
    release(force=True)
    try:
        return act(**options)
    finally:
        release(force=True)
