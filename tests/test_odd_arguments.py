"""Arguments of odd kinds, wherever they come in: each is read as what it is, or refused by name."""

import math
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

import numpy as np
import pytest

import mbcore as mb
from mbcore import checking, gradients, hardware, landscape, noise_scale, optim, progress, roofline
from mbcore import schedule, sweep, train
from mbcore.checks import backpropagation, batch_index, gradient_averaging, last_batch
from mbcore.checks import learning_rates, many_workers, perplexity, variance
from mbcore.checks import choosing, hardware as hardware_checks, steps_to_target
from mbcore.data import gaussians
from mbcore.setting import Setting, Task

MLP = mb.equations("""
    h[j] = sigmoid(W0[j,i] * x[i] - C0[j])
    s[y] = W1[y,j] * h[j] - C1[y]
    L = cross_entropy(s[y], target)
""")
DATA = gaussians(40, 20, 6, 3)
INPUTS = dict(x=DATA.x_train, target=DATA.target_train)
MASKED = np.ma.array([1.0, 2.0, 3.0], mask=[True, False, False])


def rng(seed=0):
    return np.random.default_rng(seed)


def network(dtype="float32", **replicas):
    model = MLP.with_index("b")
    model = model.with_index("r", parameters=True) if replicas else model
    return model.compile(b=10, i=6, j=4, y=3, dtype=dtype, **replicas).init(rng())


def one_weight(text, **sizes):
    net = mb.equations(text).with_index("b").compile(b=4, dtype="float64", **sizes)
    for p in net.params.values():
        p[...] = 2.0
    return net


# ---------------------------------------------------------------- the checks


@pytest.mark.parametrize("check", [checking.whole, checking.real])
def test_a_masked_number_is_none(check):
    for masked in (np.ma.masked, np.ma.array(3, mask=True)):
        with pytest.raises(TypeError, match="B: expected"):
            check("B", masked)
    assert check("B", np.ma.array(3)) == 3


def test_masks_in_lists_at_any_depth_are_seen():
    for value in ([MASKED, [1, 2, 3]], [[MASKED], [[1, 2, 3]]], (np.ma.array(1, mask=True), 2)):
        with pytest.raises(ValueError, match="x: expected numbers, got a masked array"):
            checking.host_array("x", value)
    with pytest.raises(ValueError, match="values: .*masked"):
        gradients.batch_means([np.ma.array(3.0, mask=True), 1.0], 1, 3, rng())


def test_tensors_in_lists_are_read():
    torch = pytest.importorskip("torch")
    row = torch.tensor([1.0, 2.0], requires_grad=True)
    found = checking.host_array("x", [[row, row * 2], [row, row]])
    np.testing.assert_array_equal(found, [[[1, 2], [2, 4]], [[1, 2], [1, 2]]])
    line = hardware.fit([1, 2, torch.tensor(3.0, requires_grad=True)], [1, 2, 3])
    assert line.t1 == pytest.approx(1)


def test_a_fraction_is_a_rate():
    right = train.train(network(), DATA, 0.25, 1, rng(), looks=1).loss
    found = train.train(network(), DATA, Fraction(1, 4), 1, rng(), looks=1).loss
    np.testing.assert_array_equal(found, right)


# ---------------------------------------------------------------- refused, by name

CAN_NOT_SPAWN = np.random.Generator(np.random.RandomState(3)._bit_generator)
SETTING = dict(
    equations=str(MLP), sizes=dict(i=6, j=2, y=3), data=("gaussians", dict(i=6, classes=3)), steps=5
)
ONES = {"W": np.ones((2, 3), np.float32)}
REFUSED = [
    (lambda: optim.SGD(weight_decay=1e39).update(ONES, ONES, 0.1), "weight_decay: .*float32 can"),
    (lambda: optim.Adam(epsilon=1e39).update(ONES, ONES, 0.1), "epsilon: .*float32 can hold"),
    (lambda: optim.LARS(trust=1e39).update(ONES, ONES, 0.1), "trust: .*float32 can hold"),
    (lambda: optim.LARS(unscaled=None), "unscaled: expected names of parameters.*got None"),
    (lambda: optim.LARS(unscaled=("c",)).update(ONES, ONES, 0.1), r"unscaled: .*\(W\), got 'c'"),
    (lambda: optim.LARS(replicas=3).update(ONES, ONES, 0.1), r"params\['W'\]: .* 3 axes"),
    (lambda: train.train(network(), DATA, 1e-46, 1, rng()), "lr: .* 1e-46, which is 0 in float32"),
    (lambda: train.train(network(), DATA, 0.1, 1, rng(), rule={}), "rule: expected an update rule"),
    (lambda: train.train(network(r=2), DATA, 0.1, 1, CAN_NOT_SPAWN), "rng: .* spawned"),
    (lambda: network(r=2).init(CAN_NOT_SPAWN), "rng: .* spawned"),
    (lambda: MLP.nbytes(object(), b=1), "dtype: expected 'float32' or 'float64'"),
    (lambda: Setting(**{**SETTING, "equations": None}), "equations: expected text or"),
    (lambda: Setting(**{**SETTING, "sizes": ""}), "sizes: expected {index: size}, got ''"),
    (lambda: Setting(**SETTING).marks(0), "B: expected a whole number of at least 1"),
    (lambda: sweep.sweep(Setting(**SETTING), np.array(3)), "tasks: expected a list of Tasks"),
    (lambda: sweep.sweep(Setting(**SETTING), [Task(4, 1e-50)]), "lr: .*above 0 in float32"),
    (lambda: schedule.Stages(b"2"), "values: expected several values"),
    (lambda: schedule.step_decay(0.1, ""), "at: expected several values"),
    (lambda: schedule.step_decay(0.1, {3}), "at: expected several values"),
    (lambda: schedule.grown(schedule.Stages((1e300, 1e-300), (3,)), 8), "decay: .*below 2.*63"),
    (lambda: schedule.scaled(1e300, 1e300, 1), "lr: .*stay finite"),
    (lambda: schedule.scaled([1e-300], 1e-300, 1), "lr: .*above 0"),
    (lambda: schedule.scaled([], 2, 1), "lr: .*got none"),
    (lambda: schedule.adam_scaled(9, 1e308), "lr: .*stay finite"),
    (lambda: schedule.WarmUp(lambda step: None, 3, 0.1)(0), r"after\(0\): expected real numbers"),
    (lambda: schedule.WarmUp(lambda step: math.nan, 3, 0.1)(0), r"after\(0\): expected finite"),
    (lambda: noise_scale.hessian_noise(network(), rng(), 2**62, **INPUTS), "probes: .*at most"),
    (lambda: noise_scale.two_batch(network(), 1, 2, 2**62, rng(), **INPUTS), "pairs: .*at most"),
    (lambda: gradients.cosine([1, 2], [1]), "b: expected as many numbers"),
    (lambda: gradients.cosine("a", [1]), "a: expected real numbers"),
    (lambda: hardware.fit([1, 2, 3], [5e-324, 1, 2]), "B, seconds: .*a line can be laid"),
    (lambda: hardware.fit([1e15, 1e15 + 1, 1e15 + 2], [1, 1, 1]), "B, seconds: .*a line"),
    (lambda: hardware.ratio_interval([1e300] * 7, [1e-300] * 7), "a / b: expected finite"),
    (lambda: hardware.throughput(print, np.array(3)), "sizes: expected rising whole numbers"),
    (lambda: roofline.Peak(1.0, 1.0).attainable(None), "work: expected what roofline.work"),
    (lambda: progress.last(None), "running: expected steps"),
    (lambda: progress.last([1, 2]), "running: expected steps"),
    (lambda: learning_rates.linear_rate(1, B0=0), "B0: expected a whole number"),
    (lambda: learning_rates.adam_numbers(1, kappa="8"), "kappa: expected"),
    (lambda: backpropagation.learning_rate(1, B=0), "B: expected a whole number"),
    (lambda: gradient_averaging.as_quiet(1, window=None), "window: expected"),
    (lambda: variance.smallest_batch(1, ratio=0), "ratio: expected"),
    (lambda: steps_to_target.extra_examples(1, times=0), "times: expected"),
    (lambda: many_workers.ring_bytes(1, K=0), "K: expected"),
    (lambda: choosing.best_batch(1, t1=0), "t1: expected"),
    (lambda: batch_index.silent_trap({1}, J=1.5), "J: expected"),
]


@pytest.mark.parametrize("call, words", REFUSED, ids=[words[:30] for _, words in REFUSED])
def test_refused_by_name(call, words):
    with pytest.raises((ValueError, TypeError), match="^" + words):
        call()
    np.testing.assert_array_equal(ONES["W"], 1)


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: hardware.copier(2**50), "largest"),
        (lambda: hardware.transfer(2**50), "nbytes"),
        (lambda: roofline.peak(n=2**40), "n"),
        (lambda: roofline.peak(copied=2**50), "copied"),
    ],
)
def test_arrays_that_do_not_fit_are_not_begun(call, name):
    with pytest.raises(MemoryError, match=f"^{name}: the arrays would need .* bytes, and .* free"):
        call()


# ---------------------------------------------------------------- right, at the ends


@pytest.mark.parametrize("size", [1e-38, 1e-25, 1e-22, 1e-10, 1, 1e18, 1e25, 1e30])
@pytest.mark.parametrize("shape, replicas", [((4,), 0), ((2, 3), 1), ((2,), 1)])
def test_lars_keeps_its_tails_in_float32(size, shape, replicas):
    """Against the formula in long doubles."""
    axes = tuple(range(replicas, len(shape)))
    length = lambda a: np.sqrt((a.astype(np.longdouble) ** 2).sum(axis=axes, keepdims=True))
    for of_w, of_g in ((size, 1), (1, size)):
        w = (of_w * rng(0).normal(size=shape)).astype(np.float32)
        g = (of_g * rng(1).normal(size=shape)).astype(np.float32)
        right = w - 0.001 * length(w) / length(g) * g
        params = {"W": w.copy()}
        optim.LARS(replicas=replicas).update(params, {"W": g}, 1.0)
        np.testing.assert_allclose(params["W"], right, atol=3e-7 * float(abs(right).max()), rtol=0)


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1, 1e200, 1e300])
def test_cosines_keep_their_tails(size):
    assert gradients.cosine([size, size], [size, 0]) == pytest.approx(0.5**0.5, rel=1e-15)
    assert math.isnan(gradients.cosine([0, 0], [size, 0]))


def test_schedules_at_the_ends():
    assert schedule.Cosine(1.7e308, 10)(0) == 1.7e308
    assert repr(schedule.Stages((np.array(32), np.int8(8)), (3,)).values) == "(32, 8)"


def test_eigenvalues_where_lanczos_cannot_start():
    one = one_weight("s = W * x\nL = (s - t)**2")
    found = landscape.top_eigenvalues(one, rng(), x=[1.0, 2, 3, 4], t=np.ones(4))
    np.testing.assert_allclose(found.values, [2 * 7.5], rtol=1e-6)      # 2 mean x^2
    linear = one_weight("L = W[i] * x[i]", i=5)
    found = landscape.top_eigenvalues(linear, rng(), 2, x=rng(1).normal(size=(4, 5)))
    np.testing.assert_array_equal(found.values, [0, 0])
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(2))
    with pytest.raises(ValueError, match="program: expected a mean loss above -1"):
        landscape.sharpness(one_weight("L = W[i] * x[i]", i=5), rng(), x=-np.ones((4, 5)))


def test_parameters_of_a_slice_are_looked_at():
    net = network()
    start = {name: np.array(p) for name, p in net.params.items()}
    loss = lambda end: list(landscape.interpolation(net, start, end, [0, 1], **INPUTS))[-1][1].loss
    other = {**start, "C0": start["C0"] + 1}
    np.testing.assert_array_equal(loss(MappingProxyType(other)), loss(other))
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(other["C0"], requires_grad=True)
    np.testing.assert_array_equal(loss({**start, "C0": tensor}), loss(other))
    with pytest.raises(ValueError, match=r"end\['C0'\]: .*masked"):
        loss({**start, "C0": np.ma.array(other["C0"], mask=[True, *[False] * 3])})
    with pytest.raises(ValueError, match=r"end\['C0'\]: expected an array"):
        loss({**start, "C0": [[1], [1, 2]]})


def test_a_place_may_be_an_array():
    net = network()
    right = gradients.coordinate(net, "W0", (3, 2), **INPUTS)
    found = gradients.coordinate(net, "W0", np.array([3, 2]), **INPUTS)
    np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("spacing", ["log", "even"])
@pytest.mark.parametrize("total", [1, 2, 10, 100])
def test_more_looks_than_steps_are_all_steps(spacing, total):
    made = lambda looks: Setting(**{**SETTING, "steps": total}, looks=looks, spacing=spacing)
    assert made(10**12).marks(4) == list(range(total + 1))      # nothing of that size is made
    enough = math.ceil(total * (2 * math.log(total) + 1))
    spaced = np.geomspace(1, total, enough) if spacing == "log" else np.linspace(0, total, enough + 1)
    assert made(enough).marks(4) == sorted({0, total, *spaced.round().astype(int).tolist()})


def test_a_burst_of_quick_steps_ends_in_time(monkeypatch):
    """Each step takes a millisecond of a clock that counts how often it is asked."""
    asked, now = [], [0.0]
    monkeypatch.setattr(hardware, "perf_counter", lambda: asked.append(1) or now[0])
    step = lambda B: now.__setitem__(0, now[0] + 1e-3)
    hardware._burst(step, 1, 1.0, "cpu", False, 1)
    assert 1000 <= now[0] * 1000 <= 1002 and len(asked) < 2010


# ---------------------------------------------------------------- a saved run


@dataclass
class Keeps:
    """Momentum that keeps v where nobody can save it."""

    beta: float = 0.9

    def __post_init__(self):
        self.v = {}

    def update(self, params, grads, lr):
        for name, p in params.items():
            self.v[name] = self.beta * self.v.get(name, 0) + grads[name]
            p -= lr * self.v[name]


@dataclass
class Falls:
    lr: float = 0.1

    def __call__(self, step):
        self.lr *= 0.9
        return self.lr


@pytest.mark.parametrize("odd", [dict(rule=Keeps(), lr=0.1), dict(lr=Falls())])
def test_what_a_file_cannot_keep_is_refused(odd, tmp_path):
    path = tmp_path / "run.npz"
    with pytest.raises(ValueError, match="saved: (rule|lr) changes along the run"):
        train.train(network(), DATA, epochs=2, rng=rng(), looks=3, saved=path, **odd)


def test_a_run_is_the_one_that_was_asked_for(tmp_path):
    """Between the call and the first step nothing may change; a rate may be NumPy's."""
    path = tmp_path / "run.npz"
    for change in (lambda net, source: net.init(rng(9)), lambda net, source: source.random()):
        net, source = network(), rng()
        running = train.training(net, DATA, 0.1, 2, source, saved=path)
        change(net, source)
        with pytest.raises(ValueError, match="saved: an argument was changed"):
            next(running)
        assert not path.exists()
    running = train.training(network(), DATA, 0.1, 2, rng(), looks=4, saved=path)
    next(running), next(running), running.close()
    found = train.train(network(), DATA, np.float64(0.1), 2, rng(), looks=4, saved=path)
    right = train.train(network(), DATA, 0.1, 2, rng(), looks=4)
    np.testing.assert_array_equal(found.loss, right.loss)


# ---------------------------------------------------------------- answers


def layer(x, W0, C0):
    return 1 / (1 + np.exp(-(x @ W0.T - C0)))


def perplexed(P):
    return float(np.exp(-np.log(P).mean()))


RIGHT = [
    lambda: hardware_checks.ninety(60 * 0.9 / (1 - 0.9)),       # 540.0000000000001
    lambda: many_workers.ring_bytes(2 * 6 * (4e6 / 7), K=7),
    lambda: many_workers.ring_bytes(5_333_333, K=3),
    lambda: batch_index.silent_trap("1, 32"),
    lambda: batch_index.silent_trap("{1, 32}"),
    lambda: batch_index.who_gets_b("x[b,i], h[b,j], s, ell, L[b], target[b]"),
    lambda: choosing.crosswalk({"weight": "W0[j,i]", "bias": "-C0[j]", "s.grad": "s.grad / B"}),
    lambda: batch_index.layer(lambda *a: layer(*a).astype(object)),
    lambda: perplexity.perplexity(lambda P: Fraction(perplexed(P))),
    lambda: learning_rates.linear_rate(0.025, lr=0.1, B0=256, B=64),
]
TOLD = [
    (lambda: hardware_checks.ninety(540.5), "540.5 is no whole number"),
    (lambda: learning_rates.adam_numbers({0.0028284, 0.2, 0.992}), "expected three numbers"),
    (lambda: last_batch.dropped({29, 0}), "expected two numbers"),
    (lambda: learning_rates.linear_rate(0.1, B=1024), "B = 1024 makes 4 times fewer updates"),
    (lambda: learning_rates.linear_rate(0.4, B0=256, B=64), "that rate is larger. A smaller batch"),
    (lambda: batch_index.silent_trap({1, 32, 128}), "from 1 to 64; 128 is none of them"),
    (lambda: batch_index.silent_trap({1, 32, -5}), "from 1 to 64; -5 is none of them"),
    (lambda: batch_index.layer(lambda *a: layer(*a) + 0j), "returns complex numbers"),
    (lambda: batch_index.layer(lambda *a: {"h": layer(*a)}), "returns a dict"),
    (lambda: batch_index.layer(lambda *a: layer), "returns a function"),
    (lambda: backpropagation.backward(lambda *a: (1, None, 2)), "returns nothing for W0_grad"),
    (lambda: backpropagation.backward(lambda *a: (1, 2)), "returns 2 values"),
]


@pytest.mark.parametrize("check", RIGHT)
def test_right_however_it_is_written(check):
    assert check().right, check().because


@pytest.mark.parametrize("check, words", TOLD)
def test_told_what_is_wrong(check, words):
    assert not check().right and words in check().because


def test_panels_say_what_they_were_given_wrong():
    from mbcore.panels.conventions import Conventions
    from mbcore.panels.ladder import Ladder
    from mbcore.panels.two_graphs import TwoGraphs

    with pytest.raises(ValueError, match="Batch size B: expected one of 1, .*got 3"):
        Conventions(B=3)
    for B in (0, 99):                           # a slider would move it inside
        with pytest.raises(ValueError, match=f"Batch size B: expected a whole number .*got {B}"):
            TwoGraphs(B=B)
    with pytest.raises(TypeError, match="config: expected a Config of .*scaling_rules, got None"):
        Ladder(None)
