"""Formulas that lose a tail, in a form that keeps it: a graph -> a graph of the same values.

-log(sigmoid(s)) at s = -200 is 200, but in float32 sigmoid(s) is 0. So the two are computed as one:

    log(sigmoid(x))              log_sigmoid(x)           1 - sigmoid(x)            sigmoid(-x)
    log(softmax(s, over=y))      its logarithm at once    1 / (1 + exp(x))          sigmoid(-x)
    log(sum(exp(s), over=y))     logsumexp(s)             exp(x) / (1 + exp(x))     sigmoid(x)
    log(1 + exp(x))              softplus(x)              exp(s) / sum(exp(s))      softmax(s)
    log(exp(x))                  x                        sqrt(sum(x*x))            norm(x)

The same holds for products, powers, means and sums of these under one log. Only what has no name
of its own is rewritten: a value that an equation names (P[y] = softmax(...), then log(P[y])) is
computed as it is written, and so is its gradient.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log

from .graph import Contraction, Map, Reduction, Softmax, Term, form
from .notation import Ref


def rewritten(graph):
    """The graph with every formula of the table above in its other form.

    Temporaries that nobody reads any more are left out.
    """
    rewriter = _Rewriter(graph)
    for node in graph.nodes:
        rewriter.add(rewriter.other_form(node) or node)
    if not rewriter.changed:
        return graph
    nodes = _read_by_somebody(rewriter.nodes)
    known = {**graph.roles.inputs, **graph.roles.parameters}
    shapes = {**known, **{n.out.name: n.out.indices for n in nodes}}
    return replace(graph, nodes=nodes, shapes=shapes, written=graph)


def _read_by_somebody(nodes):
    kept, read = [], set()
    for node in reversed(nodes):
        if node.out.name in read or "~" not in node.out.name:
            kept.append(node)
            read |= {r.name for r in node.reads}
    return tuple(reversed(kept))


def _is_root(node):
    return node.function == "sqrt" or node.function == "power" and node.exponent == 0.5


def _times(node, number):
    """x where the node is number * x, letter by letter, else None."""
    if not isinstance(node, Contraction) or len(node.terms) != 1:
        return None
    term = node.terms[0]
    plain = term.coefficient == number and not term.powers and len(term.factors) == 1
    if plain and set(term.factors[0].indices) == set(node.out.indices):
        return term.factors[0]
    return None


@dataclass(frozen=True)
class _Log:
    """The logarithm of a positive value: constant + the sum of number * value over `parts`.

    parts: ((number, Ref), ...).
    """

    constant: float
    parts: tuple

    def scaled(self, number):
        parts = tuple((number * n, value) for n, value in self.parts)
        return _Log(number * self.constant, parts)


class _Rewriter:
    """Nodes in order. `other_form` looks behind temporaries; new ones stand before their reader."""

    def __init__(self, graph):
        self.nodes, self.made, self.changed = [], {}, False
        self.names = set(graph.shapes)
        self.owner = None

    def add(self, node):
        self.nodes.append(node)
        self.made[node.out.name] = node
        return node.out

    def new(self, make, indices):
        """Add make(out) under a new name of the equation at work; returns out."""
        count = 1
        while f"{self.owner}~{count}" in self.names:
            count += 1
        self.names.add(f"{self.owner}~{count}")
        return self.add(make(Ref(f"{self.owner}~{count}", indices)))

    def inside(self, ref):
        """The node that computes a temporary, None for a value with a name.

        A copy of another temporary, with its letters in another order, is looked through.
        """
        node = self.made.get(ref.name) if "~" in ref.name else None
        copied = _times(node, 1)
        return copied and self.inside(copied) or node

    def other_form(self, node):
        """A node of the same value in the form that keeps its tails; None where there is none."""
        self.owner = node.out.name.partition("~")[0]
        found = None
        if isinstance(node, Map) and node.function == "log":
            found = self.log_node(node)
        elif isinstance(node, Map) and _is_root(node):
            found = self.norm(node)
        elif isinstance(node, Map) and node.function == "power" and node.exponent == -1:
            x = self.one_plus_exp(self.inside(node.arg))
            found = x and Map(node.out, "sigmoid", self.negative(x))
        elif isinstance(node, Contraction):
            x = self.one_minus_sigmoid(node)
            found = Map(node.out, "sigmoid", self.negative(x)) if x else self.with_shares(node)
        self.changed |= found is not None
        return found

    def negative(self, x):
        return self.new(lambda out: Contraction(out, (Term(-1.0, (x,)),)), x.indices)

    # ------------------------------------------------------------ what is recognised

    def map_of(self, ref, function):
        """x where this temporary is function(x), else None."""
        node = self.inside(ref)
        return node.arg if isinstance(node, Map) and node.function == function else None

    def one_and(self, node, sign, function):
        """x where the node is 1 + sign * function(x), in either order, else None."""
        if not isinstance(node, Contraction) or len(node.terms) != 2:
            return None
        one, other = sorted(node.terms, key=lambda term: len(term.factors))
        if one != Term(1.0, ()) or len(other.factors) != 1:
            return None
        value = other.factors[0]
        if other != Term(sign, (value,)) or set(value.indices) != set(node.out.indices):
            return None
        return self.map_of(value, function)

    def one_plus_exp(self, node):
        return self.one_and(node, 1, "exp")

    def one_minus_sigmoid(self, node):
        return self.one_and(node, -1, "sigmoid")

    # ------------------------------------------------------------ shares: exp(s) / sum(exp(s))

    def with_shares(self, node):
        """The Contraction with softmax(s) for exp(s) / sum(exp(s)), None if no term has a share.

        Also with sigmoid(x) for exp(x) / (1 + exp(x)).
        """
        terms = tuple(self.with_share(term) for term in node.terms)
        return None if terms == node.terms else Contraction(node.out, terms)

    def with_share(self, term):
        for top in term.factors:
            arg = self.map_of(top, "exp")
            for low in term.factors if arg else ():
                share = self.share(arg, self.inside(low))
                if share:
                    others = [f for f in term.factors if f not in (top, low)]
                    return Term(term.coefficient, (share, *others), term.powers)
        return term

    def share(self, arg, low):
        """The value of exp(arg) * low, if low is 1 / sum(exp(arg)) or 1 / (1 + exp(arg))."""
        if not isinstance(low, Map):
            return None
        if low.function == "sigmoid" and self.alike(_times(self.inside(low.arg), -1), arg):
            return self.new(lambda out: Map(out, "sigmoid", arg), arg.indices)
        total = self.inside(low.arg)
        if low.function != "power" or low.exponent != -1 or not isinstance(total, Contraction):
            return None
        term = total.terms[0]
        plain = len(total.terms) == len(term.factors) == term.coefficient == 1 and not term.powers
        summed = self.map_of(term.factors[0], "exp") if plain else None
        over = self.share_over(arg, summed, total.out.indices) if summed else None
        if over is None:
            return None
        order = (*(i for i in arg.indices if i != over), over)
        if order != arg.indices:
            unordered = arg
            arg = self.new(lambda out: Contraction(out, (Term(1.0, (unordered,)),)), order)
        return self.new(lambda out: Softmax(out, arg, over), order)

    def share_over(self, arg, summed, kept):
        """The one letter of arg over which the total sums, under this name or another one.

        None for another sum.
        """
        own, other = (set(ref.indices) - set(kept) for ref in (arg, summed))
        if len(own) != 1 or len(other) != 1:
            return None
        over = min(own)
        same = form(arg, self.made) == form(summed, self.made, {min(other): over})
        return over if same else None

    def alike(self, value, other):
        return value is not None and form(value, self.made) == form(other, self.made)

    # ------------------------------------------------------------ sqrt(sum of squares)

    def norm(self, node):
        """sqrt(number * sum of x*x or x**2) -> norm(x)."""
        inner = self.inside(node.arg)
        if isinstance(inner, Map) and inner.function == "power" and inner.exponent == 2:
            x, number, indices = inner.arg, Term(1.0, ()), inner.out.indices
        elif isinstance(inner, Contraction) and len(inner.terms) == 1:
            term, indices = inner.terms[0], inner.out.indices
            x, number = self.squared(term.factors), Term(term.coefficient, (), term.powers)
        else:
            return None
        if x is None or number.coefficient <= 0 or not set(indices) <= set(x.indices):
            return None
        return self.reduced(node.out, "norm", x, indices, number)

    def squared(self, factors):
        """x where the factors are x, x or one temporary x**2, else None."""
        if len(factors) == 2 and factors[0] == factors[1]:
            return factors[0]
        inner = self.inside(factors[0]) if len(factors) == 1 else None
        squares = isinstance(inner, Map) and inner.function == "power" and inner.exponent == 2
        return inner.arg if squares else None

    def reduced(self, out, function, x, indices, number):
        """A Reduction of x over all its letters but `indices`.

        out: where its result belongs, then a node is returned; None: a new temporary is returned.
        """
        over = tuple(i for i in x.indices if i not in indices)
        kept = out.indices if out and set(out.indices) == set(indices) else indices
        if x.indices != (*kept, *over):
            ordered = x
            x = self.new(lambda copy: Contraction(copy, (Term(1.0, (ordered,)),)), (*kept, *over))
        if out and out.indices == kept:
            return Reduction(out, function, x, over, number)
        found = self.new(lambda new: Reduction(new, function, x, over, number), kept)
        return Contraction(out, (Term(1.0, (found,)),)) if out else found

    # ------------------------------------------------------------ logarithms

    def log_node(self, node):
        """log of a temporary -> a sum of logarithms, if all are known, else None."""
        before = len(self.nodes)
        found = self.log(node.arg)
        if found is None or not found.parts:
            del self.nodes[before:]             # what was tried for it
            return None
        number, value = found.parts[0]
        last = self.nodes[-1]
        alone = len(found.parts) == 1 and number == 1 and found.constant == 0
        new = len(self.nodes) > before and last.out == value
        if alone and new and value.indices == node.out.indices:
            self.nodes.pop()                    # it can write the result itself
            return replace(last, out=node.out)
        constant = (Term(found.constant, ()),) if found.constant else ()
        return Contraction(node.out, (*(Term(n, (v,)) for n, v in found.parts), *constant))

    def log(self, ref):
        """The logarithm of a temporary that is positive by its form, None for any other value."""
        node = self.inside(ref)
        match node:
            case Map(function="exp"):
                return _Log(0.0, ((1.0, node.arg),))
            case Map(function="sigmoid"):
                return self.one(lambda out: Map(out, "log_sigmoid", node.arg), node.out.indices)
            case Map(function="power" | "sqrt"):
                exponent = 0.5 if node.function == "sqrt" else node.exponent
                inner = self.log(node.arg)
                return inner and inner.scaled(exponent)
            case Softmax(log=False):
                share = node
                return self.one(lambda out: replace(share, out=out, log=True), node.out.indices)
            case Contraction():
                terms = [t for t in node.terms if t.factors or t.coefficient != 0]
                logs = [self.log_of_term(term, node.out.indices) for term in terms]
                return self.log_of_sum(logs) if logs and None not in logs else None
        return None

    def one(self, make, indices):
        return _Log(0.0, ((1.0, self.new(make, indices)),))

    def log_of_term(self, term, indices):
        """The logarithm of one term, a product summed over the letters that `indices` lacks."""
        logs = [self.log(f) for f in term.factors]
        if None in logs or term.coefficient <= 0:
            return None
        parts = tuple(part for found in logs for part in found.parts)
        constant = sum(found.constant for found in logs)
        summed = any(i not in indices for _, value in parts for i in value.indices)
        if not summed:
            return None if term.powers else _Log(constant + log(term.coefficient), parts)
        return self.logsumexp(term, constant, parts, indices)

    def logsumexp(self, term, constant, parts, indices):
        value = self.value(_Log(constant, parts))
        kept = tuple(i for i in indices if i in value.indices)
        number = Term(term.coefficient, (), term.powers)
        return _Log(0.0, ((1.0, self.reduced(None, "logsumexp", value, kept, number)),))

    def value(self, found):
        """A Ref to the value of a _Log."""
        if len(found.parts) == 1 and found.parts[0][0] == 1 and found.constant == 0:
            return found.parts[0][1]
        constant = (Term(found.constant, ()),) if found.constant else ()
        terms = (*(Term(n, (v,)) for n, v in found.parts), *constant)
        letters = tuple(dict.fromkeys(i for _, v in found.parts for i in v.indices))
        return self.new(lambda out: Contraction(out, terms), letters)

    def log_of_sum(self, terms):
        """log(exp(a) + exp(b)) = a + softplus(b - a), for one term after the other."""
        total = terms[0]
        for other in terms[1:]:
            lower, upper = sorted((total, other), key=lambda found: len(found.parts))
            back = lower.scaled(-1)
            difference = _Log(upper.constant + back.constant, (*upper.parts, *back.parts))
            if not difference.parts:
                return None
            above = self.value(difference)
            added = self.new(lambda out: Map(out, "softplus", above), above.indices)
            total = _Log(lower.constant, (*lower.parts, (1.0, added)))
        return total
