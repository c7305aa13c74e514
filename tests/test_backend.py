"""Devices, without one: a small class stands in for CuPy's arrays, refuses to become a NumPy array and counts what would wait."""

import contextlib
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import mbcore as mb
from mbcore.backend import one_blas_thread, synchronise

no_gpu = pytest.mark.skipif(mb.gpu_available(), reason="there is a GPU here; this is what happens without one")


def refuse(self, *args, **kwargs):
    raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")


def wait(self, *args):
    type(self).waits += 1
    return 1.0


Fake = type("ndarray", (), dict(
    __module__="cupy", waits=0, __init__=lambda self, array: self.__dict__.update(kept=np.asarray(array)), __array__=refuse,
    __float__=wait, __bool__=wait, __int__=wait, __len__=lambda self: len(self.kept), __repr__=lambda self: "cupy array",
    shape=property(lambda self: self.kept.shape), ndim=property(lambda self: self.kept.ndim), dtype=property(lambda self: self.kept.dtype),
    size=property(lambda self: self.kept.size), get=lambda self: self.kept.copy()))


@pytest.fixture
def fake():
    Fake.waits = 0
    yield Fake
    assert Fake.waits == 0, "an array on the GPU was waited for"


def test_xp_of_numpy_is_numpy():
    assert mb.xp_of(np.ones(2), np.ones(3), 1.0) is np


@no_gpu
@pytest.mark.parametrize("arrays, name", [(("cpu", "gpu"), "W0"), (("gpu", "cpu"), "W0"), (("cpu", "cpu", "gpu"), "C0")])
def test_mixing_is_refused_by_name(fake, arrays, name):
    arrays = [np.ones(2) if a == "cpu" else fake(np.ones(2)) for a in arrays]
    with pytest.raises(TypeError, match=f"^{name}: expected an array on the .pu, got one on the .pu.*to_cpu or mb.to_gpu"):
        mb.xp_of(*arrays, names=("x", "W0", "C0"))
    with pytest.raises(TypeError, match="^argument [23]: "):
        mb.xp_of(*arrays)


SIZES = dict(b=2, i=3, j=4)
MODEL = mb.equations("h[j] = tanh(W[j,i] * x[i])\nL = a * squared_error(h[j], t[j])")


@pytest.mark.parametrize("name", ["x", "t", "a"])
def test_a_program_names_the_input_on_the_other_device(fake, name):
    net = MODEL.with_index("b").compile(**SIZES).init(np.random.default_rng(0))
    inputs = dict(x=np.ones((2, 3)), t=np.ones((2, 4)), a=np.ones(2))
    before = net.params["W"].copy()
    with pytest.raises(TypeError, match=f"^{name}: the program is on the cpu, the array is on the gpu"):
        net.step(0.1, **{**inputs, name: fake(inputs[name])})
    np.testing.assert_array_equal(net.params["W"], before)


def test_a_single_number_on_the_other_device_is_named(fake):
    net = MODEL.with_index("b", shared="a").compile(**SIZES)
    with pytest.raises(TypeError, match="^a: "):
        net.forward(x=np.ones((2, 3)), t=np.ones((2, 4)), a=fake(1.0))


def test_lr_on_the_other_device_is_named(fake):
    net = MODEL.with_index("b").with_index("r", parameters=True).compile(r=2, **SIZES)
    with pytest.raises((TypeError, ValueError), match="^lr: "):
        net.step(fake(np.ones(2)), x=np.ones((2, 3)), t=np.ones((2, 4)), a=np.ones(2))


def test_to_cpu(fake):
    array = np.ones(3)
    assert mb.to_cpu(array) is array
    np.testing.assert_array_equal(mb.to_cpu(fake(array)), array)


@no_gpu
@pytest.mark.parametrize("act", [lambda: mb.to_gpu(np.ones(2)), lambda: MODEL.with_index("b").compile(device="gpu", **SIZES)])
def test_no_gpu_is_said_in_words(act):
    with pytest.raises(RuntimeError, match="device: 'gpu' was asked for, and there is no GPU"):
        act()


@no_gpu
def test_without_a_gpu():
    assert mb.gpu_available() is False
    assert synchronise("cpu") is None


# ---------------------------------------------------------------- importing, and threads


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout.split()


def test_importing_changes_no_thread_count_and_brings_no_plotting():
    first, second, *loaded = python(
        "import sys, numpy, threadpoolctl\n"
        "threads = lambda: [p['num_threads'] for p in threadpoolctl.threadpool_info()]\n"
        "before = threads(); import mbcore, mbcore.train, mbcore.checks, mbcore.experiments.batch_index\n"
        "print(str(before).replace(' ', ''), str(threads()).replace(' ', ''))\n"
        "print(*[m for m in ('matplotlib', 'cupy', 'ipywidgets', 'scipy') if m in sys.modules])")
    assert first == second != "[]"
    assert not {"matplotlib", "cupy", "ipywidgets"} & set(loaded)


def test_a_step_leaves_the_thread_count():
    before, after = python(
        "import numpy as np, threadpoolctl, mbcore as mb\n"
        "threads = lambda: str([p['num_threads'] for p in threadpoolctl.threadpool_info()]).replace(' ', '')\n"
        "threadpoolctl.threadpool_limits(2, user_api='blas'); first = threads()\n"
        "net = mb.equations('h[j] = W[j,i] * x[i]\\nL = squared_error(h[j], t[j])').with_index('b').compile(b=8, i=4, j=4)\n"
        "net.step(0.1, x=np.ones((8, 4)), t=np.ones((8, 4))); print(first, threads())")
    assert before == after


def blas_threads():
    from threadpoolctl import threadpool_info
    return [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]


@pytest.mark.parametrize("raises", [False, True])
def test_one_blas_thread_restores(raises):
    from threadpoolctl import threadpool_limits
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        try:
            with one_blas_thread():
                assert set(blas_threads()) == {1}
                with one_blas_thread():
                    pass
                assert set(blas_threads()) == {1}
                if raises:
                    raise KeyError
        except KeyError:
            pass
        assert blas_threads() == before


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
@pytest.mark.parametrize("raises", [(), (0,), (0, 1, 2)])
def test_threads_that_overlap_leave_the_thread_count_as_it_was(order, raises):
    """Three threads are inside at once, one of them twice, and leave in this order, some by an error."""
    from threadpoolctl import threadpool_limits
    leave, seen, entered = [threading.Event() for _ in order], [], threading.Barrier(4)

    def work(k):
        try:
            with one_blas_thread(), one_blas_thread() if k == 0 else contextlib.nullcontext():
                entered.wait(20)
                leave[k].wait(20)
                seen.append(set(blas_threads()))
                if k in raises:
                    raise KeyError
        except KeyError:
            pass
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
        for thread in threads:
            thread.start()
        entered.wait(20)
        for k in order:
            leave[k].set()
            threads[k].join(20)
        assert blas_threads() == before and seen == [{1}] * 3
        with one_blas_thread():
            assert set(blas_threads()) == {1}
        assert blas_threads() == before


def test_many_threads_in_and_out_leave_the_thread_count_as_it_was():
    from threadpoolctl import threadpool_limits

    def work(k):
        for _ in range(50):
            with one_blas_thread():
                pass
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert blas_threads() == before


def test_a_context_that_was_interrupted_on_its_way_out_is_forgotten():
    from threadpoolctl import threadpool_limits
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        context = one_blas_thread()
        context.__enter__()
        del context                                         # as where an interrupt comes before the block is entered
        assert blas_threads() == before


def test_free_memory_is_within_the_machine_and_the_container(monkeypatch, tmp_path):
    from mbcore import backend
    free = backend.free_memory()
    assert 0 < free <= backend.psutil.virtual_memory().total
    for limit, used, expected in (("5000", "2000", 3000), ("max", "2000", None), ("1000", "2000", 0)):
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.current").write_text(used)
        monkeypatch.setattr(backend, "CGROUPS", ((tmp_path / "memory.max", tmp_path / "memory.current"),))
        found = backend.free_memory()
        assert found == expected if expected is not None else found > 10**6
