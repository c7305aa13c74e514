"""Which array library holds these arrays. The only module that imports CuPy."""

from __future__ import annotations

import functools
from collections import deque
from contextvars import copy_context
from operator import call
from pathlib import Path

import numpy as np
import psutil
from threadpoolctl import ThreadpoolController


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
    if device not in ("cpu", "gpu"):
        raise ValueError(f"device: expected 'cpu' or 'gpu', got {device!r}")
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


_QUIET = copy_context()              # where NumPy warns of no overflow: a warning is Python code, and may be interrupted
_QUIET.run(np.seterr, all="ignore")


def at_once(calls):
    """Make all these calls or none: an interrupt (Ctrl-C) comes before the first or after the last, on any thread.

    calls: functools.partial objects of NumPy's or CuPy's element-wise functions or arrays' own methods, with arguments
    that were checked before: partial(np.subtract, parameter, step, out=parameter), partial(array.__setitem__, ..., new).
    Python looks for an interrupt between two of its instructions, and `deque` pulls the whole of `map` within one. So no
    call may run Python code: a function of ours, a lambda, np.copyto.
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


@functools.cache
def _blas():
    return ThreadpoolController()


def one_blas_thread():
    """A context in which NumPy's BLAS uses one thread: small matrices lose more to waking threads than they gain.

    What other code set before is back in force afterwards.
    """
    return _blas().limit(limits=1, user_api="blas")
