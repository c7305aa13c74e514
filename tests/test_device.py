"""One program text for CPU and GPU: without a GPU on a stand-in that counts synchronisations, with one on CuPy itself."""

import fake_cupy
import numpy as np
import pytest

import mbcore as mb
from mbcore import backend
from mbcore.experiments.models import MLP, SLIDES

SIZES = dict(b=32, i=12, j=7, y=5)
NEEDS_GPU = pytest.mark.skipif(not mb.gpu_available(), reason="CuPy finds no GPU on this machine")


def batch(B, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(B, 12)).astype(np.float32), rng.integers(0, 5, B)


def pair(model, **options):
    """The same program on the CPU and on the device, with the same parameters."""
    return [model.with_index("b").compile(**SIZES, device=d, **options).init(np.random.default_rng(0)) for d in ("cpu", "gpu")]


def same_on_both(model):
    cpu, gpu = pair(model)
    for B in (32, 17):
        x, target = batch(B)
        on = {"x": mb.to_gpu(x), "target": mb.to_gpu(target)}
        np.testing.assert_allclose(mb.to_cpu(gpu.forward(**on)), cpu.forward(x=x, target=target), rtol=1e-5)
        cpu.backward()
        gpu.backward()
        for name in cpu.grads:
            np.testing.assert_allclose(mb.to_cpu(gpu.grads[name]), cpu.grads[name], rtol=1e-5, atol=1e-7, err_msg=name)
        cpu.step(0.5, x=x, target=target)
        gpu.step(0.5, **on)
        for name in cpu.params:
            np.testing.assert_allclose(mb.to_cpu(gpu.params[name]), cpu.params[name], rtol=1e-5, atol=1e-7, err_msg=name)
        norms = [p.per_example_sq_norms() for p in (cpu, gpu) if p.forward(**(on if p is gpu else {"x": x, "target": target})) is not None]
        np.testing.assert_allclose(mb.to_cpu(norms[1]), norms[0], rtol=1e-4)


@pytest.mark.parametrize("model", [SLIDES, MLP], ids=["slides", "usual"])
def test_program_runs_on_device_arrays(fake_gpu, model):
    same_on_both(model)


@NEEDS_GPU
@pytest.mark.parametrize("model", [SLIDES, MLP], ids=["slides", "usual"])
def test_gpu_agrees_with_cpu(model):
    same_on_both(model)


@pytest.mark.parametrize("model", [SLIDES, MLP], ids=["slides", "usual"])
def test_no_step_waits_for_the_device(fake_gpu, model):
    _, gpu = pair(model)
    x, target = map(mb.to_gpu, batch(32))
    fake_cupy.synchronisations.clear()
    for _ in range(3):
        gpu.forward(x=x, target=target)
        gpu.backward()
        gpu.step(0.1, x=x, target=target)
        gpu.evaluate("s", x=x)
        gpu.per_example_sq_norms() if gpu._state == "forward" else None
    assert fake_cupy.synchronisations == []


def test_the_stand_in_can_fail(fake_gpu):
    array = mb.to_gpu(np.ones(3))
    with pytest.raises(TypeError):
        np.asarray(array)
    with pytest.raises(TypeError):
        array += np.ones(3)
    float(array[0])
    assert fake_cupy.synchronisations == ["float"]


def test_inputs_on_the_wrong_device_are_refused_by_name(fake_gpu):
    cpu, gpu = pair(MLP)
    x, target = batch(32)
    before = {name: p.copy() for name, p in cpu.params.items()}
    with pytest.raises(TypeError, match="x: the program is on the gpu, the array is on the cpu"):
        gpu.step(0.1, x=x, target=mb.to_gpu(target))
    with pytest.raises(TypeError, match="target: the program is on the cpu, the array is on the gpu"):
        cpu.step(0.1, x=x, target=mb.to_gpu(target))
    assert all((cpu.params[name] == before[name]).all() for name in before)


def test_a_gpu_that_is_not_there_is_refused_in_words(monkeypatch):
    monkeypatch.setattr(backend, "_cupy", lambda: None)
    with pytest.raises(RuntimeError, match="no GPU"):
        MLP.with_index("b").compile(**SIZES, device="gpu")
    with pytest.raises(RuntimeError, match="no GPU"):
        mb.to_gpu(np.ones(2))


POSITIONS = mb.equations("s[p,y] = W[y,i] * x[p,i]\nell[p] = cross_entropy(s[p,y], target[p])\nL = mean(ell[p], over=p)")


@pytest.mark.parametrize("kind", ["usual", "slides", "positions", "replicas"])
@pytest.mark.parametrize("label", [5, -1, 7, 2**40, -(2**40)])
def test_a_label_out_of_range_never_trains_quietly_on_a_gpu(fake_gpu, kind, label):
    """Its example has the loss nan, the others their own; every gradient is nan; nobody waited for the device to see it."""
    model = {"usual": MLP, "slides": SLIDES, "positions": POSITIONS, "replicas": MLP}[kind].with_index("b")
    model = model.with_index("r", parameters=True) if kind == "replicas" else model
    more = {"positions": dict(b=4, p=3, i=12, y=5), "replicas": {**SIZES, "r": 2, "b": 4}}.get(kind, {**SIZES, "b": 4})
    gpu = model.compile(**more, device="gpu").init(np.random.default_rng(0))
    shape = [more[i] for i in gpu.graph.shapes["target"]]
    rng = np.random.default_rng(1)
    x, good = rng.normal(size=[more[i] for i in gpu.graph.shapes["x"]]), rng.integers(0, 5, shape)
    bad, at = good.copy(), (1, 2) if kind in ("positions", "replicas") else (2,)
    bad[at] = label
    x, good, bad = map(mb.to_gpu, (x, good, bad))
    right = mb.to_cpu(gpu.forward(x=x, target=good))
    fake_cupy.synchronisations.clear()
    gpu.forward(x=x, target=bad)
    gpu.backward()
    assert fake_cupy.synchronisations == []
    found, where = mb.to_cpu(gpu.values["L"]), (1,) if kind == "positions" else at
    assert np.isnan(found[where])
    np.testing.assert_allclose(np.delete(found.ravel(), np.ravel_multi_index(where, found.shape)),
                               np.delete(right.ravel(), np.ravel_multi_index(where, right.shape)), rtol=1e-6)
    W = mb.to_cpu(gpu.grads["W" if kind == "positions" else "W1"])
    assert np.isnan(W[1] if kind == "replicas" else W).all() and (kind != "replicas" or np.isfinite(W[0]).all())
    assert np.isfinite(mb.to_cpu(gpu.forward(x=x, target=good))).all()
    gpu.step(0.1, x=x, target=bad)
    assert np.isnan(mb.to_cpu(gpu.params["W" if kind == "positions" else "W1"])).any()
