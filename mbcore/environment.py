"""What this computer brings to the lessons, in plain words."""

from __future__ import annotations

import os
import platform

import numpy as np
from threadpoolctl import threadpool_info

from .backend import free_memory, gpu_available

ENOUGH = 450e6          # bytes that every lesson runs in


def environment():
    """Sentences: Python and NumPy, processor and BLAS threads, memory, GPU."""
    return (_versions(), _processor(), "The lessons mostly use one thread, so that what you see is not several cores at work.",
            _memory(free_memory()), _gpu(gpu_available()))


def _versions():
    return f"Python {platform.python_version()} with NumPy {np.__version__}."


def _processor():
    cores, blas = os.cpu_count() or 1, [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    threads = max((pool["num_threads"] for pool in blas), default=1)
    return f"{cores} processor core{'s' * (cores > 1)}; matrix products may use {threads} thread{'s' * (threads > 1)}."


def _memory(free):
    enough = "enough for every lesson" if free > ENOUGH else "little: close other programs before you go on"
    return f"{free / 1e9:.1f} GB of memory are free, {enough}."


def _gpu(there):
    if there:
        return "There is a GPU that CuPy can use. Lessons 06 and 12 will measure it."
    return "There is no GPU that CuPy can use. No lesson needs one; those that speak of GPUs say what is missing."
