"""The rule beside SciPy's minimum, the noise scale beside exact ones, PyTorch beside our own network, and nothing changed."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import mbcore as mb
from mbcore import data, rates, trial
from mbcore.advise import NEAR, PUBLISHED, RATIO, Advice, advise, advising, chosen, modelled, optimum
from mbcore.backend import _blas
from mbcore.experiments.models import MLP
from mbcore.gradients import full_gradient
from mbcore.hardware import Line
from mbcore.progress import last
from mbcore.subject import subject

DATA = data.gaussians(n_train=400, n_test=20, i=6, classes=3)
CASES = [(t0, t1, B) for t0 in (1e-5, 1e-2) for t1 in (1e-7, 1e-4) for B in (0.5, 40.0, 3000.0)]


def network(dtype="float32", j=5, seed=0, **how):
    return MLP.with_index("b").compile(b=16, i=6, j=j, y=3, dtype=dtype, **how).init(np.random.default_rng(seed))


# ------------------------------------------------------------------ the rule

@pytest.mark.parametrize("t0, t1, B_crit", CASES)
def test_the_formula_is_the_minimum(t0, t1, B_crit):
    found = minimize_scalar(lambda u: float(modelled(np.exp(u), B_crit, t0, t1)), bounds=(-20, 25), options={"xatol": 1e-9})
    assert optimum(B_crit, t0, t1, 1e-9, 1e12) == pytest.approx(np.exp(found.x), rel=1e-4)
    assert optimum(B_crit, t0, t1, 1, 7) == pytest.approx(np.clip(np.exp(found.x), 1, 7), rel=1e-4)


@pytest.mark.parametrize("t0, t1, B_crit", CASES)
@pytest.mark.parametrize("k", [1.5, 2.0, 8.0])
def test_a_wrong_batch_costs_no_more_than_said(t0, t1, B_crit, k):
    best = optimum(B_crit, t0, t1, 1e-9, 1e12)
    for B in (best * k, best / k):
        ratio = modelled(B, B_crit, t0, t1) / modelled(best, B_crit, t0, t1)
        assert 1 < ratio <= (2 + k + 1 / k) / 4 + 1e-12
    equal = modelled(k, 1, 1, 1) / modelled(1, 1, 1, 1)                       # B_crit = t0/t1: then it costs just that
    assert equal == pytest.approx((2 + k + 1 / k) / 4)


@pytest.mark.parametrize("t0, t1, B_crit", CASES)
def test_the_range_is_what_the_model_says(t0, t1, B_crit):
    batch, low, high, slower = chosen((B_crit / 5, B_crit, B_crit * 5), t0, t1, 1, 1000)
    best = optimum(B_crit, t0, t1, 1, 1000)
    assert 1 <= low <= batch <= high <= 1000 and batch & (batch - 1) == 0
    assert abs(np.log2(batch / best)) <= 0.51 or best > 512
    limit = NEAR * modelled(best, B_crit, t0, t1)
    assert all(modelled(B, B_crit, t0, t1) <= limit or B == batch for B in (low, high))
    assert low <= 2 or modelled(low - 2, B_crit, t0, t1) > limit or low == batch
    worst = max(modelled(batch, c, t0, t1) / min(modelled(np.arange(1, 1001), c, t0, t1)) for c in (B_crit / 5, B_crit * 5))
    assert slower == pytest.approx(worst, rel=0.02)


def test_limits_hold_and_hostile_lines_do_too():
    batch, low, high, slower = chosen((1e9, 1e9, 1e9), 1.0, 1e-3, 1, 300)
    assert (batch, high) == (256, 300) and 200 < low <= 256 and 1 < slower < NEAR
    assert optimum(10.0, 1.0, 0.0, 1, 77) == 77 and optimum(10.0, -1.0, 1.0, 2, 77) == 2
    assert chosen((1.0, 2.0, 3.0), 1.0, 1.0, 3, 3)[:3] == (3, 3, 3)           # no power of two fits


def test_learning_rates_follow_the_noise():
    a = Advice(1000, 1000, lr_trial=1.0, B_trial=10, B_crit=(1.0, 100.0, 1e4))
    assert a.lr_at(10) == 1 and a.lr_at(1) == pytest.approx(11 / 101) and a.lr_at(1e9) == pytest.approx(11)      # B/B_crit, then none


def test_the_ratio_spans_what_is_published():
    """Its middle is within a quarter of the geometric mean of all rows; its ends hold every row."""
    ratios = [B_crit / B_simple for B_crit, B_simple in PUBLISHED.values()]
    assert len(ratios) == 9 and RATIO[0] <= min(ratios) and max(ratios) <= RATIO[2]
    assert RATIO[1] == pytest.approx(np.exp(np.mean(np.log(ratios))), rel=0.25)


# ------------------------------------------------------------------ the noise scale

def test_moments_are_exact_when_every_example_is_a_group():
    d = np.random.default_rng(0).normal(1, 2, (30, 7))
    trace, sq_norm = trial.moments(d @ d.T, 1, 30)
    assert trace == pytest.approx(((d - d.mean(axis=0)) ** 2).sum() / 30) and sq_norm == pytest.approx((d.mean(axis=0) ** 2).sum())


@pytest.mark.parametrize("K, m", [(4, 3), (6, 5), (3, 10)])
def test_moments_are_unbiased(K, m):
    """The mean over many draws of K groups of m among 30, with their standard error."""
    rng = np.random.default_rng(1)
    d = rng.normal(0.3, 1, (30, 5))
    exact = ((d - d.mean(axis=0)) ** 2).sum() / 30, (d.mean(axis=0) ** 2).sum()
    G = [d[rng.permutation(30)[:K * m].reshape(K, m)].mean(axis=1) for _ in range(4000)]
    found = np.array([trial.moments(g @ g.T, m, 30) for g in G])
    error = found.std(axis=0, ddof=1) / len(found) ** 0.5
    assert (np.abs(found.mean(axis=0) - exact) < 4 * error + 1e-9).all()


def test_jackknife_leaves_one_out():
    d = np.random.default_rng(2).normal(size=(5, 4))
    traces, sq_norms = trial.jackknifed(list(d), 3, 100)
    rest = np.delete(d, 2, axis=0)
    assert (traces[3], sq_norms[3]) == pytest.approx(trial.moments(rest @ rest.T, 3, 100))
    assert (traces[0], sq_norms[0]) == pytest.approx(trial.moments(d @ d.T, 3, 100)) and len(traces) == 6


def test_the_program_s_gradients_give_the_exact_noise_scale():
    net, small = network("float64"), data.gaussians(n_train=20, n_test=5, i=6, classes=3)
    tried = subject(net, small, None, np.random.default_rng(0))
    traces, sq_norms = trial.jackknifed(*tried.gradients(20), 20)
    exact = full_gradient(net, x=small.x_train, target=small.target_train)
    assert traces[0] == pytest.approx(exact.trace, rel=1e-9) and sq_norms[0] == pytest.approx(exact.sq_norm, rel=1e-9)


def test_the_average_goes_over_the_way_down():
    """By hand: steps 0, 1, 4, weights 1, 2, 3; a look above the start does not count; runs are averaged, their spread is the interval."""
    rows = ((0, 2.0, 4.0, 1.0), (1, 5.0, 9.0, 9.0), (4, 1.0, 6.0, 0.5))                     # steps, loss, tr(Sigma), ||g||^2
    looks = lambda f: [(s, L, np.full(3, f * t), np.full(3, q)) for s, L, t, q in rows]
    noise = trial.along([looks(1.0)])
    assert noise.average == pytest.approx((1 * 4 + 3 * 6) / (1 * 1 + 3 * 0.5)) and noise.runs == 1
    assert noise.B_simple == pytest.approx([4, 1, 12])
    several = trial.along([looks(f) for f in (0.8, 0.9, 1.0, 1.1, 1.2)])
    assert several.average == pytest.approx(noise.average) and several.interval[0] < several.average < several.interval[1]


def test_a_gradient_in_the_noise_has_no_upper_end():
    rng = np.random.default_rng(0)
    noise = trial.along([[(0, 1.0, *trial.jackknifed(list(rng.normal(size=(8, 50))), 4, 10**6))]])
    assert noise.interval[1] == np.inf and noise.interval[0] >= 0


# ------------------------------------------------------------------ the whole

@pytest.fixture(scope="module")
def steps_of_advising():
    return list(advising(network(), DATA, seconds=1.0))


def test_progress_and_partial_advice(steps_of_advising):
    fractions = [f for f, _ in steps_of_advising]
    assert fractions == sorted(fractions) and fractions[-1] == 1 and len(fractions) > 20
    assert "still measuring" in str(steps_of_advising[0][1]) and steps_of_advising[0][1].throughput is not None
    assert any(a.noise is not None and a.batch is None for _, a in steps_of_advising)


def test_the_advice_is_whole_and_says_why(steps_of_advising):
    a = steps_of_advising[-1][1]
    assert 1 <= a.low <= a.batch <= a.high <= 400 and a.lr == pytest.approx(a.lr_at(a.batch)) and a.slower >= 1
    assert a.B_crit == pytest.approx(np.multiply(RATIO, (a.noise.interval[0], a.noise.average, a.noise.interval[1])))
    assert a.largest > 400
    c = a.curves
    assert c.B[0] == 1 and c.B[-1] == 400 and c.steps.shape == c.seconds.shape == (3, len(c.B)) and (c.seconds >= 1 - 1e-9).all()
    np.testing.assert_allclose(c.steps[1], 1 + a.B_crit[1] / c.B)
    np.testing.assert_array_equal(c.nbytes, [MLP.with_index("b").nbytes(b=int(B), i=6, j=5, y=3) for B in c.B])
    for text in (str(a), a._repr_markdown_()):
        assert f"a batch of {a.batch}" in text and "sqrt(B_crit t0/t1)" in text and f"{RATIO[1]:g} times B_simple" in text and "order of magnitude" in text
        assert "3 starts" in text
    assert len(a.reasons) >= 5 and len(a.caveats) >= 3


def test_the_program_is_not_changed():
    net = network()
    batch = {"x": DATA.x_train[:16], "target": DATA.target_train[:16]}
    net.forward(**batch)
    net.backward()
    params, grads = copy.deepcopy(net.params), net.grads["W0"].copy()
    advise(net, DATA, seconds=0.2)
    for name, p in params.items():
        np.testing.assert_array_equal(net.params[name], p)
    np.testing.assert_array_equal(net.grads["W0"], grads)                       # it is even where it was: after a backward


def test_threads_are_as_they_were_at_every_yield():
    threads = lambda: [m["num_threads"] for m in _blas().info() if m["user_api"] == "blas"]
    before = threads()
    for fraction, _ in advising(network(), DATA, seconds=0.2):
        assert threads() == before
        if fraction > 0.5:
            break                                                               # a panel's Stop


def test_parameters_never_drawn_are_drawn():
    net = MLP.with_index("b").compile(b=4, i=6, j=5, y=3)
    assert advise(net, DATA, seconds=0.2).noise.loss[0] > 0 and not any(p.any() for p in net.params.values())


def test_memory_limits_the_batch(monkeypatch):
    bytes_of = lambda B: MLP.with_index("b").nbytes(b=B, i=6, j=5, y=3)
    monkeypatch.setattr("mbcore.tried_program.free_memory", lambda device: bytes_of(24) + 1)
    a = advise(network(), DATA, seconds=0.2)
    assert a.largest == 24 and a.high <= 24 and a.curves.B[-1] == 24 and max(a.throughput.sizes) <= 24
    monkeypatch.setattr("mbcore.tried_program.free_memory", lambda device: 10)
    with pytest.raises(MemoryError, match="net: not even"):
        advise(network(), DATA, seconds=0.2)


@pytest.mark.parametrize("there", [False, True])
def test_advice_on_a_device(fake_gpu, there):
    """On the stand-in for CuPy, with data on the host and on the device; the program there stays as it is."""
    net = network(device="gpu")
    before = {name: p.get() for name, p in net.params.items()}
    a = advise(net, DATA.on("gpu") if there else DATA, seconds=0.5)
    assert a.batch is not None and a.noise.average > 0
    for name, p in net.params.items():
        np.testing.assert_array_equal(p.get(), before[name])


# ------------------------------------------------------------------ stages on a network made up for the test

class Made:
    """A network whose loss after any steps at a rate is known: after(lr), or after(lr, start); a step takes no time."""

    N, least, most, device, turns, trained = 1000, 1, 1000, "cpu", 5, False
    pool, target_counts = np.arange(1000), True
    examples = SimpleNamespace(target=np.arange(1000))

    def __init__(self, after, rng=0):
        self.after, self.lr, self.start = after, None, 0
        self.rng = np.random.default_rng(rng)

    def more_starts(self, at):
        pass

    def hold_out(self, turn):
        return np.arange(200)

    def own_losses(self, at):
        return np.ones(len(at))

    def losses_with(self, at, target_at):
        return np.where(at[:, None] == target_at, 1.0, 2.0)

    def reset(self, start=0):
        self.lr, self.start = None, start

    def batch(self, B):
        return np.arange(B)

    def step(self, at, lr):
        self.lr = lr
        return self._now()

    def loss(self, at):
        return 2.0 if self.lr is None else self._now()

    def _now(self):
        try:
            return self.after(self.lr, self.start)
        except TypeError:
            return self.after(self.lr)


LINE = Line(1e-4, 1e-6, (0, 0), (0, 0), 100.0, (0, 0))


def found_by(stage):
    found = {}
    for _, more in stage:
        found.update(more)
    return found


@pytest.mark.parametrize("best", [1e-5, 0.02, 0.3, 9.0, 300.0])
def test_the_learning_rate_is_near_the_best_and_clear_of_what_fails(best):
    loss = lambda lr: 2 - np.exp(-np.log(lr / best) ** 2 / 50) if lr < 20 * best else np.inf
    found = found_by(rates.searched(Made(loss), 32, LINE, 1.0))
    tried = dict(found["rates"])
    assert 0.5 <= found["lr_trial"] / best <= 4 and 2 * found["lr_trial"] < 20 * best
    assert tried[found["lr_trial"]] <= 2 - 0.95 * (2 - min(tried.values())) and len(tried) < 24


@pytest.mark.parametrize("edge", [0.4, 1.5, 3.0])
def test_a_rate_that_fails_from_any_start_is_kept_clear_of(edge):
    """From the third start it fails above `edge`, though the first would bear ten times as much."""
    loss = lambda lr, start: 2 - np.exp(-np.log(lr / 2) ** 2 / 50) if lr < (10, 10, 1)[start] * edge else np.nan
    found = found_by(rates.searched(Made(loss), 32, LINE, 1.0))
    assert edge / 8 < found["lr_trial"] < edge / 2
    failed, B = found["failed"]
    assert edge <= failed < 4 * edge and B == 32


@pytest.mark.parametrize("what", [np.nan, np.inf, 1e9, 20.1, 2.0, 1.99])
def test_each_way_to_fail(what):
    """Diverging, thrown up to ten times the start, staying, and falling by far less than from the best start."""
    loss = lambda lr, start: 1.0 if lr < 1 or start < 2 else what
    pair = found_by(rates.confirmed(Made(loss), 32, 3.0, LINE, 1.0))
    assert pair["lr"] == 0.375 and pair["failed"] == (1.5, 32)


def test_a_loss_below_zero_is_no_rise():
    """From -2 the loss falls to -3, at any rate that is not too large."""
    class Below(Made):
        def loss(self, at):
            return -2.0 if self.lr is None else self._now()
    pair = found_by(rates.confirmed(Below(lambda lr: -3.0 if lr < 1 else 17.0), 32, 3.0, LINE, 1.0))
    assert pair["lr"] == 0.375


def test_a_pair_that_works_is_left():
    pair = found_by(rates.confirmed(Made(lambda lr: 1.0), 32, 3.0, LINE, 1.0))
    assert pair == {"lr": 3.0, "tried_for": trial.STEPS}


def test_a_training_that_diverges_later_is_tried_at_half_the_rate():
    class Later(Made):
        def gradients(self, examples):
            return list(np.random.default_rng(0).normal(1, 1, (4, 3))), 5
    fine = last(trial.trained(Later(lambda lr: 1.0 if lr < 0.3 else np.nan), 32, 1.0, LINE, 0.2))
    assert fine["lr_trial"] == 0.25 and fine["noise"].runs >= 1
    assert "the training diverges" in last(trial.trained(Later(lambda lr: np.nan), 32, 1.0, LINE, 0.2))["why_not"]


@pytest.mark.parametrize("loss", [lambda lr: np.nan, lambda lr: 1e9, lambda lr: 2.0])
def test_a_loss_that_never_falls_is_told(loss):
    found = last(rates.searched(Made(loss), 32, LINE, 1.0))
    assert "at none of the learning rates" in found["why_not"] and "lr_trial" not in found
    assert "no learning rate" in last(rates.confirmed(Made(loss), 32, 1.0, LINE, 1.0))["why_not"]


def test_no_rate_for_all_starts_is_told():
    found = last(rates.searched(Made(lambda lr, start: 3.0 if start == 1 else 1.0), 32, LINE, 1.0))
    assert "no learning rate" in found["why_not"] and "3 starts" in found["why_not"]


def test_a_step_longer_than_the_seconds_is_told(monkeypatch):
    slow = SimpleNamespace(sizes=(1,), seconds=np.array([3.0]))
    monkeypatch.setattr(trial, "throughput", lambda *_, **__: iter([(1.0, slow)]))
    with pytest.raises(ValueError, match="seconds: expected more of them: a step on 1 takes 3 s"):
        last(trial.clocked(SimpleNamespace(timed=lambda B: None, least=1, most=100, device="cpu"), 1.0))


# ------------------------------------------------------------------ bad input

@pytest.mark.parametrize("change, error, said", [
    ({"net": MLP}, TypeError, "net: .*compile"), ({"net": "mlp"}, TypeError, "net: .*str"), ({"net": None}, TypeError, "net"),
    ({"seconds": 0}, ValueError, "seconds"), ({"seconds": -1.0}, ValueError, "seconds"), ({"seconds": float("inf")}, ValueError, "seconds"),
    ({"seconds": "8"}, TypeError, "seconds"), ({"seconds": True}, TypeError, "seconds"), ({"loss": max}, ValueError, "loss: .*Program"),
    ({"seconds": np.nan}, ValueError, "seconds"), ({"seed": -1}, ValueError, "seed"), ({"seed": 1.5}, TypeError, "seed"),
    ({"seed": None}, TypeError, "seed"),
    ({"data": None}, TypeError, "data: .*x_train"),
    ({"data": SimpleNamespace(x_train=DATA.x_train)}, TypeError, "data: .*target_train is missing"),
    ({"data": SimpleNamespace(x_train=DATA.x_train, target_train=None)}, TypeError, "target_train is missing"),
    ({"data": SimpleNamespace(x_train=DATA.x_train, target_train=DATA.target_train[:9])}, ValueError, "data: .*label for each of 400"),
    ({"data": SimpleNamespace(x_train=DATA.x_train[:0], target_train=DATA.target_train[:0])}, ValueError, "data: expected at least 8"),
    ({"data": SimpleNamespace(x_train=DATA.x_train * np.nan, target_train=DATA.target_train)}, ValueError, "data: .*finite"),
    ({"data": SimpleNamespace(x_train=DATA.x_train[:, :4], target_train=DATA.target_train)}, ValueError, "x: expected i=6"),
    ({"data": SimpleNamespace(x_train=DATA.x_train, target_train=DATA.target_train + 1)}, ValueError, "target: labels must lie in 0 .. 2"),
    ({"net": network(mean_in=("parameters", "loss"))}, ValueError, "net: .*1/B"),
    ({"net": MLP.with_index("b").with_index("r", parameters=True).compile(r=2, b=4, i=6, j=5, y=3)}, ValueError, "net: .*replicas"),
    ({"net": MLP.compile(i=6, j=5, y=3)}, ValueError, "net: .*batch index"),
    ({"net": mb.equations("s[y] = W[y,i] * x[i]").with_index("b").compile(b=4, i=6, y=3)}, ValueError, "net: .*L"),
    ({"net": mb.equations("L = squared_error(x[i], target[i])").with_index("b").compile(b=4, i=6)}, ValueError, "net: .*parameters")])
def test_bad_input_is_refused_by_name(change, error, said):
    with pytest.raises(error, match=said):
        advising(**{"net": network(), "data": DATA, **change})                   # at once, before the first step


# ------------------------------------------------------------------ PyTorch

@pytest.fixture
def torch():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)                    # two that spin on a busy machine take a hundred times as long
    yield torch
    torch.set_num_threads(before)


def module(torch, dropout=False):
    nn = torch.nn
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Dropout(0.1), nn.ReLU(), nn.Linear(5, 3)) if dropout \
        else nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 3))


def test_a_module_and_its_program_are_the_same(torch):
    """The same weights in both: losses, gradients and steps agree."""
    net, m = network("float64"), module(torch).double()
    with torch.no_grad():
        for k, at in ((0, 0), (1, 2)):
            m[at].weight.copy_(torch.tensor(net.params[f"W{k}"]))
            m[at].bias.copy_(-torch.tensor(net.params[f"C{k}"]))
    ours, theirs = (subject(n, DATA, loss, np.random.default_rng(0)) for n, loss in ((net, None), (m, torch.nn.functional.cross_entropy)))
    at = np.arange(40, 90)
    for _ in range(3):
        assert ours.loss(at) == pytest.approx(theirs.loss(at), rel=1e-9)
        a, b = ours.gradient(at), theirs.gradient(at)
        assert np.sort(np.abs(a)) == pytest.approx(np.sort(np.abs(b)), rel=1e-7, abs=1e-12)          # -C and +b; another order
        assert ours.step(at, 0.5) == pytest.approx(theirs.step(at, 0.5), rel=1e-9)
    ours.reset(), theirs.reset()
    assert ours.loss(at) == pytest.approx(theirs.loss(at), rel=1e-9)


def test_a_module_is_advised_and_not_changed(torch):
    """With dropout, frozen batch normalisation, a gradient, no_grad, and a state of the random numbers."""
    m = module(torch, dropout=True)
    m(torch.zeros(4, 6)).sum().backward()
    m[1].eval()
    state, grads, before = copy.deepcopy(m.state_dict()), [p.grad.clone() for p in m.parameters()], torch.get_rng_state()
    with torch.no_grad():
        for _, a in advising(m, DATA, loss=torch.nn.CrossEntropyLoss(), seconds=1.0):
            assert torch.equal(torch.get_rng_state(), before) and not torch.is_grad_enabled()
    assert 1 <= a.low <= a.batch <= 400 and "estimated" in str(a) and "BatchNorm1d in evaluation mode" in str(a)
    assert all(torch.equal(v, state[k]) for k, v in m.state_dict().items()) and m.training and not m[1].training
    assert all(torch.equal(p.grad, g) for p, g in zip(m.parameters(), grads))
    fresh = module(torch)
    advise(fresh, DATA, loss=lambda s, t: torch.nn.functional.cross_entropy(s, t, reduction="none"), seconds=0.3)
    assert all(p.grad is None for p in fresh.parameters())


def test_the_memory_of_a_module_grows_by_what_it_keeps(torch):
    """Linear keeps its input, ReLU its output; what an example adds is a multiple of their bytes."""
    tried = subject(torch.nn.Sequential(torch.nn.Linear(6, 50), torch.nn.ReLU(), torch.nn.Linear(50, 3)), DATA,
                    torch.nn.functional.cross_entropy, np.random.default_rng(0))
    each = (tried.nbytes(1001) - tried.nbytes(1)) / 1000
    assert 4 * (6 + 50 + 3) <= each <= 3 * 4 * (6 + 50 + 3) and tried.nbytes(1) >= 2 * 4 * tried.parameters


def test_bad_modules_and_losses_are_refused_by_name(torch):
    F, nn = torch.nn.functional, torch.nn
    def refused(said, net=None, loss=F.cross_entropy, error=ValueError, d=DATA):
        with pytest.raises(error, match=said):
            advising(net or module(torch), d, loss=loss)
    refused("loss: expected a function", loss=None, error=TypeError)
    refused("loss: .*doubles", loss=nn.CrossEntropyLoss(reduction="sum"))
    refused("loss: .*shape", loss=lambda s, t: s)
    refused("loss: .*float", loss=lambda s, t: 1.0)
    refused("loss: .*constant", loss=lambda s, t: torch.zeros(()))
    refused("net: .*parameters", net=nn.ReLU())
    refused("net: .*does not take", net=nn.Linear(7, 3))
    refused("net: .*does not take", d=SimpleNamespace(x_train=DATA.x_train, target_train=DATA.target_train + 5))
