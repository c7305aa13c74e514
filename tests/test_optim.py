"""Update rules and averages over time. Oracles: PyTorch, formulas by hand, exact expectations over all examples."""

import tracemalloc
from functools import partial

import fake_cupy
import numpy as np
import pytest

import mbcore as mb
from mbcore.averages import SAG, SVRG, PolyakRuppert
from mbcore.optim import LARS, SGD, Adam, Momentum

RULES = {
    "sgd": SGD, "sgd decayed": partial(SGD, weight_decay=0.01), "momentum": Momentum, "nesterov": partial(Momentum, nesterov=True, weight_decay=0.1),
    "dampened": partial(Momentum, dampening=0.9), "adam": Adam, "adamw": partial(Adam, weight_decay=0.1), "lars": partial(LARS, 0.02, weight_decay=1e-3),
}
by_rule = pytest.mark.parametrize("make", RULES.values(), ids=RULES.keys())


def rng(seed=0):
    return np.random.default_rng(seed)


def params(seed=0, lead=(), dtype="float64"):
    g = rng(seed)
    return {"W0": g.normal(size=(*lead, 4, 3)).astype(dtype), "C0": g.normal(size=(*lead, 4)).astype(dtype)}


def run(rule, p, steps=20, lr=0.1, first=0):
    for t in range(first, first + steps):
        rule.update(p, {name: np.sin(3 * a) + 0.1 * t for name, a in p.items()}, lr)
    return p


def same(a, b, **how):
    for name in a:
        np.testing.assert_allclose(a[name], b[name], **{"rtol": 0, "atol": 0, **how}, err_msg=name)


# ---- the rules


@pytest.mark.parametrize("rule, theirs, options", [
    (SGD(), "SGD", {}),
    (SGD(weight_decay=0.05), "SGD", dict(weight_decay=0.05)),
    (Momentum(0.9), "SGD", dict(momentum=0.9)),
    (Momentum(0.8, weight_decay=0.05), "SGD", dict(momentum=0.8, weight_decay=0.05)),
    (Momentum(0.9, nesterov=True), "SGD", dict(momentum=0.9, nesterov=True)),
    (Momentum(0.9, nesterov=True, weight_decay=0.05), "SGD", dict(momentum=0.9, nesterov=True, weight_decay=0.05)),
    (Momentum(0.9, dampening=0.9, weight_decay=0.05), "SGD", dict(momentum=0.9, dampening=0.9, weight_decay=0.05)),
    (Adam(), "Adam", {}),
    (Adam(0.5, 0.9, 1e-3), "Adam", dict(betas=(0.5, 0.9), eps=1e-3)),
    (Adam(weight_decay=0.05), "AdamW", dict(weight_decay=0.05)),
], ids=str)
def test_rules_are_pytorchs(rule, theirs, options):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle of this test, is not installed")
    ours = params()
    tensors = {name: torch.tensor(a, requires_grad=True) for name, a in ours.items()}
    optimiser = getattr(torch.optim, theirs)(tensors.values(), lr=0.1, **options)
    for t in range(20):
        for tensor in tensors.values():
            tensor.grad = torch.sin(3 * tensor.detach()) + 0.1 * t
        optimiser.step()
    same(run(rule, ours), {name: a.detach().numpy() for name, a in tensors.items()}, atol=1e-12)


def test_lars_by_hand():
    """||w|| = 5, ||g|| = 10: lambda = 0.1 * 5 / (10 + 0.2 * 5) = 1/22; then the second step with v."""
    p, g = {"W": np.array([3.0, 4.0])}, {"W": np.array([6.0, 8.0])}
    rule = LARS(0.1, beta=0.5, weight_decay=0.2)
    rule.update(p, g, 2.0)
    v = 2 / 22 * np.array([6.6, 8.8])                   # g + 0.2 w
    w = np.array([3.0, 4.0]) - v
    np.testing.assert_allclose(p["W"], w, rtol=1e-14)
    rule.update(p, g, 2.0)
    size = np.hypot(*w)
    v = 0.5 * v + 2 * 0.1 * size / (10 + 0.2 * size) * (g["W"] + 0.2 * w)
    np.testing.assert_allclose(p["W"], w - v, rtol=1e-14)


def test_lars_without_a_norm_is_plain():
    p, g = {"C": np.zeros(2), "W": np.ones(2), "U": np.array([3.0, 4.0])}, {"C": np.ones(2), "W": np.zeros(2), "U": np.ones(2)}
    LARS(0.1, beta=0, unscaled=("U",)).update(p, g, 0.5)
    same(p, {"C": np.full(2, -0.5), "W": np.ones(2), "U": np.array([2.5, 3.5])})


@by_rule
@pytest.mark.parametrize("lr", [0.1, np.array([0.1, 0.01, 1.0])], ids=["one lr", "lr[r]"])
def test_replicas_are_single_runs(make, lr):
    many = params(lead=(3,))
    alone = [{name: a[k].copy() for name, a in many.items()} for k in range(3)]
    rule = make(replicas=1) if getattr(make, "func", make) is LARS else make()
    run(rule, many, lr=lr)
    for k, p in enumerate(alone):
        same({name: a[k] for name, a in many.items()}, run(make(), p, lr=float(np.broadcast_to(lr, 3)[k])), rtol=1e-13)


@by_rule
def test_float32_stays_float32_and_gradients_stay(make):
    p = params(dtype="float32")
    g = {name: np.cos(a) for name, a in p.items()}
    kept, rule = {name: a.copy() for name, a in g.items()}, make()
    for _ in range(3):
        rule.update(p, g, np.float64(0.1))
    same(g, kept)
    assert {a.dtype for a in p.values()} == {np.dtype("float32")} == {a.dtype for k, a in rule.state.items() if k != "steps"} | {np.dtype("float32")}


@by_rule
def test_nothing_new_after_the_first_update(make):
    p = {"W": np.ones((400, 500))}
    g, rule, average = {"W": np.full((400, 500), 0.5)}, make(), PolyakRuppert()
    rule.update(p, g, 0.1), average.update(p)
    tracemalloc.start()
    for _ in range(5):
        rule.update(p, g, 0.1), average.update(p)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < p["W"].nbytes / 10


@by_rule
def test_resumed_is_uninterrupted(make, tmp_path):
    whole, part = run(make(), params()), params()
    rule = make()
    run(rule, part, 8)
    np.savez(tmp_path / "state.npz", **rule.state)
    resumed = make()
    with np.load(tmp_path / "state.npz") as saved:
        resumed.state = dict(saved)
    run(rule, {name: a.copy() for name, a in part.items()}, 3)        # what goes on elsewhere does not reach the saved state
    same(run(resumed, part, 12, first=8), whole)
    assert resumed.steps == 20


def test_a_saved_state_stays_as_it_was():
    p, rule, other = params(), Momentum(), Momentum()
    run(rule, p, 2)
    saved = rule.state
    kept = {name: np.copy(a) for name, a in saved.items()}
    other.state = saved
    run(rule, p, 2), run(other, p, 2)
    same(saved, kept)


def test_a_parameter_without_gradient_stays():
    p = params()
    before = p["C0"].copy()
    Adam(weight_decay=0.1).update(p, {"W0": np.ones((4, 3)), "x": np.ones(2)}, 0.1)
    same({"C0": before}, p)


def test_a_program_steps_as_its_own_sgd():
    model = mb.equations("s[y] = W[y,i] * x[i] - C[y]\nL = cross_entropy(s[y], target)").with_index("b").with_index("r", parameters=True)
    one, two = (model.compile(r=3, b=5, i=4, y=3, dtype="float64").init(rng()) for _ in range(2))
    x, target, lr = rng(1).normal(size=(5, 4)), np.arange(5) % 3, np.array([0.1, 0.2, 0.3])
    one.step(lr, x=x, target=target)
    two.forward(x=x, target=target)
    two.backward()
    SGD().update(two.params, two.grads, lr)
    same(one.params, two.params, rtol=1e-13)


@by_rule
@pytest.mark.parametrize("lr", [0.1, np.array([0.1, 0.2])], ids=["one lr", "lr[r]"])
def test_device_arrays_are_not_waited_for(fake_gpu, make, lr):
    host, g = params(lead=(2,)), params(1, lead=(2,))
    device, on = ({name: mb.to_gpu(a.copy()) for name, a in arrays.items()} for arrays in (host, g))
    rules, averages = (make(), make()), (PolyakRuppert(), PolyakRuppert())
    fake_cupy.synchronisations.clear()
    for _ in range(3):
        for p, grads, rule, average in zip((host, device), (g, on), rules, averages):
            rule.update(p, grads, lr)
            average.update(p)
    assert fake_cupy.synchronisations == []
    same(host, {name: mb.to_cpu(a) for name, a in device.items()}, rtol=1e-13)
    with pytest.raises(TypeError, match=r"grads\['W0'\]: expected an array on the gpu, got one on the cpu"):
        rules[1].update(device, g, 0.1)


@pytest.mark.parametrize("make, words", [
    (lambda: Momentum(1.0), "beta: expected a finite number of at least 0 and below 1, got 1.0"),
    (lambda: Momentum(nesterov=True, dampening=0.5), "dampening: expected 0 with nesterov, got 0.5"),
    (lambda: Adam(beta2=float("nan")), "beta2: expected.*got nan"),
    (lambda: Adam(epsilon=-1), "epsilon: expected.*got -1"),
    (lambda: SGD(weight_decay="0"), "weight_decay: expected.*got '0'"),
    (lambda: LARS(float("inf")), "trust: expected.*got inf"),
    (lambda: PolyakRuppert(-1), "start: expected a whole number of at least 0, got -1"),
    (lambda: SGD().update(params(), {}, 0.1), "grads: expected gradients of W0, C0, got none"),
    (lambda: SGD().update(params(), {"W0": np.ones((3, 4))}, 0.1), r"grads\['W0'\]: expected the parameter's shape \(4, 3\), got \(3, 4\)"),
    (lambda: SGD().update(params(), params(), float("nan")), "lr: expected a finite number.*got nan"),
    (lambda: SGD().update(params(), params(), np.ones(3)), "lr: expected a finite number or an array of shape"),
    (lambda: SGD().update(params(), params(), "0.1"), "lr: expected"),
    (lambda: setattr(SGD(), "state", Adam().state | {"m.W0": np.ones(2)}), "state: expected steps, as this SGD saves it, got steps, m.W0"),
    (lambda: setattr(Adam(), "state", {}), "state: expected steps, m.<parameter>, v.<parameter>"),
])
def test_bad_input(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_list_is_no_gradient():
    with pytest.raises(TypeError, match=r"grads\['W0'\]: expected an array of float32 or float64, got list"):
        SGD().update(params(), {"W0": [[1.0]]}, 0.1)


def test_nothing_changes_where_one_gradient_is_wrong():
    p, rule = params(), Momentum()
    with pytest.raises(ValueError, match="C0"):
        rule.update(p, {"W0": np.ones((4, 3)), "C0": np.ones(3)}, 0.1)
    same(p, params())
    assert rule.steps == 0


def test_state_of_other_parameters_is_refused():
    rule = Momentum()
    run(rule, params(), 2)
    with pytest.raises(ValueError, match=r"expected float64 of shape \(3,\), got float64 of shape \(4,\)"):
        run(rule, {"C0": np.ones(3)})
    with pytest.raises(ValueError, match="v.E: none was kept by the 2 updates before"):
        run(rule, {"E": np.ones(3)})


# ---- averages over time


@pytest.mark.parametrize("start", [0, 3])
def test_polyak_ruppert_is_the_mean_of_the_iterates(start):
    p, rule, average, seen = params(), SGD(), PolyakRuppert(start), []
    with pytest.raises(RuntimeError, match="average: there is none yet"):
        average.average
    for t in range(10):
        run(rule, p, 1, first=t)
        average.update(p)
        seen.append(p["W0"].copy())
        np.testing.assert_allclose(average.average["W0"], np.mean(seen[start:] or seen[-1:], axis=0), rtol=1e-13)
    resumed = PolyakRuppert(start)
    resumed.state = average.state
    for a in (average, resumed):
        a.update(params(5))
    same(average.average, resumed.average)


def test_dampened_momentum_is_an_exponential_average():
    """Of independent gradients its variance is sigma^2 (1 - beta)/(1 + beta)."""
    p, rule, beta = {"W": np.zeros(20_000)}, Momentum(0.75, dampening=0.75), 0.75
    g = rng(3)
    for _ in range(30):
        rule.update(p, {"W": g.normal(size=20_000)}, 0.1)
    v = rule.state["v.W"]
    assert abs(v.var() / ((1 - beta) / (1 + beta)) - 1) < 5 * (2 / 20_000) ** 0.5


LEAST_SQUARES = mb.equations("s[y] = W[y,i] * x[i] - C[y]\nL = squared_error(s[y], t[y])").with_index("b")


@pytest.fixture
def problem():
    """60 examples that no line fits, and the minimum by NumPy's own least squares."""
    g = rng(4)
    x, t = g.normal(size=(60, 3)), g.normal(size=(60, 2))
    best = np.linalg.lstsq(np.hstack([x, -np.ones((60, 1))]), t, rcond=None)[0].T
    return LEAST_SQUARES.compile(b=4, i=3, y=2, dtype="float64").init(rng(5)), dict(x=x, t=t), {"W": best[:, :3], "C": best[:, 3]}


def full(net, data):
    """The gradient of all examples by a formula of its own."""
    r = data["x"] @ net.params["W"].T - net.params["C"] - data["t"]
    return {"W": r.T @ data["x"] / len(r), "C": -r.mean(axis=0)}


def distance(net, best):
    return sum(((net.params[name] - best[name]) ** 2).sum() for name in best) ** 0.5


def test_a_constant_lr_converges_with_sag_and_svrg_alone(problem):
    net, data, best = problem
    found = {}
    for name in ("sgd", "sag", "svrg"):
        net.init(rng(5))
        source, rule, g = {"sag": SAG, "svrg": SVRG, "sgd": SVRG}[name](net, **data), SGD(), rng(6)
        for t in range(2500):
            at = g.integers(60, size=4)
            if name == "svrg" and t % 30 == 0:
                source.anchor()
            if name == "sgd":
                net.forward(**{k: a[at] for k, a in data.items()})
                net.backward()
            rule.update(net.params, net.grads if name == "sgd" else source.gradients(at), 0.05)
        found[name] = distance(net, best)
    assert found["sag"] < 1e-8 and found["svrg"] < 1e-8 and found["sgd"] > 1e-2


def test_svrg_is_unbiased(problem):
    """The mean over all examples, each a batch of one, is the full gradient, away from the anchor too."""
    net, data, _ = problem
    source = SVRG(net, **data)
    with pytest.raises(RuntimeError, match="call anchor first"):
        source.gradients([0])
    source.anchor()
    same(source.gradients([7]), full(net, data), atol=1e-13)          # at the anchor there is no variance
    run(SGD(), net.params, 3)
    every = [source.gradients([n]) for n in range(60)]
    same({k: np.mean([e[k] for e in every], axis=0) for k in net.params}, full(net, data), atol=1e-13)
    assert source.losses.shape == (1,)


def test_sag_is_the_mean_of_its_table(problem):
    net, data, _ = problem
    source, table = SAG(net, **data), {}
    for at in ([3, 3, 5], [0, 5], [9]):
        found = source.gradients(at)
        net.forward(**{k: a[at] for k, a in data.items()})
        table.update(zip(at, net.per_example_grads("W")))
        np.testing.assert_allclose(found["W"], np.mean(list(table.values()), axis=0), atol=1e-14)
        run(SGD(), net.params, 1)
    for start in range(0, 60, 4):
        found = source.gradients(np.arange(start, start + 4))
    same(found, full(net, data), atol=1e-13)


@pytest.mark.parametrize("kind", [SAG, SVRG])
def test_indexed_gradients_resume(problem, kind):
    net, data, _ = problem
    one = kind(net, **data)
    one.anchor() if kind is SVRG else one.gradients([1, 2])
    two = kind(net, **data)
    two.state = one.state
    run(SGD(), net.params, 1)
    same(one.gradients([2, 3]), two.gradients([2, 3]))


def test_indexed_gradients_refuse(problem):
    net, data, _ = problem
    for bad in ([60], [-1], [0.5], [], [[1]]):
        with pytest.raises(ValueError, match="at: expected indices from 0 to 59"):
            SAG(net, **data).gradients(bad)
    with pytest.raises(ValueError, match="t: missing"):
        SAG(net, x=data["x"])
    with pytest.raises(ValueError, match="as many examples in each input"):
        SAG(net, x=data["x"], t=data["t"][:5])
    with pytest.raises(ValueError, match="above most_bytes"):
        small = SAG(net, **data)
        small.most_bytes = 100
        small.gradients([0])
    many = LEAST_SQUARES.with_index("r", parameters=True).compile(r=2, b=4, i=3, y=2)
    with pytest.raises(ValueError, match="program: expected one network"):
        SVRG(many, **data)
