"""What holds in every test, and the GPU that several imagine."""

import sys

import fake_cupy
import pytest

from mbcore import backend


@pytest.fixture(autouse=True)
def one_torch_thread():
    """PyTorch's second thread waits for a processor that another test uses: a step of 0.1 ms then takes 10."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def fake_gpu(monkeypatch):
    """The stand-in for CuPy in place of CuPy, with nothing waited for yet."""
    xp = fake_cupy.module()
    monkeypatch.setattr(backend, "_cupy", lambda: xp)
    fake_cupy.synchronisations.clear()
    return xp
