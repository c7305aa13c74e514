"""The graph printed as loops: what the slides write, and what `reference` runs.

The grammar, one loop a line:   for b,i,j: target[indices] += expression
A target that no line has written before starts at 0. An index may be a label: P.grad[b,target[b]].
"""

from __future__ import annotations

from dataclasses import dataclass

from .derivatives import Accumulate, backward, grad
from .graph import Contraction, Loss, Map, Reduction, Softmax
from .notation import RESERVED, Call, Number, Power, Product, Ref, Sum, parse, rebuilt

# d out / d arg, in terms of the argument x and the result y
DERIVATIVES = {
    "sigmoid": "y * (1 - y)",
    "tanh": "1 - y**2",
    "exp": "y",
    "log": "1 / x",
    "sqrt": "0.5 / y",
    "log_sigmoid": "sigmoid(-x)",
    "softplus": "sigmoid(x)",
}


@dataclass(frozen=True)
class Loop:
    over: tuple
    target: Ref
    expression: object
    sign: int = 1

    def __str__(self):
        head = f"for {','.join(self.over)}: " if self.over else ""
        return f"{head}{self.target} {'+' if self.sign > 0 else '-'}= {self.expression}"


def forward_loops(graph):
    """The forward pass, a list of Loops: a contraction adds up, everything else is one line an
    element.
    """
    return [loop for node in graph.nodes for loop in _forward(node, graph)]


def backward_loops(graph, mean_in=("parameters",)):
    """The backward pass, a list of Loops, from L.grad down; 1/B stands where `mean_in` puts it."""
    seed = ((graph.batch, -1),) if "loss" in mean_in and graph.batch else ()
    L = Ref("L", graph.shapes["L"]) if "L" in graph.shapes else None
    steps = backward(graph, mean_in=mean_in)
    start = Loop(_order(graph, L.indices), grad(L), _scaled(1.0, seed, ()))
    return [start, *(loop for step in steps for loop in _backward(step, graph))]


def _order(graph, *parts):
    """Replicas, batch, then the way the data go, inputs before what they feed: for b,i,j as on the
    slides.
    """
    every = {i for indices in parts for i in indices if isinstance(i, str)}
    way = (*graph.replicas, graph.batch, *(i for indices in graph.shapes.values() for i in indices))
    flow = (*way, *(i for node in graph.nodes for r in node.reads for i in r.indices))
    return tuple(dict.fromkeys(i for i in flow if i in every))


def size_of(index):
    """The number of values an index takes, as printed: B for b, size(i) for others (J may be a
    value's name).
    """
    return Ref(index.upper() if index.upper() in RESERVED else f"size({index})")


def _scaled(coefficient, powers, factors):
    front = [] if coefficient == 1 and (factors or powers) else [Number(coefficient)]
    for index, power in powers:
        size = size_of(index)
        front.append(size if power == 1 else Product((Number(1.0), Power(size, power))))
    every = (*front, *factors)
    return every[0] if len(every) == 1 else Product(every)


def _forward(node, graph):
    out = node.out
    match node:
        case Contraction():
            for t in node.terms:
                number, sign = abs(t.coefficient), 1 if t.coefficient >= 0 else -1
                yield Loop(
                    _order(graph, out.indices, *(f.indices for f in t.factors)),
                    out,
                    _scaled(number, t.powers, t.factors),
                    sign,
                )
        case Map():
            value = (
                Power(node.arg, node.exponent)
                if node.function == "power"
                else Call(node.function, (node.arg,))
            )
            yield Loop(_order(graph, out.indices), out, value)
        case Reduction():  # Z = number * sum of exp(arg) or arg^2, then its log or square root
            each, outer = (
                (Call("exp", (node.arg,)), "log")
                if node.function == "logsumexp"
                else (Power(node.arg, 2.0), "sqrt")
            )
            Z = Ref(out.name + ".Z", out.indices)
            yield Loop(
                _order(graph, node.arg.indices),
                Z,
                _scaled(node.number.coefficient, node.number.powers, (each,)),
            )
            yield Loop(_order(graph, out.indices), out, Call(outer, (Z,)))
        case Softmax():
            yield from _softmax(node.arg, out, (node.over,), graph, node.log)
        case Loss():
            yield from _loss(node, graph)


def _softmax(scores, out, over, graph, log=False):
    """Z[b] += exp(s[b,y]), then out[b,y] = exp(s[b,y]) / Z[b], or its logarithm s[b,y] - log(Z[b]).
    """
    rest = tuple(i for i in scores.indices if i not in over)
    Z, every = Ref(out.name + ".Z", rest), _order(graph, scores.indices)
    yield Loop(every, Z, Call("exp", (scores,)))
    share = (
        Sum(((1, scores), (-1, Call("log", (Z,)))))
        if log
        else Product((Call("exp", (scores,)), Power(Z, -1)))
    )
    yield Loop(every, Ref(out.name, scores.indices), share)


def _at_label(ref, node):
    return Ref(ref.name, tuple(node.target if i in node.over else i for i in ref.indices))


def _loss(node, graph):
    out, scores, target = node.out, node.scores, node.target
    every = _order(graph, scores.indices)
    if node.kind == "squared_error":
        yield Loop(every, out, Product((Number(0.5), Power(Sum(((1, scores), (-1, target))), 2.0))))
        return
    P = scores
    if node.kind == "cross_entropy":
        P = Ref(out.name + ".P", scores.indices)
        yield from _softmax(scores, P, node.over, graph)
    if node.labels:
        yield Loop(_order(graph, out.indices), out, Call("log", (_at_label(P, node),)), -1)
    else:
        yield Loop(every, out, Product((target, Call("log", (P,)))), -1)


def _backward(step, graph):
    if isinstance(step, Accumulate):
        number, sign = abs(step.term.coefficient), 1 if step.term.coefficient >= 0 else -1
        over = _order(graph, step.target.indices, *(f.indices for f in step.term.factors))
        yield Loop(over, step.target, _scaled(number, step.term.powers, step.term.factors), sign)
        return
    node, g = step.node, grad(step.node.out)
    scaled = lambda *factors: _scaled(1.0, step.powers, factors)
    match node:
        case Map():
            yield Loop(_order(graph, node.out.indices), step.target, scaled(g, _derivative(node)))
        case Reduction():
            Z, number = Ref(node.out.name + ".Z", node.out.indices), Number(node.number.coefficient)
            slope = (
                (Call("exp", (node.arg,)), Power(Z, -1))
                if node.function == "logsumexp"
                else (node.arg, Power(node.out, -1))
            )
            powers = dict(step.powers)
            for index, power in node.number.powers:
                powers[index] = powers.get(index, 0) + power
            powers = tuple((i, p) for i, p in powers.items() if p)
            yield Loop(
                _order(graph, node.arg.indices),
                step.target,
                _scaled(number.value, powers, (g, *slope)),
            )
        case Softmax(log=True):
            total = Ref(
                node.out.name + ".total", tuple(i for i in node.out.indices if i != node.over)
            )
            every = _order(graph, node.out.indices)
            yield Loop(every, total, g)
            share = Product((Call("exp", (node.out,)), total))
            yield Loop(every, step.target, scaled(Sum(((1, g), (-1, share)))))
        case Softmax():
            dot = Ref(node.out.name + ".dot", tuple(i for i in node.out.indices if i != node.over))
            every = _order(graph, node.out.indices)
            yield Loop(every, dot, Product((g, node.out)))
            yield Loop(every, step.target, scaled(node.out, Sum(((1, g), (-1, dot)))))
        case Loss():
            yield from _loss_backward(node, g, step, graph, scaled)


def _loss_backward(node, g, step, graph, scaled):
    scores, target, every = node.scores, node.target, _order(graph, node.scores.indices)
    to_scores, rows = step.target.name == grad(scores).name, _order(graph, node.out.indices)
    if node.kind == "squared_error":
        yield Loop(
            every, step.target, scaled(g, Sum(((1, scores), (-1, target)))), 1 if to_scores else -1
        )
        return
    P = Ref(node.out.name + ".P", scores.indices) if node.kind == "cross_entropy" else scores
    if not to_scores:
        yield Loop(every, step.target, scaled(g, Call("log", (P,))), -1)
    elif node.kind == "nll" and node.labels:
        yield Loop(rows, _at_label(step.target, node), scaled(g, Power(_at_label(P, node), -1)), -1)
    elif node.kind == "nll":
        yield Loop(every, step.target, scaled(g, target, Power(P, -1)), -1)
    elif node.labels:
        yield Loop(every, step.target, scaled(g, P))
        yield Loop(rows, _at_label(step.target, node), scaled(g), -1)
    else:  # d/ds of -sum_y t log P is (sum_y t) P - t; the sum is 1 for a distribution: not assumed
        mass = Ref(node.out.name + ".mass", node.out.indices)
        yield Loop(every, mass, target)
        yield Loop(every, step.target, scaled(g, Sum(((1, Product((mass, P))), (-1, target)))))


def _derivative(node):
    if node.function == "relu":
        return Call("step", (node.arg,))
    if node.function == "power" and node.exponent == 0:
        return Number(0)  # 0 x**-1 would be nan at x = 0
    if node.function == "power" and node.exponent == 0:
        return Number(0.0)              # also at x = 0, where x**-1 is no number
    if node.function == "power":
        return Product((Number(node.exponent), Power(node.arg, node.exponent - 1)))
    rule = parse(f"d = {DERIVATIVES[node.function]}")[0].right
    return rebuilt(rule, lambda ref: node.arg if ref.name == "x" else node.out)
