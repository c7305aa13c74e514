"""Q1 Q2 Q4 Q5: a minibatch as a graph of B copies that share the parameters, and as one graph with an index.

    copies   L = (L_0 + ... + L_{B-1}) / B, where L_k is the model of example k and every copy reads the same W0, C0, W1, C1
    index    L[b] = the same model with a b on every value; the mean over b is taken where b is summed away
Source: a mathematician's five questions on minibatching and an expert's answers, a Q&A site, 2017. No published numbers.
"""

from __future__ import annotations

import functools
import gc
import re
import time
import tracemalloc
from dataclasses import dataclass, replace

import numpy as np

from ..backend import one_blas_thread
from ..equations import equations
from ..progress import last
from .backpropagation import differences, put
from .models import MLP
from .verdict import Verdict

CLAIMS = ("Q1", "Q2", "Q4", "Q5")

AVERAGED = equations("""
    h[j] = sigmoid(W0[j,i] * x[i] - C0[j])
    s[y] = W1[y,j] * h[j] - C1[y]
    ell  = cross_entropy(s[y], target)
    L    = mean(ell, over=b)
""")                                    # MLP with its mean over the batch written out

NORMALISED = equations("""
    a[j] = W0[j,i] * x[i]
    m[j] = mean(a[j], over=b)
    d[j] = a[j] - m[j]
    q[j] = d[j]**2
    v[j] = mean(q[j], over=b)
    z[j] = sqrt(v[j] + 0.001)
    h[j] = sigmoid(G[j] * d[j] / z[j] - C0[j])
    s[y] = W1[y,j] * h[j] - C1[y]
    L    = cross_entropy(s[y], target)
""")                                    # MLP with batch normalisation before the sigma

LARGEST, QUICK = 4096, 16               # for `costs`: the largest batch, and the most copies that are built behind a slider
SIZES = {"i": 64, "j": 32, "y": 10}


@dataclass(frozen=True)
class Config:
    B: tuple = (1, 2, 5)                # batches in which value and gradient are compared
    sizes: tuple = (1, 2, 4, 8, 16, 32, 64, 128)            # batches whose cost is measured; at least two above 1
    layers: tuple = ((64, 32), (784, 256))                  # (I, J) of the networks in which a batch is timed three ways
    batch: int = 64                     # examples in it
    rounds: int = 9                     # each gives one ratio; the 2nd and the 8th of 9 enclose the median with 96 %
    seed: int = 0


SMALL = Config(sizes=(1, 2, 4, 16), layers=((64, 32), (128, 64)), batch=16)     # fewer copies, and a smaller second network


@dataclass(frozen=True)
class Cost:
    """One graph at one batch size. Both passes call `calls` kernels. nbytes: of all arrays. held: bytes that Python holds for
    the graph and the program beside the arrays. compile: seconds from the equations to a program. step: seconds of an SGD
    step on one BLAS thread, a median. None: not measured; all else is then counted from smaller graphs, being linear in B."""

    B: int
    nodes: int
    edges: int
    leaves: int
    calls: int
    nbytes: int
    compile: float | None = None
    step: float | None = None
    held: int | None = None


@dataclass(frozen=True)
class Gain:
    """Median seconds of one SGD step on a batch: a Python loop over its examples, the graph of copies, the indexed graph.

    All three on one BLAS thread, so on one core (a core works on several numbers at once in each of them); every: the index
    on all threads. gain: loop / index, copied: copies / index,
    threads: index on one / on all, each as (low, median, high) of the rounds' ratios, an interval of about 96 % for the median.
    """

    i: int
    j: int
    B: int
    loop: float
    copies: float
    index: float
    every: float
    gain: tuple
    copied: tuple
    threads: tuple


@dataclass(frozen=True)
class Agreement:
    """Largest differences over the largest entry, float64, of one graph at one B; `gradient` is of all parameters and of x.

    copies: from the graph of copies. differences: from central differences of the mean of single examples' losses (the
    parameters alone). loops: from the same equations run as loops. batch: the index by which the graph is known to be a
    minibatch; None where nothing tells.
    """

    graph: str
    B: int
    batch: str | None
    value: float
    gradient: float
    differences: float
    loops: float


@dataclass(frozen=True)
class Result:
    """readers: parameter -> how many copies read it, in the graph of copies with the largest B of the config.

    coupled: ordered pairs of examples of which one's loss reads the other, (usual, with batch normalisation), same B.
    cross: edges between a copy and a value that copies share, the same two. normalised: batch normalisation as copies
    against as index, value and gradient. refusal: what asking for one example's gradient is then answered; "" if it is not.
    parted: how far two copies' W0 are apart after a step, when each copy had been given a W0 of its own.
    growth: (low, median, high) of step(copies) / step(index) at the largest of the sizes, as in Gain.
    """

    agreements: tuple = ()
    readers: dict | None = None
    coupled: tuple = ()
    cross: tuple = ()
    normalised: float = 0.0
    refusal: str = ""
    parted: float = 0.0
    costs: tuple = ()                   # (Cost of the copies, Cost of the indexed graph), one pair for each size
    growth: tuple = ()
    gains: tuple = ()
    verdicts: tuple = ()


def running(config=Config()):
    """Yield (fraction done, Result so far): the comparison first, then the costs, size by size, then the three ways."""
    c = config
    if sum(B > 1 for B in c.sizes) < 2 or c.rounds < 5:
        raise ValueError(f"sizes, rounds: expected two sizes above 1 and at least 5 rounds, got {c.sizes} and {c.rounds}")
    result = _compared(c)
    total = 2 * len(c.sizes) + 4 * len(c.layers)
    for k, B in enumerate(c.sizes):
        copies, index, growth = _measured(B, c.rounds, c.seed)
        result = replace(result, costs=(*result.costs, (copies, index)), growth=growth)
        yield 2 * (k + 1) / total, result
    for k, (i, j) in enumerate(c.layers):
        result = replace(result, gains=(*result.gains, _gain(c, i, j)))
        if k + 1 < len(c.layers):
            yield (2 * len(c.sizes) + 4 * (k + 1)) / total, result
    yield 1.0, replace(result, verdicts=_verdicts(result, c))


def run(config=Config()):
    """`running` to its end."""
    return last(running(config))


# ---------------------------------------------------------------- the graphs


def normalised_copies(B):
    """Batch normalisation as B copies: they meet in the mean m and the variance v."""
    add = lambda term: " + ".join(term % k for k in range(B))
    shared = [f"m[j] = ({add('a_%d[j]')}) / {B}", f"v[j] = ({add('q_%d[j]')}) / {B}", f"L = ({add('L_%d')}) / {B}"]
    lines = str(NORMALISED).splitlines()
    shared += [line for line in lines if line.startswith("z")]
    each = [line for line in lines if not line.startswith(("m", "v", "z"))]
    return equations("\n".join(shared + [re.sub(r"\b([adqxhsL]|target)\b", rf"\1_{k}", line) for k in range(B) for line in each]))


def parameters_copied(B):
    """The wrong graph: every copy has parameters of its own, W0_0, W0_1, ..., so it is B networks and no minibatch."""
    own = re.compile(rf"\b({'|'.join(MLP.parameters)})\b")
    copy = lambda line: re.match(r"\w+_(\d+)", line)
    lines = str(MLP.unrolled(B)).splitlines()
    return equations("\n".join(own.sub(rf"\1_{copy(line)[1]}", line) if copy(line) else line for line in lines))


GRAPHS = {"copies": MLP.unrolled, "index": lambda B: MLP.with_index("b"), "averaged": lambda B: AVERAGED.with_index("b"),
          "parameters copied": parameters_copied, "normalised copies": normalised_copies,
          "normalised": lambda B: NORMALISED.with_index("b")}           # name -> the equations for B examples


def dealt(**arrays):
    """Arrays with one row for each example, as inputs of the copies: x[b,i] -> x_0[i], x_1[i], ..."""
    return {f"{name}_{k}": a[k] for name, a in arrays.items() for k in range(len(a))}


@dataclass(frozen=True)
class Node:
    """name with its indices; kind: input, parameter or value; copy: the example it belongs to, None for shared and indexed ones;
    batched: whether it bears a b. column: how deep it is, inputs 0. row: copy 0 is 0, parameters lie above at -1."""

    name: str
    kind: str
    copy: int | None
    batched: bool
    column: float
    row: float


@dataclass(frozen=True)
class Picture:
    """nodes: Node by name without indices. edges: (from, to). counts: as in Cost. pairs, cross: see Result.coupled and .cross."""

    nodes: dict
    edges: tuple
    counts: dict
    pairs: int
    cross: int


@functools.lru_cache(maxsize=64)
def picture(graph, B):
    """One of GRAPHS for B examples, laid out in layers, to be drawn; B up to 6 is readable."""
    if graph not in GRAPHS:
        raise ValueError(f"graph: expected one of {', '.join(GRAPHS)}, got {graph!r}")
    g = GRAPHS[graph](B).graph
    edges = tuple(dict.fromkeys((r.name, n.out.name) for n in g.nodes for r in n.reads))
    depth, copy = {}, {name: _copy(name) for name in g.shapes}
    own = lambda name: copy[name] is not None or "b" in g.shapes[name]
    for n in g.nodes:
        depth[n.out.name] = 1 + max(depth.get(r.name, 0) for r in n.reads)
    rows = 1 + max((k for k in copy.values() if k is not None), default=0)
    meeting = set()                                     # what copies share and read: m, v, z, and what these are computed from
    for a, b in sorted(edges, key=lambda edge: -depth[edge[1]]):
        if a in depth and not own(a) and (own(b) or b in meeting):
            meeting.add(a)
    nodes = {}
    for name, indices in g.shapes.items():
        kind = "value" if name in depth else "parameter" if name in g.roles.parameters else "input"
        reader = min((depth[b] for a, b in edges if a == name), default=1)
        row = copy[name] or 0 if own(name) else rows if name in meeting else (rows - 1) / 2
        column = depth.get(name, reader - 1)
        if kind == "parameter":
            beside = [p for p in g.roles.parameters if min(depth[b] for a, b in edges if a == p) == reader]
            column, row = reader - 1 + (beside.index(name) + 1) / (len(beside) + 1), -1
        elif kind == "input" and reader > 1:
            column, row = reader - 0.5, row + 0.35                                  # beside the line into its reader, not on it
        nodes[name] = Node(f"{name}[{','.join(indices)}]" if indices else name, kind, copy[name], "b" in indices, column, row)
    cross = sum(a in meeting or b in meeting for a, b in edges if own(a) or own(b))
    return Picture(nodes, edges, g.counts, _pairs(g, copy), cross)


def _copy(name):
    found = re.fullmatch(r"[A-Za-z0-9]+_(\d+)(~\d*)?", name)
    return int(found[1]) if found else None


def _pairs(graph, copy):
    """Ordered pairs of different examples of which one's loss depends on the other's inputs, in a graph of copies."""
    behind = {name: {copy[name]} for name in graph.roles.inputs}
    for n in graph.nodes:
        behind[n.out.name] = set().union(*(behind.get(r.name, set()) for r in n.reads))
    return sum(len(seen - {copy[name]}) for name, seen in behind.items() if re.fullmatch(r"L_\d+", name))


# ---------------------------------------------------------------- value and gradient


def _compared(c):
    with one_blas_thread():
        agreements = tuple(a for B in c.B for a in _agreements(c, B))
        normalised, refusal = _normalised(c)
    B = max(c.B)
    plain, coupled = picture("copies", B), picture("normalised copies", B)
    readers = {p: len({plain.nodes[b].copy for a, b in plain.edges if a == p} - {None}) for p in MLP.parameters}
    return Result(agreements, readers, (plain.pairs, coupled.pairs), (plain.cross, coupled.cross), normalised, refusal, _parted(c))


def _data(c, B, model=MLP, i=5, j=4, y=3):
    rng, sizes = np.random.default_rng(c.seed), {"i": i, "j": j, "y": y}
    params = {name: rng.normal(size=[sizes[k] for k in indices]) for name, indices in model.parameters.items()}
    return params, {"x": rng.normal(size=(B, i)), "target": rng.integers(0, y, B)}, sizes


def _gradients(graph, B, params, inputs, sizes):
    """(mean loss, gradients of that mean by the parameters and by x[b,i]), by the one engine, for one of GRAPHS."""
    model = GRAPHS[graph](B)
    net = model.compile(dtype="float64", **({"b": B} if _batched(model) else {}), **sizes)
    put(net, params)
    L = net.forward(**(inputs if _batched(model) else dealt(**inputs)))
    net.backward()
    return float(L.mean()), _of_the_mean(model, B, {**net.grads}, params)


def _of_the_mean(model, B, g, params):
    """x.grad is per example where the engine knows b, and already of the mean where it does not."""
    x = np.array([g[f"x_{k}"] for k in range(B)]) if not _batched(model) else g["x"] / (B if model.graph.batch else 1)
    return {**{name: g[name] for name in params}, "x": x}


def _batched(model):
    return any("b" in indices for indices in model.inputs.values())


def _agreements(c, B):
    params, inputs, sizes = _data(c, B)
    one = MLP.compile(dtype="float64", **sizes)

    def mean():
        put(one, params)
        return sum(float(one.forward(x=x, target=t)) for x, t in zip(inputs["x"], inputs["target"])) / B
    L, true = mean(), differences(mean, params)
    first = _gradients("copies", B, params, inputs, sizes)
    for graph in ("copies", "index", "averaged"):
        value, gradients = _gradients(graph, B, params, inputs, sizes)
        model = GRAPHS[graph](B)
        _, looped = model.run_as_loops(params, **(inputs if _batched(model) else dealt(**inputs)))
        yield Agreement(graph, B, model.graph.batch, abs(value - first[0]) / abs(L), _off(gradients, first[1]),
                        max(_off({n: gradients[n] for n in params}, true), abs(value - L) / abs(L)),
                        _off(_of_the_mean(model, B, looped, params), gradients))


def _normalised(c):
    """(how far batch normalisation as copies is from the indexed one, what it answers to a question for one example)."""
    params, inputs, sizes = _data(c, max(c.B), NORMALISED)
    (L, copies), (L_index, index) = (_gradients(g, max(c.B), params, inputs, sizes) for g in ("normalised copies", "normalised"))
    net = NORMALISED.with_index("b").compile(b=max(c.B), **sizes)
    net.forward(**inputs)
    try:
        net.per_example_grads("W0")
        return max(_off(index, copies), abs(L - L_index) / abs(L)), ""
    except ValueError as error:
        return max(_off(index, copies), abs(L - L_index) / abs(L)), str(error)


def _parted(c):
    params, inputs, sizes = _data(c, 2)
    net = parameters_copied(2).compile(dtype="float64", **sizes)
    put(net, {f"{name}_{k}": a for name, a in params.items() for k in range(2)})
    net.step(1.0, **dealt(**inputs))
    return float(np.abs(net.params["W0_0"] - net.params["W0_1"]).max())


def _off(a, b):
    """The largest difference over the largest entry, of arrays by name; inf where b is all zeros."""
    size = max(float(np.abs(v).max()) for v in b.values())
    return max(float(np.abs(a[name] - v).max()) for name, v in b.items()) / size if size else float("inf")


# ---------------------------------------------------------------- cost


def costs(B, seed=0):
    """{"copies": Cost, "index": Cost} at 64-32-10, measured now; above QUICK the copies are not built but `counted`."""
    if B not in range(1, LARGEST + 1):
        raise ValueError(f"B: expected 1 to {LARGEST} examples, got {B!r}")
    copies = _cost("copies", B, 3, seed)[0] if B <= QUICK else counted(B)
    return {"copies": copies, "index": _cost("index", B, 5, seed)[0]}


@functools.cache
def _built(B):
    model = MLP.unrolled(B)
    net = model.compile(**SIZES)
    return {**model.graph.counts, "calls": net.calls, "nbytes": net.nbytes}


def counted(B):
    """The Cost of B copies, B >= 2, as 2 copies and B - 2 times what a third adds: every count is linear in B from 2 on."""
    two, three = _built(2), _built(3)
    return Cost(B, **{name: two[name] + (B - 2) * (three[name] - two[name]) for name in two})


def _cost(graph, B, rounds, seed):
    """(Cost, the function that makes one step) of one graph at 64-32-10, float32."""
    start = time.perf_counter()
    model, net = _compiled(graph, B, SIZES)
    compiling = time.perf_counter() - start
    step = _step(net, model, B, seed)
    with one_blas_thread():
        step()                                          # binds and warms
        took = float(np.median([_seconds(step) for _ in range(rounds)]))
    return Cost(B, **model.graph.counts, calls=net.calls, nbytes=net.nbytes, compile=compiling, step=took), step


def _compiled(graph, B, sizes):
    model = GRAPHS[graph](B)
    return model, model.compile(**({"b": B} if _batched(model) else {}), **sizes)


def _step(net, model, B, seed, lr=0.01):
    rng = np.random.default_rng(seed)
    net.init(rng)
    inputs = {"x": rng.random((B, net.sizes["i"]), dtype=np.float32), "target": rng.integers(0, net.sizes["y"], B)}
    inputs = inputs if _batched(model) else dealt(**inputs)
    return lambda: net.step(lr, **inputs)


def _measured(B, rounds, seed):
    """(Cost of the copies, Cost of the indexed graph, the ratio of their steps), side by side."""
    (copies, slow), (index, fast) = (_cost(graph, B, rounds, seed) for graph in ("copies", "index"))
    with one_blas_thread():
        ratios = [_seconds(slow) / _seconds(fast, 3) for _ in range(rounds)]
    if B <= 16:                                         # watching memory makes the work several times slower
        copies, index = (replace(cost, held=_held(graph, B)) for graph, cost in zip(("copies", "index"), (copies, index)))
    return copies, index, _interval(ratios)


def _held(graph, B):
    """The bytes that Python holds for a graph and its program, beside the arrays."""
    gc.freeze()                                         # so that collecting looks at nothing older than this
    tracemalloc.start()
    try:
        _, net = _compiled(graph, B, SIZES)             # the program keeps its graph
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - net.nbytes
    finally:
        tracemalloc.stop()
        gc.unfreeze()


def _gain(c, i, j):
    """One step on the same batch three ways, a round of all after another, so that a busy machine slows them alike."""
    sizes, B = {"i": i, "j": j, "y": 10}, c.batch
    (copied, copies), (indexed, index) = (_compiled(graph, B, sizes) for graph in ("copies", "index"))
    ways = [_loop(B, sizes, c.seed), _step(copies, copied, B, c.seed), _step(index, indexed, B, c.seed)]
    rounds = []
    for _ in range(c.rounds + 1):                       # the first, which warms, is not counted
        with one_blas_thread():
            alone = [_seconds(ways[0]), _seconds(ways[1]), _seconds(ways[2], 3)]
        ways[2]()                                       # wakes the other threads
        rounds.append((*alone, _seconds(ways[2], 3)))
    t = np.array(rounds[1:])
    ratios = (_interval(t[:, a] / t[:, b]) for a, b in ((0, 2), (1, 2), (2, 3)))
    return Gain(i, j, B, *map(float, np.median(t, axis=0)), *ratios)


def _loop(B, sizes, seed):
    """One SGD step by a Python loop over examples, without any graph of a batch: gradients are added up and averaged."""
    rng = np.random.default_rng(seed)
    one = MLP.compile(**sizes).init(rng)
    x, target = rng.random((B, sizes["i"]), dtype=np.float32), rng.integers(0, sizes["y"], B)
    total = {name: np.empty_like(p) for name, p in one.params.items()}

    def step():
        for g in total.values():
            g.fill(0)
        for b in range(B):
            one.forward(x=x[b], target=target[b])
            one.backward()
            grads = one.grads
            for name, g in total.items():
                g += grads[name]
        for name, g in total.items():
            one.params[name] -= 0.01 / B * g
    return step


def _seconds(call, n=1):
    """Seconds of a call after n - 1 others: the first alone would find the caches cold, which a batch of calls would not."""
    took = 0.0
    for _ in range(n):
        start = time.perf_counter()
        call()
        took = time.perf_counter() - start
    return took


def _interval(ratios):
    """(low, median, high): the second smallest and the second largest enclose the median of 9 with 96 %."""
    ordered = sorted(map(float, ratios))
    return ordered[1], float(np.median(ordered)), ordered[-2]


# ---------------------------------------------------------------- verdicts


def _verdicts(r, c):
    same = all(max(a.value, a.gradient) < 1e-10 for a in r.agreements)
    return _q1(r, c, same), _q2(r), _q4(r), _q5(r, same)


def _q1(r, c, same):
    B = max(c.B)
    if not same or set(r.readers.values()) != {B} or r.coupled[0] or r.normalised > 1e-10 or r.parted == 0:
        return Verdict("Q1", "does not hold here", "the graph of copies and the indexed graph differ in value or gradient, "
                       "or the copies do not share what they should.")
    same = "copies that share the parameters, and the mean of their losses, are the indexed graph in value and gradient"
    if r.coupled[1] == 0 or not r.refusal:
        return Verdict("Q1", "holds", f"{same}.")
    return Verdict("Q1", "holds when", f"no value inside is averaged over the batch: then {same}. "
                   f"Batch normalisation couples each of {B} examples with every other: {r.coupled[1]} pairs.")


def _q2(r):
    """A clock: a gain counts from 2x on, by the low end of its interval."""
    gained, B = [g for g in r.gains if g.gain[0] > 2], r.gains[0].B
    if not gained:
        return Verdict("Q2", "does not hold here", f"on one thread, a batch of {B} gains less than 2x over a loop on its examples.")
    where = " and ".join(f"{g.i}-{g.j}-10" for g in gained)
    threads = "adds to it" if all(g.threads[0] > 1 for g in r.gains) else "does not clearly add to it in each"
    return Verdict("Q2", "holds" if len(gained) == len(r.gains) else "holds when",
                   f"there is a gain without parallel cores: on one thread, a step on {B} examples at once is more than twice as fast "
                   f"as a loop over them, at {where}; using all cores {threads}.")


def _q4(r):
    right = all(a.differences < 1e-6 and a.loops < 1e-10 for a in r.agreements)
    if right and all(a.batch is None for a in r.agreements if a.graph != "index"):
        return Verdict("Q4", "holds", "nothing tells the differentiation that the copies, or a graph whose last line is a mean, are "
                       "a minibatch; it finds the batch's average gradient, that of central differences.")
    return Verdict("Q4", "does not hold here", "the differentiation is told of the batch, or it misses central differences or the loops.")


def _q5(r, same):
    """Counts are exact; the clock's ratio has a wide margin: 3x by the low end of its interval."""
    if not same:
        return Verdict("Q5", "does not hold here", "two ways to a combined graph differ in value or gradient.")
    (few, few_index), (many, index) = next(pair for pair in r.costs if pair[0].B > 1), r.costs[-1]
    grows = many.calls > few.calls and many.nodes > few.nodes and (index.calls, index.nodes) == (few_index.calls, few_index.nodes)
    if grows and r.growth[0] > 3:
        return Verdict("Q5", "holds when", "only value and gradient count, which are equal to rounding. The cost is not: for "
                       f"{many.B} examples the copies have {many.nodes} nodes and {many.calls} calls, the index {index.nodes} and "
                       f"{index.calls}, and their step takes more than 3x as long.")
    return Verdict("Q5", "holds", "value and gradient are equal, and the copies do not clearly cost more than the index.")
