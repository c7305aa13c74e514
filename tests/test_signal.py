"""No batch from a measurement without a signal: each kind by its words; and none of these words
where there is one."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

import mbcore as mb
from mbcore import data, trial
from mbcore.advise import advise
from mbcore.experiments.models import MLP
from mbcore.given import read, uneven
from mbcore.panels.advice import TASKS, AdvicePanel
from mbcore.subject import subject

CLOUDS = data.gaussians(n_train=400, n_test=20, i=6, classes=3)
X, T = CLOUDS.x_train, CLOUDS.target_train
BATCH_NORM = mb.equations("""
    z[j] = W0[j,i] * x[i]
    m[j] = mean(z[j], over=b)
    v[j] = mean((z[j] - m[j])**2, over=b)
    h[j] = (z[j] - m[j]) / sqrt(v[j] + 0.001)
    s[y] = W1[y,j] * h[j] - C1[y]
    L = cross_entropy(s[y], target)
""")


def network(i=6, y=3, equations=MLP, seed=0):
    return equations.with_index("b").compile(b=16, i=i, j=8, y=y).init(np.random.default_rng(seed))


def incomes(n=1000, seed=0):
    """A raw income beside an age; both tell of the label."""
    rng = np.random.default_rng(seed)
    income, age = rng.normal(50_000, 15_000, n), rng.normal(40, 12, n)
    told = (income - 50_000) / 15_000 + (age - 40) / 12 + rng.normal(0, 0.3, n)
    return np.stack([income, age], axis=1).astype("float32"), (told > 0).astype(int)


noise = np.random.default_rng(0).permutation(T)
KINDS = {
    "one class": (network, (X, np.zeros_like(T)), "same target, 0"),
    "all alike": (network, (np.ones_like(X), T), "the same x"),
    "labels drawn by lot": (network, (X, noise), "held-out"),
    "x drawn by lot": (network, (np.random.default_rng(1).normal(size=X.shape), T), "held-out"),
    "raw incomes": (
        lambda: network(2, 2),
        incomes(),
        r"column 0 \(from 0\) about 5.*beside column 1.*Standardise",
    ),
    "coupled": (lambda: network(equations=BATCH_NORM), (X, T), r"m\[j\] mixes the examples of z"),
}


@pytest.mark.parametrize("name", KINDS)
def test_no_batch_without_a_signal(name):
    made, given, said = KINDS[name]
    a = advise(made(), given, seconds=1.0)
    assert (a.batch, a.lr, a.low, a.high, a.slower, a.curves) == (None,) * 6
    assert a.line is not None and a.largest > 1000  # what was measured stands
    pattern = f"No batch size follows from this measurement: .*{said}"
    for text in (str(a), repr(a), a._repr_markdown_()):
        assert "Start with" not in text and "still measuring" not in text
        assert re.search(pattern, text), text


@pytest.mark.parametrize("seed", range(3))
def test_raw_incomes_are_named_for_every_start_and_taken_when_standardised(seed):
    x, target = incomes(seed=seed)
    a = advise(network(2, 2, seed=seed), (x, target), seconds=1.0, seed=seed)
    assert a.batch is None and "Standardise" in a.why_not
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    a = advise(network(2, 2, seed=seed), (x, target), seconds=1.0, seed=seed)
    assert (
        a.batch is not None
        and a.why_not is None
        and a.held.as_low == 0
        and "Standardise" not in str(a)
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_weak_signal_is_one(seed):
    """A label of which x says little: a loss of 0.67 in place of ln 2."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3000, 6))
    target = (0.4 * x[:, 0] + rng.normal(size=3000) > 0).astype(int)
    assert advise(network(6, 2, seed=seed), (x, target), seconds=1.5, seed=seed).batch is not None


def test_rare_classes_are_a_signal():
    rng = np.random.default_rng(0)
    target = (rng.random(2000) < 0.03).astype(int)
    x = rng.normal(size=(2000, 6)) + 3 * target[:, None] * np.eye(6)[0]
    assert advise(network(6, 2), (x, target), seconds=1.0).batch is not None


@pytest.mark.parametrize("seed", range(3))
def test_very_rare_classes_and_a_weak_value_are_signals(seed):
    """Two examples in a hundred; and a value of which x tells a tenth."""
    rng = np.random.default_rng(seed)
    target = (np.arange(1000) % 50 == 0).astype(int)
    x = rng.normal(size=(1000, 6)) + 4 * target[:, None] * np.eye(6)[0]
    assert advise(network(6, 2), (x, target), seconds=1.0, seed=seed).batch is not None
    squares = mb.equations("s = W[i] * x[i] + C\nL = (s - target)**2").with_index("b")
    net = squares.compile(b=16, i=6).init(rng)
    value = 0.33 * x[:, 1] + rng.normal(size=1000)
    assert advise(net, (x, value), seconds=1.0, seed=seed).batch is not None


def test_eight_examples_are_enough_for_the_clock():
    """On a slow machine, too: three batch sizes are found among 8 examples."""
    a = advise(network(6, 3), (X[:8], np.arange(8) % 3), seconds=0.01)
    assert len(a.throughput.sizes) >= 3 and "More seconds allow" in a.why_not


def test_a_trained_network_starts_from_what_it_has_learned():
    """Its trainings start from its own parameters; a fresh one's from others like them too."""
    net = network()
    for _ in range(300):
        net.step(1.0, x=X[:16], target=T[:16])
    for _ in range(300):
        net.step(1.0, x=X[np.arange(16) + 16], target=T[np.arange(16) + 16])
    old, new = (subject(n, (X, T), None, np.random.default_rng(0)) for n in (net, network()))
    for one in (old, new):
        one.more_starts(np.arange(100))
    losses = []
    for start in range(3):
        old.reset(start)
        losses.append(old.loss(np.arange(100)))
    assert old.trained and losses[0] == losses[1] == losses[2] and not new.trained
    firsts = []
    for start in range(3):
        new.reset(start)
        firsts.append(new.net.params["W0"].copy())
    assert not np.array_equal(firsts[0], firsts[1]) and not np.array_equal(firsts[1], firsts[2])
    np.testing.assert_array_equal(np.sort(firsts[0], axis=None), np.sort(firsts[1], axis=None))
    np.testing.assert_array_equal(firsts[0], network().params["W0"])


# ------------------------------------------------------------------ its parts


def test_held_out_examples_are_never_trained_on():
    one = subject(network(), (X, T), None, np.random.default_rng(0))
    seen = [set(one.hold_out(turn)) for turn in range(one.turns)]
    assert one.turns == 5 and all(len(held) == 80 for held in seen) and len(set.union(*seen)) == 400
    held = set(one.hold_out(2))
    drawn = set(np.concatenate([one.batch(32) for _ in range(40)]))
    assert not held & drawn and held | drawn == set(range(400))
    assert len(one.batch(390)) == 390  # more than there are: some come twice


def test_what_held_out_examples_tell():
    """By hand: all exchanges of 2 and of 3 examples are equally likely; a constant network is never
    better with its own; what is not a number never counts as a signal."""
    told = lambda *losses: trial._told(list(losses), np.random.default_rng(0))
    two, three = 1.0 - np.eye(2)[None], 1.0 - np.eye(3)[None]
    found = told(two, three)
    assert (found.n, found.own, found.targets) == (5, 0.0, True)
    assert found.as_low / trial.ORDERS == pytest.approx(1 / 12, abs=0.03)
    assert found.others == pytest.approx((1 + 2) / 5, abs=0.05)
    for alike in (np.ones((1, 9, 9)), np.full((4, 3, 3), np.nan)):
        assert told(alike).as_low == trial.ORDERS
    fell = told(np.array([[1.0, 3.0], [0.0, 2.0]]))  # without targets: after and before
    assert (fell.own, fell.others, fell.targets) == (0.5, 2.5, False)
    assert fell.as_low / trial.ORDERS == pytest.approx(1 / 4, abs=0.05)


@pytest.mark.parametrize("kinds", [2, 400])
def test_held_out_losses_stand_beside_those_with_others_targets(kinds):
    """The diagonal of each block holds the examples' own; the rest is by the same exchange."""
    target = np.arange(400) % kinds
    squares = mb.equations("s = W[i] * x[i]\nL = (s - target)**2").with_index("b")
    net = squares.compile(b=16, i=6).init(np.random.default_rng(0))
    one = subject(net, (X, target), None, np.random.default_rng(0))
    held = one.hold_out(0)
    losses = trial._compared(one, held, None)
    blocks = held.reshape(losses.shape[:2])
    scores = X.astype(float) @ net.params["W"].astype(float)
    np.testing.assert_allclose(
        losses, (scores[blocks][:, :, None] - target[blocks][:, None, :]) ** 2, rtol=1e-4, atol=1e-4
    )
    assert len(losses) == (1 if kinds == 2 else 2)


def test_chance_is_the_entropy_of_the_classes():
    one = subject(network(), (X, T), None, np.random.default_rng(0))
    shares = np.bincount(T) / len(T)
    assert one.chance() == pytest.approx(-(shares * np.log(shares)).sum())
    squares = mb.equations("s[y] = W[y,i] * x[i]\nL = squared_error(s[y], target[y])")
    net = squares.with_index("b").compile(b=16, i=6, y=3).init(np.random.default_rng(0))
    assert subject(net, (X, np.eye(3)[T]), None, np.random.default_rng(0)).chance() is None
    np.testing.assert_array_equal(one.net.params["W0"], network().params["W0"])  # as it was
    torch = pytest.importorskip("torch")
    cross_entropy, net = torch.nn.functional.cross_entropy, torch.nn.Linear(6, 3)
    for loss in (lambda s, t: 3 * cross_entropy(s, t), lambda s, t: 1e6 + cross_entropy(s, t)):
        assert subject(net, (X, T), loss, np.random.default_rng(0)).chance() is None
    same = subject(net, (X, T), cross_entropy, np.random.default_rng(0)).chance()
    assert same == pytest.approx(one.chance())


@pytest.mark.parametrize(
    "sizes, said",
    [
        ((1, 1, 1), None),
        ((0, 1, 5), None),
        ((20, 10, 1), None),
        ((1e4, 1, 1), "column 0"),
        ((1, 1, 2000), "column 2"),
        ((300, 300, 300), "column 0"),
        ((1e-3, 1e-3, 1e-4), "column 0"),
        ((0, 0, 0), None),
    ],
)
def test_uneven_features(sizes, said):
    x = np.random.default_rng(0).normal(size=(100, 3)) * sizes
    found = uneven(read((x, np.arange(100))))
    assert found is None if said is None else said in found


@pytest.mark.parametrize(
    "size, said", [(1.0, None), (1e5, "2.*e.05 in size"), (1e-4, "targets"), (0.1, None)]
)
def test_targets_far_from_1(size, said):
    rng = np.random.default_rng(0)
    target = size * (2 + rng.normal(size=100))
    found = uneven(read((rng.normal(size=(100, 3)), target)))
    assert found is None if said is None else re.search(said, found)
    assert uneven(read((rng.normal(size=(100, 3)), np.eye(999)[:100]))) is None


def test_columns_of_a_frame_are_named():
    pandas = pytest.importorskip("pandas")
    x, target = incomes()
    found = uneven(read((pandas.DataFrame(x, columns=["income", "age"]), target)))
    assert "'income' about 5" in found and "'age' about 42" in found


def test_a_gradient_of_zero_is_named():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(
        torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3, bias=False)
    )
    torch.nn.init.constant_(net[0].bias, -1e3)
    a = advise(net, (X, T), torch.nn.functional.cross_entropy, seconds=0.5)
    assert a.batch is None and "gradient is exactly 0" in a.why_not


def test_a_network_of_zeros_is_named():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3))
    for p in net.parameters():
        torch.nn.init.zeros_(p)
    even = np.arange(399) % 3  # no bias to learn either
    a = advise(net, (X[:399], even), torch.nn.functional.cross_entropy, seconds=0.5)
    assert a.batch is None and (
        "every parameter is 0" in a.why_not or "gradient is exactly 0" in a.why_not
    )


# ------------------------------------------------------------------ who shows it


def test_the_panel_says_so(monkeypatch):
    lots = SimpleNamespace(x_train=X, target_train=noise, classes=(0, 1, 2))
    monkeypatch.setitem(TASKS, "digits", lambda: lots)
    panel = AdvicePanel(seconds=2.0, j=8)
    assert (
        panel.error is None
        and panel.reading.startswith("digits: no batch size follows")
        and "held-out" in panel.reading
    )
    assert not panel.reached(panel.result)
    assert panel.set(B=8).startswith("digits: no batch size follows")
    handed = AdvicePanel(advise(network(), (X, noise), seconds=0.5), seconds=2.0)
    assert handed.error is None and "no batch size follows" in handed.reading
