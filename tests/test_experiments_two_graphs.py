"""Lesson 02: copies against an index. The verdicts stand over other seeds, and turn when what they look at is broken."""

import numpy as np
import pytest
from models import lazy_torch as torch
from verdicts import labels, stand

import mbcore as mb
from mbcore import kernels
from mbcore.experiments import agreement, graph_costs, two_graphs
from mbcore.experiments.agreement import gradients, random_data, value_and_gradient
from mbcore.experiments.backpropagation import put
from mbcore.experiments.graph_costs import Cost, costs, counted, curves
from mbcore.experiments.graphs import GRAPHS, NORMALISED, batched, dealt, parameters_copied
from mbcore.experiments.models import MLP
from mbcore.experiments.pictures import picture
from mbcore.experiments.three_ways import Gain
from mbcore.experiments.two_graphs import SMALL

FOUND = {"Q1": "holds when", "Q2": "holds", "Q4": "holds", "Q5": "holds when"}


def gain(low, i=64, j=32):
    return Gain(i, j, 16, 1.0, 1.0, 1.0, 1.0, (low, low + 1, low + 2), (1.0, 1.0, 1.0), (0.9, 1.0, 1.1))


@pytest.fixture
def no_clock(monkeypatch):
    """The clock's results fed: copies 5x slower, a gain of 10x; graphs and counts stay real."""
    index = {B: Cost(B, 4, 9, 6, 16, 1000 * B, 0.001, 1e-4) for B in SMALL.sizes}
    monkeypatch.setattr(two_graphs, "measured", lambda B, rounds, seed: (counted(B), index[B], (5.0, 6.0, 7.0)))
    monkeypatch.setattr(two_graphs, "gained", lambda i, j, B, rounds, seed: gain(10.0, i, j))


def test_two_graphs_stand():
    assert stand(two_graphs.run, SMALL) == FOUND
    assert tuple(FOUND) == two_graphs.CLAIMS


def test_running_goes_to_one_with_parts_on_the_way(no_clock):
    seen = list(two_graphs.running(SMALL))
    fractions = [f for f, _ in seen]
    assert fractions == sorted(set(fractions)) and fractions[-1] == 1
    assert all(r.verdicts == () and r.agreements for _, r in seen[:-1]) and len(seen[0][1].costs) == 1
    assert labels(seen[-1][1]) == FOUND


# ---------------------------------------------------------------- the verdicts turn


def turned():
    found = labels(two_graphs.run(SMALL))
    return {c: label for c, label in found.items() if label != FOUND[c]}


def test_a_sum_is_no_mean(no_clock, monkeypatch):
    monkeypatch.setitem(GRAPHS, "copies", lambda B: mb.equations(str(MLP.unrolled(B)).replace(f" / {B}", "")))
    picture.cache_clear()
    assert turned() == dict.fromkeys(("Q1", "Q4", "Q5"), "does not hold here")


@pytest.fixture(autouse=True)
def pictures_of_the_real_graphs():
    picture.cache_clear()
    yield
    picture.cache_clear()


def test_copies_that_do_not_all_read_a_parameter(no_clock, monkeypatch):
    """The same value, as C0 is added in another way, but one copy no longer reads it."""
    split = lambda B: mb.equations("c[j] = C0[j]\n" + str(MLP.unrolled(B)).replace("x_0[i] - C0[j]", "x_0[i] - c[j]"))
    monkeypatch.setitem(GRAPHS, "copies", split)
    assert turned() == {"Q1": "does not hold here"}


def test_without_an_exception_q1_holds_plainly(no_clock, monkeypatch):
    for name in ("normalised", "normalised copies"):
        monkeypatch.setitem(GRAPHS, name, GRAPHS["index" if name == "normalised" else "copies"])
    monkeypatch.setattr(agreement, "NORMALISED", MLP)
    assert turned() == {"Q1": "holds"}


def test_parameters_that_never_part_are_no_wrong_graph(no_clock, monkeypatch):
    monkeypatch.setattr(two_graphs, "parted", lambda seed: 0.0)
    assert turned() == {"Q1": "does not hold here"}


def test_a_wrong_derivative_is_seen_by_differences(no_clock, monkeypatch):
    """Both graphs are wrong alike, so Q1 stands; the loops, which keep the right rule, and the differences disagree."""
    monkeypatch.setitem(kernels.MAPS, "sigmoid", (kernels.MAPS["sigmoid"][0], lambda x, y, g, out: np.multiply(g, 0.2, out=out)))
    assert turned() == {"Q4": "does not hold here"}


def test_a_graph_that_must_be_told(no_clock, monkeypatch):
    monkeypatch.setitem(GRAPHS, "averaged", GRAPHS["index"])
    assert turned() == {"Q4": "does not hold here"}


@pytest.mark.parametrize("lows, label", [((10.0, 3.0), "holds"), ((10.0, 1.5), "holds when"), ((1.9, 1.0), "does not hold here")])
def test_q2_turns_with_the_gains(no_clock, monkeypatch, lows, label):
    fed = iter([gain(low) for low in lows])
    monkeypatch.setattr(two_graphs, "gained", lambda i, j, B, rounds, seed: next(fed))
    assert labels(two_graphs.run(SMALL))["Q2"] == label


@pytest.mark.parametrize("copies, growth", [(counted, (1.0, 5.0, 9.0)), (lambda B: Cost(B, 4, 9, 6, 16, 0), (5.0, 6.0, 7.0))])
def test_q5_turns_where_copies_cost_no_more(no_clock, monkeypatch, copies, growth):
    """By the clock, or by the counts."""
    monkeypatch.setattr(two_graphs, "measured", lambda B, rounds, seed: (copies(B), Cost(B, 4, 9, 6, 16, 0), growth))
    assert turned() == {"Q5": "holds"}


# ---------------------------------------------------------------- oracles


@pytest.mark.parametrize("B", [2, 4, 17])
def test_counted_is_what_a_real_graph_has(B):
    model = MLP.unrolled(B)
    net, found = model.compile(**graph_costs.SIZES), counted(B)
    assert {n: getattr(found, n) for n in model.graph.counts} == model.graph.counts
    assert (found.calls, found.nbytes) == (net.calls, net.nbytes)
    assert (found.nodes, found.edges, found.leaves) == (4 * B + 2, 10 * B + 1, 2 * B + 4)      # h~ h s L each, and a sum and a mean


@pytest.mark.parametrize("graph, normal", [("copies", False), ("averaged", False), ("normalised copies", True), ("normalised", True)])
def test_gradients_against_pytorch(graph, normal):
    params, inputs, sizes = random_data(5, 0, NORMALISED if normal else MLP)
    value, found = gradients(graph, 5, params, inputs, sizes)
    p = {n: torch.tensor(a, requires_grad=True) for n, a in {**params, "x": inputs["x"]}.items()}
    a = p["x"] @ p["W0"].T
    if normal:
        a = p["G"] * (a - a.mean(0)) / torch.sqrt(a.var(0, correction=0) + 0.001)
    s = torch.sigmoid(a - p["C0"]) @ p["W1"].T - p["C1"]
    L = torch.nn.functional.cross_entropy(s, torch.tensor(inputs["target"]))
    L.backward()
    assert value == pytest.approx(L.item(), rel=1e-12)
    for name, leaf in p.items():
        np.testing.assert_allclose(found[name], leaf.grad.numpy(), atol=1e-12)


def test_own_parameters_get_their_own_share():
    """With a W0 for each copy, W0_k.grad is (1/B) d L_k / d W0; their sum is the shared gradient."""
    params, inputs, sizes = random_data(3, 0)
    net = parameters_copied(3).compile(dtype="float64", **sizes)
    put(net, {f"{n}_{k}": a for n, a in params.items() for k in range(3)})
    net.forward(**dealt(**inputs))
    net.backward()
    shared = gradients("index", 3, params, inputs, sizes)[1]
    np.testing.assert_allclose(sum(net.grads[f"W0_{k}"] for k in range(3)), shared["W0"], rtol=1e-12)


# ---------------------------------------------------------------- pictures and costs


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("B", [1, 2, 6])
def test_a_picture_is_the_graph_laid_out(graph, B):
    """A box for each line, input and parameter of the equations; left to right is copy 0, 1, ...; top to bottom the order of computing."""
    p, model = picture(graph, B), GRAPHS[graph](B)
    assert set(p.nodes) == {*model.inputs, *model.parameters, *model.computed}
    assert p.counts == {"nodes": len(model.statements), "edges": len(p.edges), "leaves": len(model.inputs) + len(model.parameters)}
    assert len({(n.depth, n.row) for n in p.nodes.values()}) == len(p.nodes)           # nothing hides another
    assert all(p.nodes[a].depth < p.nodes[b].depth for a, b in p.edges)
    assert all((n.row == -1) == (n.kind == "parameter" and n.copy is None) for n in p.nodes.values())
    assert all(abs(n.row - n.copy) < 0.5 for n in p.nodes.values() if n.copy is not None)
    assert all(n.batched == ("b" in n.label) for n in p.nodes.values())
    assert p.counts["nodes"] < model.graph.counts["nodes"]                              # the program cuts some lines into several


def test_edges_are_who_stands_in_whose_line():
    assert set(picture("normalised", 3).edges) == {
        ("W0", "a"), ("x", "a"), ("a", "m"), ("a", "d"), ("m", "d"), ("d", "v"), ("G", "h"), ("d", "h"), ("v", "h"), ("C0", "h"),
        ("W1", "s"), ("h", "s"), ("C1", "s"), ("s", "ell"), ("target", "ell"), ("ell", "L")}


def test_what_the_first_loss_reads():
    own = {"x_0", "h_0", "s_0", "L_0", "target_0"}
    assert picture("copies", 3).read == own | {"W0", "C0", "W1", "C1"}
    assert picture("parameters copied", 3).read == own | {"W0_0", "C0_0", "W1_0", "C1_0"}
    everything = picture("normalised copies", 3)
    assert set(everything.nodes) - everything.read == {f"{name}_{k}" for name in ("h", "s", "L", "target") for k in (1, 2)} | {"L"}


@pytest.mark.parametrize("B", [1, 2, 5])
def test_only_batch_normalisation_crosses(B):
    assert (picture("copies", B).pairs, picture("parameters copied", B).pairs) == (0, 0)
    assert picture("normalised copies", B).pairs == B * (B - 1)
    assert (picture("copies", B).cross, picture("normalised copies", B).cross) == (0, 4 * B)     # a into m, m into d, d into v, v into h


def test_costs_of_both_graphs():
    few, many = costs(3), costs(300)
    assert few["copies"].step > 0 and few["copies"].compile > 0 and few["index"].step > 0
    assert many["copies"].step is None and many["copies"].nodes == 1202 and many["index"].calls == few["index"].calls


@pytest.mark.parametrize("B", [0, 4097, 2.5])
def test_costs_refuse_a_bad_batch(B):
    with pytest.raises(ValueError, match="B: expected 1 to 4096"):
        costs(B)


def test_bad_input_is_refused_by_name():
    with pytest.raises(ValueError, match="graph: expected one of copies"):
        picture("both", 2)
    with pytest.raises(ValueError, match="sizes, rounds: expected two sizes"):
        two_graphs.run(two_graphs.Config(sizes=(1, 2)))


def test_curves_are_the_costs():
    """What a panel draws without a clock: counts of real graphs, and bytes to which Python's own are added."""
    for B in (1, 2, 16):
        real, at = costs(B), curves()["copies"]["B"].index(B)
        for side, cost in real.items():
            found = {name: values[at] for name, values in curves()[side].items()}
            assert (found["B"], found["nodes"], found["calls"]) == (B, cost.nodes, cost.calls)
            assert cost.nbytes < found["bytes"] < cost.nbytes + (B if side == "copies" else 1) * 60_000
    last = {side: curves()[side]["bytes"][-1] for side in curves()}
    assert last["copies"] > 5 * last["index"] > 5 * 4_000_000


@pytest.mark.parametrize("B", [1, 2, 6])
def test_values_in_the_picture_agree(B):
    """Shared, indexed, or with parameters of their own: one L, and one gradient after the B own ones are added."""
    plain = [value_and_gradient(graph, B) for graph in ("copies", "index", "averaged", "parameters copied", "parameters indexed")]
    np.testing.assert_allclose(plain, [plain[0]] * 5, rtol=1e-12)
    np.testing.assert_allclose(value_and_gradient("normalised copies", B), value_and_gradient("normalised", B), rtol=1e-9, atol=1e-12)


def test_each_graph_knows_whether_it_has_a_b():
    assert {name for name in GRAPHS if batched(GRAPHS[name](2))} == {"index", "averaged", "parameters indexed", "normalised"}
