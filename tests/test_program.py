"""Programs: initial values, steps, batches of other sizes, memory, replicas."""

import copy
import math
import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from models import SLIDES, USUAL, drawn, loaded
from numpy.testing import assert_allclose, assert_array_equal

import mbcore as mb

SIZES = dict(b=8, i=5, j=4, y=3)
BATCH = mb.equations(USUAL).with_index("b")


def net_and_inputs(batch=BATCH, seed=0, B=8, **how):
    how.setdefault("dtype", "float64")
    params, inputs = drawn(batch, {**SIZES, "b": B}, seed)
    return loaded(batch.compile(**SIZES, **how), params), inputs


# ---------------------------------------------------------------- init


@pytest.mark.parametrize("text, name, variance", [
    ("h[j] = tanh(W[j,i] * x[i])\nL = squared_error(h[j], t[j])", "W", 1 / 100),
    ("h[j] = relu(W[j,i] * x[i] - C[j])\nL = squared_error(h[j], t[j])", "W", 2 / 100),
    ("z[j] = W[j,i] * x[i]\nh[j] = relu(z[j])\nL = squared_error(h[j], t[j])", "W", 2 / 100),
    ("h[j] = sum(W[j,i] * x[i], over=i)\nL = squared_error(h[j], t[j])", "W", 1 / 100),
    ("h[j] = W[j,i,k] * x[i] * u[k]\nL = squared_error(h[j], t[j])", "W", 1 / 400),
    ("h[j] = W[j,i] * x[i]\nJ = W[j,i] * W[j,i]\nL = squared_error(h[j], t[j]) + J", "W", 1 / 100),
    ("J = W[j,i] * W[j,i]\nh[j] = W[j,i] * x[i]\nL = squared_error(h[j], t[j]) + J", "W", 1 / 100),
    ("J = 0.1 * z * W[j,i] * W[j,i]\nh[j] = W[j,i] * x[i]\nL = squared_error(h[j], t[j]) + J", "W", 1 / 100),
])
def test_variance_of_a_parameter_in_a_product(text, name, variance):
    """1 / fan-in, 2 / fan-in before relu: mean 0 and this variance, within 5 standard errors."""
    batch = mb.equations(text).with_index("b")
    net = batch.compile(dtype="float64", **{i: n for i, n in dict(b=1, i=100, j=100, k=4).items() if any(i in v for v in batch.graph.shapes.values())})
    W = net.init(np.random.default_rng(1)).params[name]
    assert abs(W.mean()) < 5 * math.sqrt(variance / W.size)
    assert abs((W * W).mean() - variance) < 5 * variance * math.sqrt(2 / W.size)


def test_added_parameters_start_at_0_and_factors_at_1():
    batch = mb.equations("z[j] = G[j] * (W[j,i] * x[i]) + A[j]\nh[j] = tanh(z[j] - C[j])\nL = squared_error(h[j], t[j])").with_index("b")
    params = batch.compile(b=1, i=3, j=4).init(np.random.default_rng(0)).params
    assert_array_equal(params["G"], np.ones(4))
    assert_array_equal([params["A"], params["C"]], np.zeros((2, 4)))


def test_init_draws_from_the_generator_alone():
    a, b = (BATCH.compile(**SIZES).init(np.random.default_rng(3)).params for _ in range(2))
    assert all(a[n].tobytes() == b[n].tobytes() for n in a) and a["W0"].any()
    with pytest.raises(TypeError, match="rng: expected a numpy.random.Generator"):
        BATCH.compile(**SIZES).init(0)


# ---------------------------------------------------------------- step, forward, backward


@pytest.mark.parametrize("B", [1, 8])
def test_step_is_forward_backward_update(B):
    (net, inputs), (other, _) = net_and_inputs(B=B), net_and_inputs(B=B)
    expected = other.forward(**inputs)
    other.backward()
    L = net.step(0.3, **inputs)
    assert_allclose(L, expected, rtol=1e-14)
    for name in net.params:
        assert_allclose(net.params[name], other.params[name] - 0.3 * other.grads[name], rtol=1e-12, atol=1e-15)


def test_the_loss_is_the_callers_own_copy():
    net, inputs = net_and_inputs()
    first = net.step(0.1, **inputs)
    kept = first.copy()
    net.step(0.1, **inputs)
    s = net.evaluate("s", x=inputs["x"])
    kept_s = s.copy()
    net.evaluate("s", x=2 * inputs["x"])
    assert_array_equal(first, kept)
    assert_array_equal(s, kept_s)
    assert first.flags.owndata


def test_grads_and_values_only_when_there_are_any():
    net, inputs = net_and_inputs()
    for read in (lambda: net.values, lambda: net.backward(), lambda: net.grads):
        with pytest.raises(RuntimeError, match="first"):
            read()
    net.forward(**inputs)
    with pytest.raises(RuntimeError, match="call backward first"):
        net.grads
    net.backward()
    assert set(net.params) <= set(net.grads)
    net.step(0.1, **inputs)
    with pytest.raises(RuntimeError, match="step.*keeps none"):
        net.grads
    assert net.values["L"].shape == (8,)


def test_backward_twice_is_backward_once():
    net, inputs = net_and_inputs()
    net.forward(**inputs)
    net.backward()
    once = net.grads["W0"].copy()
    net.backward()
    assert_array_equal(net.grads["W0"], once)


def test_evaluate_needs_what_the_value_needs():
    net, inputs = net_and_inputs()
    net.forward(**inputs)
    expected = net.values["s"].copy()
    assert_array_equal(net.evaluate("s", x=inputs["x"]), expected)
    with pytest.raises(ValueError, match="name: expected a computed value.*'q'"):
        net.evaluate("q", x=inputs["x"])
    with pytest.raises(ValueError, match="x: missing"):
        net.evaluate("s")
    with pytest.raises(ValueError, match="target: there is no such input here"):
        net.evaluate("s", **inputs)


def test_resized_shares_the_parameters():
    net, inputs = net_and_inputs()
    large, three = net.resized(b=40), {n: np.tile(v, (5,) + (1,) * (v.ndim - 1)) for n, v in inputs.items()}
    assert all(np.shares_memory(large.params[n], net.params[n]) for n in net.params)
    assert_allclose(large.forward(**three)[:8], net.forward(**inputs), rtol=1e-13)
    large.step(0.5, **three)
    other, _ = net_and_inputs()
    other.step(0.5, **inputs)                       # the mean over five copies is the mean
    assert_allclose(net.params["W0"], other.params["W0"], rtol=1e-12)
    with pytest.raises(ValueError, match="resized: expected the batch index alone"):
        net.resized(i=3)


def test_a_smaller_last_batch_leaves_nothing_of_the_larger():
    net, large = net_and_inputs()
    net.forward(**large)
    net.backward()
    _, small = net_and_inputs(B=3, seed=1)
    L = net.forward(**small)
    net.backward()
    alone, _ = net_and_inputs()
    alone = loaded(BATCH.compile(dtype="float64", **{**SIZES, "b": 3}), alone.params)
    assert_array_equal(L, alone.forward(**small))
    alone.backward()
    assert all(net.grads[n].shape == alone.grads[n].shape for n in alone.grads)
    for name in alone.grads:
        assert_allclose(net.grads[name], alone.grads[name], rtol=1e-13, atol=1e-16)


def test_a_model_without_L():
    net = mb.equations("h[j] = W[j,i] * x[i]").with_index("b").compile(b=2, i=3, j=2)
    assert net.forward(x=np.ones((2, 3))) is None
    for act in (net.backward, lambda: net.step(0.1, x=np.ones((2, 3)))):
        with pytest.raises(ValueError, match="L: the equations compute no L"):
            act()


# ---------------------------------------------------------------- memory


def peak_of(act):
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        act()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", [SLIDES, USUAL], ids=["slides", "usual"])
@pytest.mark.parametrize("given", ["float32", "float64"])
def test_a_step_allocates_no_array_data_after_the_first(text, given):
    """Beyond the caller's copy of L: a few of NumPy's own buffers of 8192 numbers, for 64 examples as for 65,536 (smallest array: 256 KB)."""
    for B, last in ((64, 17), (65_536, 40_001)):
        net = mb.equations(text).with_index("b").compile(b=B, i=16, j=8, y=10).init(np.random.default_rng(0))
        x, target = np.random.default_rng(1).random((B, 16)).astype(given), np.zeros(B, np.int64)
        for n in (B, last, B):                      # the first use of each size binds its calls
            net.step(0.1, x=x[:n], target=target[:n])
        for n in (B, last):
            used = peak_of(lambda: net.step(0.1, x=x[:n], target=target[:n]))
            assert used - 4 * n < 100_000, f"B={B}, {n} examples: {used} bytes"


def test_a_smaller_batch_uses_the_same_memory():
    net, inputs = net_and_inputs()
    net.forward(**inputs)
    large = net.values
    net.forward(**{n: v[:5] for n, v in inputs.items()})
    assert net.values["h"].shape == (5, 4) and net.values["h"].flags.c_contiguous
    assert all(np.shares_memory(net.values[n], large[n]) for n in large)


def test_compile_holds_nbytes():
    sizes = dict(b=512, i=64, j=64, y=10)
    kept = []
    used = peak_of(lambda: kept.append(BATCH.compile(**sizes)))
    assert abs(used - BATCH.nbytes(**sizes)) < 100_000 < BATCH.nbytes(**sizes)
    assert peak_of(lambda: BATCH.nbytes(b=10**7, i=64, j=64, y=10)) < 500_000


# ---------------------------------------------------------------- replicas

BOTH = BATCH.with_index("r", parameters=True)


@pytest.mark.parametrize("own", [True, False], ids=["own batches", "one batch for all"])
@pytest.mark.parametrize("lr", [0.3, [0.1, 0.3, 0.9]])
def test_replica_k_is_the_single_program_from_the_kth_spawn(own, lr):
    R, rng = 3, np.random.default_rng(2)
    many = BOTH.compile(r=R, dtype="float64", **SIZES).init(np.random.default_rng(7))
    singles = [BATCH.compile(dtype="float64", **SIZES).init(g) for g in np.random.default_rng(7).spawn(R)]
    for B in (8, 8, 5):
        x, target = rng.normal(size=(R, B, 5)), rng.integers(0, 3, (R, B))
        L = many.step(lr, x=x if own else x[0], target=target if own else target[0])
        for k, one in enumerate(singles):
            expected = one.step(lr if isinstance(lr, float) else lr[k], x=x[k if own else 0], target=target[k if own else 0])
            assert_allclose(L[k], expected, rtol=1e-12)
            for name in one.params:
                assert_allclose(many.params[name][k], one.params[name], rtol=1e-11, atol=1e-14, err_msg=f"{name}, replica {k}")


def test_replicas_gradients_are_each_its_own():
    many = BOTH.compile(r=2, dtype="float64", **SIZES).init(np.random.default_rng(7))
    x, target = np.random.default_rng(1).normal(size=(8, 5)), np.arange(8) % 3
    many.forward(x=x, target=target)
    many.backward()
    for k in range(2):
        one = loaded(BATCH.compile(dtype="float64", **SIZES), {n: p[k] for n, p in many.params.items()})
        one.forward(x=x, target=target)
        one.backward()
        for name in one.grads:
            assert_allclose(many.grads[name][k], one.grads[name], rtol=1e-12, atol=1e-15)


# ---------------------------------------------------------------- parameters in a file, and memory


def test_parameters_come_back_from_a_file(tmp_path):
    one, other = (mb.equations(USUAL).with_index("b").compile(b=4, i=5, j=3, y=2).init(np.random.default_rng(k)) for k in (1, 2))
    one.save(tmp_path / "net")
    assert other.load(tmp_path / "net") is other
    assert all(np.array_equal(one.params[n], other.params[n]) for n in one.params)
    with np.load(tmp_path / "net") as file:
        assert set(file.files) == {"W0", "C0", "W1", "C1"}


def saved_net(seed=1, text=USUAL, **how):
    return mb.equations(text).with_index("b").compile(**{**dict(b=4, i=5, j=3, y=2), **how}).init(np.random.default_rng(seed))


WRONG_FILES = {
    "another shape": (lambda p: {**p, "W0": p["W0"][:1]}, r"expected an array for each parameter, of shapes.*got W0 of shape \(1, 5\)"),
    "one missing": (lambda p: {n: a for n, a in p.items() if n != "C1"}, "expected an array for each parameter.*C1 is missing"),
    "one too many": (lambda p: {**p, "E": p["C0"]}, "expected an array for each parameter.*got E as well"),
    "nan": (lambda p: {**p, "C1": p["C1"] + np.nan}, "expected finite real numbers in C1.*got nan"),
    "inf": (lambda p: {**p, "C1": p["C1"] - np.inf}, "expected finite real numbers in C1.*got inf"),
    "too large": (lambda p: {**p, "C1": p["C1"] + 1e39}, "expected finite real numbers in C1, up to 3.4e.38"),
    "complex": (lambda p: {**p, "C1": p["C1"] + 1j}, "expected finite real numbers in C1, got complex"),
    "text": (lambda p: {**p, "C1": p["C1"].astype(str)}, "expected finite real numbers in C1, got <U"),
    "bool": (lambda p: {**p, "C1": p["C1"] > 0}, "expected finite real numbers in C1, got bool"),
    "objects": (lambda p: {**p, "C1": p["C1"].astype(object)}, "expected an NPZ file .* is damaged"),
    "none": (lambda p: {}, "expected an array for each parameter.*W0 is missing"),
}


@pytest.mark.parametrize("kind", WRONG_FILES)
def test_a_wrong_file_changes_nothing(tmp_path, kind):
    wrong, said = WRONG_FILES[kind]
    net = saved_net()
    before = {n: p.copy() for n, p in net.params.items()}
    np.savez(tmp_path / "p.npz", **wrong({n: p.astype(np.float64) for n, p in before.items()}))
    with pytest.raises(ValueError, match=f"^path: {said}"):
        net.load(tmp_path / "p.npz")
    assert all(np.array_equal(before[n], p) for n, p in net.params.items())


def test_paths_that_are_no_file_of_parameters(tmp_path):
    net = saved_net()
    (tmp_path / "text").write_text("W0 = 1")
    (tmp_path / "empty").write_text("")
    for path in (tmp_path / "text", tmp_path / "empty"):
        with pytest.raises(ValueError, match="^path: expected an NPZ file"):
            net.load(path)
    for path, error in ((tmp_path / "gone", FileNotFoundError), (tmp_path, OSError), (None, TypeError), (3, TypeError), (b"x", TypeError)):
        with pytest.raises(error):
            net.load(path)
        if path != tmp_path / "gone":
            with pytest.raises(error):
                net.save(path)


def test_any_damage_to_a_file_is_named_or_harmless(tmp_path):
    """Every byte of a saved file changed, and every length cut off: refused by name, or the same parameters."""
    net, path = saved_net(), tmp_path / "net"
    net.save(path)
    whole, before = path.read_bytes(), {n: p.copy() for n, p in net.params.items()}
    bad = [whole[:k] for k in range(0, len(whole), 7)] + [whole[:k] + bytes([whole[k] ^ 0x5A]) + whole[k + 1:] for k in range(0, len(whole), 3)]
    refused, other = 0, saved_net(2)
    for content in bad:
        path.write_bytes(content)
        other.init(np.random.default_rng(2))
        try:
            other.load(path)
        except ValueError as error:
            refused += 1
            assert str(error).startswith("path: ")
        else:
            assert all(np.array_equal(before[n], p) for n, p in other.params.items())
    assert refused > 0.8 * len(bad)


@pytest.mark.parametrize("text, line", [
    (USUAL.replace("sigmoid", "tanh"), "sigmoid"), (USUAL.replace("- C1", "+ C1"), "W1"), (SLIDES, "W1")])
def test_parameters_of_other_equations_are_refused(tmp_path, text, line):
    saved_net().save(tmp_path / "net")
    with pytest.raises(ValueError, match=f"^path: .*net holds the parameters of other equations: '.*{line}.*' where this program has '"):
        saved_net(text=text).load(tmp_path / "net")


def test_parameters_are_those_of_any_batch_dtype_and_letter_of_the_batch(tmp_path):
    one = saved_net()
    one.save(tmp_path / "net")
    twin = mb.equations(USUAL).with_index("n").compile(n=3, i=5, j=3, y=2, dtype="float64")
    for other in (saved_net(2, b=9), saved_net(2, dtype="float64"), twin, mb.equations(USUAL).compile(i=5, j=3, y=2)):
        other.load(tmp_path / "net")
        assert all(np.array_equal(one.params[n], p) for n, p in other.params.items())
    np.savez_compressed(tmp_path / "old.npz", **one.params)             # as before files said which equations they belong to
    other = saved_net(2).load(tmp_path / "old.npz")
    assert all(np.array_equal(one.params[n], p) for n, p in other.params.items())


def test_long_equations_are_told_apart_as_well(tmp_path, monkeypatch):
    """A comment in a ZIP file holds 65,535 bytes; of longer equations it holds a digest."""
    monkeypatch.setattr("mbcore.stored.LONGEST", 50)
    saved_net().save(tmp_path / "net")
    saved_net(2).load(tmp_path / "net")
    with pytest.raises(ValueError, match="other equations"):
        saved_net(text=USUAL.replace("sigmoid", "tanh")).load(tmp_path / "net")


def test_a_full_disk_leaves_the_older_file(tmp_path):
    """In a process that may write files of 300 bytes at most."""
    pytest.importorskip("resource")
    path, net = tmp_path / "net", saved_net()
    net.save(path)
    older = path.read_bytes()
    assert len(older) > 1000
    code = ("import resource, signal, sys, numpy as np, mbcore as mb\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))\n"
            "net = mb.equations(sys.argv[1]).with_index('b').compile(b=4, i=5, j=3, y=2).init(np.random.default_rng(2))\n"
            "try: net.save(sys.argv[2])\n"
            "except OSError as error: print(error)\n")
    done = subprocess.run([sys.executable, "-c", code, USUAL, str(path)], capture_output=True, text=True, timeout=60)
    assert str(path) in done.stdout and not done.stderr
    assert path.read_bytes() == older and list(tmp_path.iterdir()) == [path]


def test_what_does_not_fit_is_refused_before_it_is_allocated():
    batch, sizes = mb.equations(USUAL).with_index("b"), dict(b=10**9, i=1000, j=1000, y=10)
    with pytest.raises(MemoryError, match=f"b=1000000000.*would need {batch.nbytes(**sizes):,} bytes, and .* are free on the cpu"):
        batch.compile(**sizes)


# ---------------------------------------------------------------- what a call reads and writes


def test_an_axis_of_size_1_hides_no_gap():
    """h stands between m and e in the middle of x: with h = 1 their axes look like one, and are not."""
    net = mb.equations("o[h,e] = W[m] * x[h,m,e]\nL = sum(o[h,e]**2, over=(h,e))").with_index("b").compile(b=2, h=1, m=3, e=2)
    net.params["W"][...] = 1
    x = np.arange(12.0).reshape(2, 1, 3, 2)
    L = net.forward(x=x)
    assert_array_equal(net.values["o"], x.sum(axis=2))
    assert_array_equal(L, (x.sum(axis=2) ** 2).sum(axis=(1, 2)))


@pytest.mark.parametrize("order", ["b before r", "r alone"])
def test_a_last_batch_of_one_is_not_the_batch_before(order):
    """With replicas and one example every step equals that of a program compiled for one example."""
    text = "o[h,e] = V[m] * x[h,m,e]\nL = sum(o[h,e]**2, over=(h,e))"
    batch = mb.equations(text).with_index("b").with_index("r", parameters=True)
    sizes = dict(r=2, h=1, m=3, e=2) if order == "r alone" else dict(r=1, h=2, m=3, e=1)
    rng = np.random.default_rng(0)
    many, one = (batch.compile(b=b, dtype="float64", **sizes).init(np.random.default_rng(5)) for b in (4, 1))
    for n in (4, 1, 1, 4, 1):
        x = rng.normal(size=(sizes["r"], n, sizes["h"], sizes["m"], sizes["e"]))
        L = many.forward(x=x)
        many.backward()
        if n == 1:
            assert_allclose(L, one.forward(x=x), rtol=1e-13)
            one.backward()
            assert all(np.allclose(many.grads[name], one.grads[name], rtol=1e-12) for name in one.grads)


def test_low_rank_factors_on_one_line_cost_what_they_cost_on_two():
    """s = A D x at 1000 x 1000, rank 4: no array of 1000 x 1000 is ever made, forward or backward."""
    one = mb.equations("s[j] = A[j,r] * D[r,i] * x[i]\nL = squared_error(s[j], t[j])").with_index("b")
    two = mb.equations("d[r] = D[r,i] * x[i]\ns[j] = A[j,r] * d[r]\nL = squared_error(s[j], t[j])").with_index("b")
    for b in (1, 8, 4096):
        sizes = dict(b=b, i=1000, j=1000, r=4)
        assert one.nbytes(**sizes) <= 1.01 * two.nbytes(**sizes) < 5_000_000 * max(b // 100, 1)
    four = mb.equations("s[j] = A[j,k] * C[k,m] * D[m,i] * x[i]\nL = squared_error(s[j], t[j])").with_index("b")
    assert four.nbytes(b=8, i=400, j=400, k=400, m=400) < 4.5e6            # three matrices and their gradients are 3.84e6


def test_one_line_and_two_have_one_value_and_one_gradient():
    one = mb.equations("s[j] = A[j,r] * D[r,i] * x[i]\nL = squared_error(s[j], t[j])").with_index("b")
    two = mb.equations("d[r] = D[r,i] * x[i]\ns[j] = A[j,r] * d[r]\nL = squared_error(s[j], t[j])").with_index("b")
    sizes = dict(b=7, i=30, j=20, r=3)
    params, inputs = drawn(one, sizes, 0)
    nets = [loaded(q.compile(dtype="float64", **sizes), params) for q in (one, two)]
    for net in nets:
        net.forward(**inputs)
        net.backward()
    assert all(np.allclose(nets[0].grads[n], nets[1].grads[n], rtol=1e-12) for n in ("A", "D", "x", "t"))


def test_the_calls_of_few_batch_sizes_are_kept():
    """Beside the arrays a program keeps Python's objects, for eight batch sizes at most; and no array comes with a new size."""
    text = "z[j] = W[j,i] * x[i]\nm[j] = mean(z[j], over=b)\nL = squared_error(z[j], t[j]) + (z[j] - m[j]) * (z[j] - m[j])"
    net = mb.equations(text).with_index("b").compile(b=60, i=3, j=2).init(np.random.default_rng(0))
    x, t, nbytes = np.ones((60, 3)), np.ones((60, 2)), net.nbytes

    def sweep():
        for n in range(1, 61):
            net.step(0.0, x=x[:n], t=t[:n])
    sweep()
    assert net.nbytes == nbytes
    assert peak_of(sweep) < 3 * peak_of(lambda: [net.step(0.0, x=x[:n], t=t[:n]) for n in range(1, 9)])
    assert len(net._plans) == 8


def test_means_over_the_batch_are_right_after_any_other_size():
    """1/B is another number for each size; the arrays that hold it are shared by all sizes."""
    text = "m[j] = mean(x[j], over=b)\nL = sum(x[j] * m[j] * W[j], over=j)"
    net = mb.equations(text).with_index("b").compile(b=6, j=2, dtype="float64")
    net.params["W"][...] = 1
    rng = np.random.default_rng(0)
    for n in (6, 2, 6, 1, 5, 2, 3):
        x = rng.normal(size=(n, 2))
        assert_allclose(net.forward(x=x), x @ x.mean(axis=0), rtol=1e-13)
        net.backward()
        assert_allclose(net.grads["W"], (x.mean(axis=0) ** 2), rtol=1e-12)


# ---------------------------------------------------------------- a program's arrays in other hands


def test_an_assignment_writes_the_parameter():
    net, inputs = net_and_inputs()
    other, _ = net_and_inputs(seed=3)
    array, new = net.params["W0"], other.params["W0"]
    net.params["W0"] = new
    assert net.params["W0"] is array and array is not new
    assert_array_equal(array, new)
    net.params["C0"] = 0
    net.params["C1"] -= 1.0
    net.params.update(W1=np.ones_like(net.params["W1"]).tolist())
    same = loaded(BATCH.compile(dtype="float64", **SIZES), net.params)
    assert_array_equal(net.forward(**inputs), same.forward(**inputs))
    assert not net.params["C0"].any() and (net.params["W1"] == 1).all()
    assert {**net.params}.keys() == dict(net.params).keys() == {"W0", "C0", "W1", "C1"}


@pytest.mark.parametrize("act", [
    lambda p: p.update(W0=np.ones(3)), lambda p: p.__setitem__("W0", [[1.0], [1.0, 2.0]]), lambda p: p.__setitem__("W0", np.nan),
    lambda p: p.__setitem__("C0", np.full(4, 1j)), lambda p: p.__setitem__("C0", None), lambda p: p.__setitem__("Q", np.ones(4)),
    lambda p: p.__setitem__(3, 1.0), lambda p: p.pop("C0"), lambda p: p.clear(), lambda p: p.setdefault("Q", 1), lambda p: p.popitem(),
    lambda p: p.__delitem__("C0"), lambda p: p.__ior__({"C0": 1}), lambda p: p.__setitem__("C0", np.ones((1, 4)))])
def test_what_is_no_parameter_is_refused(act):
    net, _ = net_and_inputs()
    before = {n: p.copy() for n, p in net.params.items()}
    with pytest.raises((TypeError, ValueError), match="^params"):
        act(net.params)
    assert net.params.keys() == before.keys() and all(np.array_equal(p, before[n]) for n, p in net.params.items())


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_of_a_program_learns_by_itself(how):
    net, inputs = net_and_inputs(mean_in=("loss",))
    before = {n: p.copy() for n, p in net.params.items()}
    other = how(net)
    L = other.step(0.5, **inputs)
    assert all(np.array_equal(p, before[n]) for n, p in net.params.items())
    assert_array_equal(net.step(0.5, **inputs), L)
    assert all(np.array_equal(p, other.params[n]) and not np.array_equal(p, before[n]) for n, p in net.params.items())


def test_values_of_the_program_may_be_its_next_inputs():
    """target is a view of what is overwritten by the new x before target is copied."""
    net = mb.equations("s[i] = W[i] * x[i]\nL = squared_error(s[i], t[i])").with_index("b").compile(b=2, i=3, dtype="float64")
    net.params["W"] = 1
    rng = np.random.default_rng(0)
    old, new = rng.normal(size=(2, 2, 3))
    net.forward(x=old, t=old)
    assert_allclose(net.forward(x=new, t=net.values["x"]), ((new - old) ** 2).sum(axis=1) / 2)
    net.forward(x=old, t=old)
    assert_allclose(net.forward(x=new, t=net.values["x"][::-1]), ((new - old[::-1]) ** 2).sum(axis=1) / 2)
