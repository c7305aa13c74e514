"""What holds in every test."""

import sys

import pytest


@pytest.fixture(autouse=True)
def one_torch_thread():
    """PyTorch's second thread waits for a processor that another test uses: a step of 0.1 ms then takes 10."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
