"""DataSet: what its arrays must be, and where they live; mb.dataset: data in memory, of any library."""

import dataclasses

import fake_cupy
import numpy as np
import pytest

import mbcore as mb
from mbcore import backend
from mbcore.data import gaussians
from mbcore.examples import ARRAYS, DataSet


def made(**changed):
    """A data set of 6 and 4 examples of 3 numbers, some of its fields changed."""
    rng = np.random.default_rng(0)
    fields = {
        "name": "own",
        "x_train": rng.normal(size=(6, 3)).astype(np.float32),
        "target_train": np.arange(6) % 2,
        "x_test": rng.normal(size=(4, 3)).astype(np.float32),
        "target_test": np.arange(4) % 2,
        "classes": ("no", "yes"),
        "description": "made",
        "licence": "none",
    }
    return DataSet(**{**fields, **changed})


HOLED = np.ones((6, 3), dtype=np.float32)
HOLED[2, 1] = np.nan


@pytest.mark.parametrize("changed, error, words", [
    ({"x_train": [[1.0, 2.0]]}, TypeError, "x_train: expected an array of NumPy or CuPy"),
    ({"x_train": np.ones((6, 3), int)}, TypeError, "x_train: expected floating-point numbers, got int64"),
    ({"x_test": np.ones((4, 3), complex)}, TypeError, "x_test: expected floating-point .* complex128"),
    ({"x_train": np.ones(6)}, ValueError, r"x_train: expected one or more examples, .* shape \(6,\)"),
    ({"x_test": np.ones((0, 3))}, ValueError, r"x_test: expected one or more examples.* \(0, 3\)"),
    ({"x_train": HOLED}, ValueError, r"x_train: expected finite numbers, got nan at \[2, 1\]"),
    ({"x_test": np.ones((4, 2))}, ValueError, r"x_test: .* shape \(3,\), as x_train, got \(2,\)"),
    ({"target_train": np.arange(5) % 2}, ValueError, r"target_train: .* each of 6 .* shape \(5,\)"),
    ({"target_train": np.zeros((6, 1), int)}, ValueError, r"target_train: .* shape \(6, 1\)"),
    ({"target_test": np.ones(4)}, TypeError, "target_test: expected whole numbers .* got float64"),
    ({"target_test": np.arange(4)}, ValueError, "target_test: .* from 0 to 1, .* got 2 at 2"),
    ({"target_train": np.arange(6) % 2 - 1}, ValueError, "target_train: .* got -1 at 0"),
])
def test_arrays_that_do_not_fit_are_named(changed, error, words):
    with pytest.raises(error, match=words):
        made(**changed)


def test_the_owners_array_stays_writable():
    x = np.ones((6, 3), dtype=np.float32)
    data = made(x_train=x)
    x[0] = 2
    with pytest.raises(ValueError, match="read-only"):
        data.x_train[0] = 1


def test_replace_checks_again():
    data = made()
    half = dataclasses.replace(data, x_train=data.x_train[:3], target_train=data.target_train[:3])
    assert half.x_train.shape == (3, 3)
    with pytest.raises(ValueError, match="target_train: expected a label for each of 3"):
        dataclasses.replace(data, x_train=data.x_train[:3])


# ---- where the arrays live


@pytest.fixture
def fake_gpu(monkeypatch):
    xp = fake_cupy.module()
    monkeypatch.setattr(backend, "_cupy", lambda: xp)
    fake_cupy.synchronisations.clear()
    return xp


def test_on_moves_all_arrays_once(fake_gpu):
    data = gaussians(n_train=20, n_test=10)
    there = data.on("gpu")
    assert (data.device, there.device) == ("cpu", "gpu") and not fake_cupy.synchronisations
    assert there.on("gpu") is there and data.on("cpu") is data
    back = there.on("cpu")
    for name in ARRAYS:
        assert backend.device_of(getattr(there, name)) == "gpu"
        np.testing.assert_array_equal(getattr(back, name), getattr(data, name))
        assert not getattr(back, name).flags.writeable
    assert (there.classes, there.description) == (data.classes, data.description)


def test_arrays_of_a_gpu_are_checked_too(fake_gpu):
    there = {name: mb.to_gpu(getattr(made(), name)) for name in ARRAYS}
    assert made(**there).device == "gpu"
    with pytest.raises(ValueError, match="target_test: .* got 5 at 0"):
        made(**{**there, "target_test": mb.to_gpu(np.full(4, 5))})
    with pytest.raises(TypeError, match="target_test: expected an array on the gpu"):
        made(**{**there, "target_test": np.zeros(4, int)})


def test_no_gpu_and_no_such_device(monkeypatch):
    monkeypatch.setattr(backend, "_cupy", lambda: None)
    with pytest.raises(RuntimeError, match="device: .gpu. was asked for"):
        made().on("gpu")
    with pytest.raises(ValueError, match="device: expected .cpu. or .gpu."):
        made().on("cuda")


@pytest.mark.skipif(not mb.gpu_available(), reason="CuPy finds no GPU on this machine")
def test_a_real_gpu():
    data = gaussians(n_train=20, n_test=10)
    back = data.on("gpu").on("cpu")
    assert all(np.array_equal(getattr(back, name), getattr(data, name)) for name in ARRAYS)
