"""An update moves parameters and state together or not at all; what a rule is given and what its
state takes is checked."""

import math
import warnings
from functools import partial

import interrupts
import numpy as np
import pytest
from models import USUAL

import mbcore as mb
from mbcore import backend
from mbcore.averages import SAG, SVRG, PolyakRuppert
from mbcore.data import gaussians
from mbcore.optim import LARS, SGD, Adam, Momentum
from mbcore.train import training

RULES = {
    "sgd": partial(SGD, weight_decay=0.1),
    "momentum": partial(Momentum, weight_decay=0.1),
    "nesterov": partial(Momentum, nesterov=True),
    "adamw": partial(Adam, weight_decay=0.1),
    "lars": partial(LARS, 0.1, weight_decay=0.1),
    "average": PolyakRuppert,
}
by_rule = pytest.mark.parametrize("make", RULES.values(), ids=RULES.keys())


def params():
    draw = np.random.default_rng(0)
    return {
        "W0": draw.normal(size=(3, 2)),
        "C0": draw.normal(size=3),
        "W1": draw.normal(size=(2, 3)),
    }


def grads(scale=1.0):
    return {name: scale * np.cos(p) for name, p in params().items()}


def act(rule, p, scale=1.0, lr=0.1):
    rule.update(p) if isinstance(rule, PolyakRuppert) else rule.update(p, grads(scale), lr)


def whole(rule, p):
    """Parameters and state in one dictionary."""
    return {**{name: np.copy(a) for name, a in p.items()}, **rule.state}


def same(one, two):
    return one.keys() == two.keys() and all(np.array_equal(a, two[name]) for name, a in one.items())


FILES = ("optim.py", "averages.py", "backend.py", "train.py")


def interrupted(number, run):
    return interrupts.interrupted(number, run, FILES)


@by_rule
@pytest.mark.parametrize("before", [0, 2])
def test_an_update_is_whole_wherever_it_is_interrupted(make, before):
    def start():
        rule, p = make(), params()
        for _ in range(before):
            act(rule, p)
        if isinstance(rule, PolyakRuppert):
            p = {name: a + 1 for name, a in p.items()}
        return rule, p

    rule, p = start()
    old = whole(rule, p)
    count = interrupted(math.inf, lambda: act(rule, p))
    new, seen = whole(rule, p), set()
    assert not same(old, new)
    for at in range(0, count, max(1, count // 150)):
        rule, p = start()
        interrupted(at, lambda: act(rule, p))
        found = whole(rule, p)
        assert same(found, old) or same(found, new)
        seen.add(same(found, new))
        act(rule, p)  # and it goes on from there
    assert False in seen


@pytest.mark.parametrize("kind", [SAG, SVRG])
def test_tables_are_whole_wherever_they_are_interrupted(kind):
    model = mb.equations("s[y] = W[y,i] * x[i] - C[y]\nL = squared_error(s[y], t[y])").with_index(
        "b"
    )
    draw = np.random.default_rng(0)
    x, t = draw.normal(size=(6, 3)), draw.normal(size=(6, 2))
    net = model.compile(b=3, i=3, y=2, dtype="float64").init(draw)

    def start():
        source = kind(net, x=x, t=t)
        ask(source)
        for p in net.params.values():
            p *= 1.5
        return source

    def ask(source):
        return source.anchor() if kind is SVRG else source.gradients([1, 2])

    kept = {name: p.copy() for name, p in net.params.items()}

    def reset():
        for name, p in net.params.items():
            p[...] = kept[name]

    source = start()
    old = source.state
    count = interrupted(math.inf, lambda: ask(source))
    new = source.state
    assert not same(old, new)
    for at in range(0, count, max(1, count // 100)):
        reset()
        source = start()
        interrupted(at, lambda: ask(source))
        assert same(source.state, old) or same(source.state, new)


@pytest.mark.parametrize("make", [None, Momentum, Adam])
def test_a_training_that_is_interrupted_has_made_whole_updates(make):
    """Accumulated, with and without a rule: the parameters are those after some number of
    updates."""
    data, model = gaussians(12, 6, 4, 3), mb.equations(USUAL).with_index("b")

    def start(looks):
        net = model.compile(b=4, i=4, j=5, y=3).init(np.random.default_rng(1))
        return net, training(
            net,
            data,
            0.1,
            1,
            np.random.default_rng(2),
            looks=looks,
            compute=3,
            rule=make and make(),
        )

    net, run = start(3)
    states = []
    for _ in run:
        states.append({name: p.copy() for name, p in net.params.items()})
    assert len(states) == 4

    def rest(going):
        for _ in going:
            pass

    net, run = start(1)
    next(run)
    count, seen = interrupted(math.inf, lambda: rest(run)), set()
    for at in range(0, count, max(1, count // 60)):
        net, run = start(1)
        next(run)
        interrupted(at, lambda: rest(run))
        seen.add([same(net.params, state) for state in states].index(True))
    assert {0, 1, 2} <= seen


@by_rule
@pytest.mark.parametrize(
    "spoil, words",
    [
        (
            lambda p, g: p["W1"].setflags(write=False),
            "params.'W1'.: expected an array that may be changed",
        ),
        (lambda p, g: g.update(W1=g["W1"].T), "grads.'W1'.: expected the parameter's shape"),
        (
            lambda p, g: g.update(W1=g["W1"].astype(int)),
            "grads.'W1'.: expected an array of float32 or float64",
        ),
        (
            lambda p, g: g.update(W1=g["W1"] + 0j),
            "grads.'W1'.: expected an array of float32 or float64",
        ),
        (
            lambda p, g: p.update(W1=p["W1"].tolist()),
            "params.'W1'.: expected an array of float32 or float64",
        ),
        (
            lambda p, g: p.update(W1=np.ma.masked_array(p["W1"])),
            "params.'W1'.: expected an array of float32 or float64",
        ),
        (
            lambda p, g: p.update(W1=p["W1"].astype(np.float16)),
            "params.'W1'.: expected an array of float32 or float64",
        ),
    ],
    ids=range(7),
)
def test_what_fails_at_the_last_parameter_has_moved_none(make, spoil, words):
    for before in (0, 1):
        rule, p, g = make(), params(), grads()
        for _ in range(before):
            act(rule, p)
        spoil(p, g)
        old = whole(rule, p)
        if isinstance(rule, PolyakRuppert):
            if not words.startswith("params") or "changed" in words:
                continue
            update = lambda: rule.update(p)
        else:
            update = lambda: rule.update(p, g, 0.1)
        with pytest.raises((TypeError, ValueError), match=words):
            update()
        assert same(whole(rule, p), old)


@by_rule
def test_a_warning_that_is_an_error_cuts_no_update_in_two(make):
    rule, p = make(), {name: a.astype(np.float32) for name, a in params().items()}
    p["C0"][...] = 3e38
    with warnings.catch_warnings(), np.errstate(over="raise", invalid="raise", under="raise"):
        warnings.simplefilter("error")
        if isinstance(rule, PolyakRuppert):
            rule.update(p)
        elif not isinstance(rule, LARS):  # whose norms are computed before, and may be refused
            rule.update(p, {name: np.full_like(a, 3e38) for name, a in p.items()}, 10.0)


# ------------------------------------------------------------------ arguments and states


@pytest.mark.parametrize(
    "rule, same_as",
    [
        (lambda: Momentum(np.float32(0.5)), lambda: Momentum(0.5)),
        (lambda: Momentum(np.array(0.5), np.bool_(True)), lambda: Momentum(0.5, True)),
        (lambda: Adam(np.float64(0.5), np.float16(0.25)), lambda: Adam(0.5, 0.25)),
        (lambda: SGD(np.int64(1)), lambda: SGD(1)),
        (lambda: LARS(replicas=np.int64(0)), lambda: LARS()),
    ],
)
def test_numbers_of_numpy_are_numbers(rule, same_as):
    one, two = params(), params()
    for _ in range(3):
        rule_one, rule_two = rule(), same_as()
        act(rule_one, one), act(rule_two, two, lr=np.array(0.1))
    assert same(one, two)


@pytest.mark.parametrize(
    "make, words",
    [
        (
            lambda: Momentum("0.9"),
            "beta: expected a finite number of at least 0 and below 1, got '0.9'",
        ),
        (lambda: Momentum(True), "beta: expected"),
        (lambda: Momentum(None), "beta: expected"),
        (
            lambda: Momentum(dampening=1),
            "dampening: expected a finite number of at least 0 and below 1, got 1",
        ),
        (lambda: Momentum(nesterov="yes"), "nesterov: expected True or False, got 'yes'"),
        (lambda: Adam(beta1=1), "beta1: expected"),
        (
            lambda: SGD(weight_decay=-1e-9),
            "weight_decay: expected a finite number of at least 0, got -1e-09",
        ),
        (lambda: SGD(weight_decay=float("inf")), "weight_decay: expected"),
        (lambda: LARS(replicas=-1), "replicas: expected a whole number of at least 0"),
        (lambda: LARS(unscaled="C0"), "unscaled: expected names of parameters"),
        (lambda: PolyakRuppert(1.5), "start: expected a whole number of at least 0, got 1.5"),
        (lambda: PolyakRuppert().update({}), "params: expected a dictionary of arrays"),
        (
            lambda: SGD().update([np.ones(2)], [np.ones(2)], 0.1),
            "params: expected a dictionary of arrays",
        ),
        (lambda: SGD().update(params(), None, 0.1), "grads: expected a dictionary of arrays"),
        (
            lambda: SGD().update(
                {"W": np.ones(2, np.float32)}, {"W": np.ones(2, np.float32)}, 1e39
            ),
            "lr: expected a finite number.*float32 can hold",
        ),
        (lambda: SGD().update(params(), grads(), [0.1, "2", 1]), "lr: expected"),
        (lambda: SGD().update(params(), grads(), 1j), "lr: expected"),
        (lambda: SGD().update(params(), grads(), None), "lr: expected"),
    ],
)
def test_bad_arguments(make, words):
    with pytest.raises((ValueError, TypeError), match="^" + words):
        make()


def trained(make):
    rule, p = make(), params()
    act(rule, p), act(rule, p)
    return rule


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda s: {**s, "steps": -1}, "steps: expected a whole number of at least 0, got -1"),
        (lambda s: {**s, "steps": float("nan")}, "steps: expected a whole number"),
        (lambda s: {**s, "steps": 2.0}, "steps: expected a whole number"),
        (lambda s: {**s, "steps": "2"}, "steps: expected a whole number"),
        (lambda s: {**s, "steps": np.array([2])}, "steps: expected a whole number"),
        (lambda s: {**s, "steps": 0}, "state: 0 updates and 6 arrays do not belong together"),
        (lambda s: {"steps": 2}, "state: 2 updates and 0 arrays"),
        (
            lambda s: {k: a for k, a in s.items() if k != "steps"},
            "state: expected steps, m.<parameter>, v.<parameter>",
        ),
        (
            lambda s: {k: a for k, a in s.items() if k != "v.W0"},
            r"state\['m.W0'\]: expected an array of this shape",
        ),
        (lambda s: {**s, "v.W0": s["v.W0"].T}, r"state\['m.W0'\]: expected an array of this shape"),
        (
            lambda s: {**s, "v.W0": np.full((3, 2), np.nan)},
            r"state\['v.W0'\]: expected numbers, got nan",
        ),
        (lambda s: {**s, "v.W0": -s["v.W0"]}, r"state\['v.W0'\]: expected a mean of squares"),
        (lambda s: {**s, "v.W0": "mass"}, r"state\['v.W0'\]: expected an array of float32"),
        (lambda s: {**s, "v.W0": None}, r"state\['v.W0'\]: expected an array of float32"),
        (
            lambda s: {**s, "v.W0": s["v.W0"].astype(int)},
            r"state\['v.W0'\]: expected an array of float32",
        ),
        (
            lambda s: {**s, "v.W0": np.ma.masked_less(s["v.W0"], 1)},
            r"state\['v.W0'\]: expected numbers, got a masked",
        ),
        (lambda s: {**s, "w.W0": s["v.W0"]}, "state: expected steps, m.<parameter>"),
        (lambda s: {**s, "v": s["v.W0"]}, "state: expected steps, m.<parameter>"),
        (lambda s: None, "state: expected steps, m.<parameter>.*got None"),
        (lambda s: list(s), "state: expected steps, m.<parameter>"),
    ],
)
def test_a_bad_state_is_refused_and_changes_nothing(change, words):
    rule, saved = trained(Adam), trained(Adam).state
    act(rule, params())
    before = rule.state
    with pytest.raises((ValueError, TypeError), match="^" + words):
        rule.state = change(saved)
    assert same(rule.state, before)


@pytest.mark.parametrize(
    "bad",
    [
        {"steps": -1},
        {"steps": 1},
        {"steps": 1, "seen.examples": np.ones(5, bool)},
        {"steps": 1, "table.W": np.ones(2)},
    ],
)
def test_a_table_that_is_none(bad):
    net = (
        mb.equations("s[y] = W[y,i] * x[i]\nL = squared_error(s[y], t[y])")
        .with_index("b")
        .compile(b=3, i=3, y=2)
        .init(np.random.default_rng(0))
    )
    source = SAG(net, x=np.ones((6, 3)), t=np.ones((6, 2)))
    source.gradients([0, 1])
    before = source.state
    with pytest.raises(ValueError):
        source.state = bad
    assert same(source.state, before)


def test_a_state_saved_on_a_gpu_is_numpys_and_goes_back(fake_gpu, tmp_path):
    on = lambda arrays: {name: mb.to_gpu(a) for name, a in arrays.items()}
    p, rule, right, host = on(params()), Adam(), Adam(), params()
    for _ in range(2):
        rule.update(p, on(grads()), 0.1), right.update(host, grads(), 0.1)
    np.savez(tmp_path / "state.npz", **rule.state)
    resumed = Adam()
    with np.load(tmp_path / "state.npz") as saved:
        resumed.state = saved
    resumed.update(p, on(grads()), 0.1), right.update(host, grads(), 0.1)
    for name in host:
        np.testing.assert_allclose(mb.to_cpu(p[name]), host[name], rtol=1e-13)


def test_lars_trusts_a_thousandth_by_default():
    """The paper's eta: ||w|| = 5, ||g|| = 10, so the first step is lr 0.001 5/10 g."""
    p = {"W": np.array([3.0, 4.0])}
    LARS().update(p, {"W": np.array([6.0, 8.0])}, 2.0)
    np.testing.assert_allclose(
        p["W"], np.array([3.0, 4.0]) - 0.001 * np.array([6.0, 8.0]), rtol=1e-14
    )


@pytest.mark.parametrize("lr, moved", [(0.0, 0.0), (-0.5, 0.5)])
def test_a_rule_by_itself_takes_any_finite_rate(lr, moved):
    p = {"W": np.zeros(2)}
    SGD().update(p, {"W": np.ones(2)}, lr)
    np.testing.assert_array_equal(p["W"], [moved, moved])


@pytest.mark.parametrize("kind", [SAG, SVRG])
def test_coupled_examples_have_no_gradients_to_keep(kind):
    text = "z[j] = W0[j,i] * x[i]\nm[j] = mean(z[j], over=b)\nL = squared_error(z[j], m[j])"
    net = mb.equations(text).with_index("b").compile(b=4, i=3, j=2)
    with pytest.raises(ValueError, match=r"^program: m\[j\] mixes the examples of z\[b,j\], so"):
        kind(net, x=np.ones((5, 3)))
    with pytest.raises(TypeError, match="^program: expected a Program"):
        kind(None, x=np.ones((5, 3)))


@pytest.mark.parametrize("make", [SGD, Momentum, Adam, LARS])
def test_a_gradient_without_axes_may_be_a_number_of_numpy(make):
    """g[k] of a stream g[step] is one; the parameter it moves has to be an array."""
    one, two = {"w": np.array(2.0)}, {"w": np.array(2.0)}
    for rule, p, g in ((make(), one, np.float64(0.5)), (make(), two, np.array(0.5))):
        rule.update(p, {"w": g}, 0.1), rule.update(p, {"w": g}, 0.1)
    assert one["w"] == two["w"] != 2
    with pytest.raises(TypeError, match=r"params\['w'\]: .* an array .*, got float64, no array"):
        make().update({"w": np.float64(2)}, {"w": np.float64(1)}, 0.1)
    with pytest.raises(TypeError, match=r"grads\['w'\]: expected float32 or float64, got float16"):
        make().update(one, {"w": np.float16(1)}, 0.1)
