"""Equations -> a short list of nodes. Four kinds carry every model, and each has one derivative rule.

    Contraction   out[..] = sum of terms; a term is a number times a product of values, summed over what out lacks
    Map           out[..] = f(arg[..]), element by element
    Softmax       out[..] = exp(arg[..]) / sum over one index
    Loss          out[..] = cross_entropy | nll | squared_error of two values, over the class index

What a statement computes inside an expression gets the statement's name and a tilde: h~ is the value before the sigma.
The rules stand in `derivatives`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite

from .indexing import letters, ordered, roles, summed
from .notation import LOSSES, MAPS, REDUCTIONS, Call, Number, Power, Product, Ref, Sum


@dataclass(frozen=True)
class Term:
    """coefficient * product of size(i)**p over `powers` * product of factors."""

    coefficient: float
    factors: tuple
    powers: tuple = ()              # ((index, exponent), ...): (("b", -1),) is 1/B

    def times(self, sizes):
        """The number in front, once the sizes are known."""
        value = self.coefficient
        for index, power in self.powers:
            value *= float(sizes[index]) ** power
        return value


@dataclass(frozen=True)
class Contraction:
    out: Ref
    terms: tuple

    @property
    def reads(self):
        return tuple(f for t in self.terms for f in t.factors)


@dataclass(frozen=True)
class Map:
    out: Ref
    function: str                   # one of MAPS, or "power"
    arg: Ref
    exponent: float = 1.0

    @property
    def reads(self):
        return (self.arg,)


@dataclass(frozen=True)
class Softmax:
    out: Ref
    arg: Ref
    over: str

    @property
    def reads(self):
        return (self.arg,)


@dataclass(frozen=True)
class Loss:
    """over: the indices of the scores that out lacks. labels: the target holds integers, one for each row of scores."""

    out: Ref
    kind: str
    scores: Ref
    target: Ref
    over: tuple
    labels: bool

    @property
    def reads(self):
        return (self.scores, self.target)


@dataclass(frozen=True)
class Graph:
    nodes: tuple
    roles: object                   # indexing.Roles
    replicas: tuple = ()
    pending: tuple = ()             # over= letters that no value bears yet
    shapes: dict = field(default_factory=dict)      # every name, temporaries too -> indices

    @cached_property
    def batch(self):
        """The batch index: the index of L that no parameter bears. None without one."""
        owned = {i for p in self.roles.parameters.values() for i in p}
        free = [i for i in self.shapes.get("L", ()) if i not in owned]
        if len(free) > 1:
            raise ValueError(f"L: expected one batch index, got {', '.join(free)}; sum or average the others away")
        return free[0] if free else None

    @cached_property
    def labels(self):
        """Input name -> indices it counts in: target holds whole numbers 0 <= target < size of y."""
        found = {}
        for n in self.nodes:
            if isinstance(n, Loss) and n.labels:
                found[n.target.name] = (*found.get(n.target.name, ()), n.over[0])
        return found

    @property
    def same_sizes(self):
        """(letter used, letter declared, name): one size per position, whatever the letter."""
        pairs = ((used, own, ref.name) for n in self.nodes for ref in (n.out, *n.reads)
                 for used, own in zip(ref.indices, self.shapes[ref.name]))
        return tuple(dict.fromkeys(p for p in pairs if p[0] != p[1]))

    @property
    def counts(self):
        """{"nodes": what is computed, "edges": who reads what, "leaves": inputs and parameters}."""
        edges = {(r.name, n.out.name) for n in self.nodes for r in n.reads}
        return {"nodes": len(self.nodes), "edges": len(edges), "leaves": len(self.roles.inputs) + len(self.roles.parameters)}

    def needed(self, name):
        """The nodes that computing `name` needs, in order."""
        wanted, keep = {name}, []
        for node in reversed(self.nodes):
            if node.out.name in wanted:
                wanted |= {r.name for r in node.reads}
                keep.append(node)
        return tuple(reversed(keep))


def lower(statements, replicas=()):
    """Statements -> Graph; NotationError where an index is missing, free or ambiguous."""
    role = roles(statements)
    builder = _Builder(statements, role.inputs)
    for s in ordered(statements):
        builder.statement(s)
    shapes = {**role.inputs, **role.parameters, **builder.shapes}
    return Graph(tuple(builder.nodes), role, tuple(replicas), tuple(sorted(builder.pending)), shapes)


class _Builder:
    def __init__(self, statements, inputs):
        self.inputs, self.nodes, self.shapes, self.pending = inputs, [], {}, set()
        self.softmaxes = {s.left.name for s in statements if isinstance(s.right, Call) and s.right.function == "softmax"}

    def statement(self, s):
        self.s, self.count = s, 0
        for index in s.left.indices:
            if index not in letters(s.right):
                raise s.error(f"the index {index} stands on the left and nowhere on the right", s.left)
        node = self.node(s.right, s.left.indices)
        self.add(node(s.left))

    def add(self, node):
        self.nodes.append(node)
        self.shapes[node.out.name] = node.out.indices
        return node.out

    def temporary(self, expression, context):
        """Lower an inner expression to a value h~, h~2, ... and name it."""
        self.count += 1
        name = self.s.left.name + "~" + (str(self.count) if self.count > 1 else "")
        node = self.node(expression, context)
        inside = node(Ref(name))                # without its indices, to see which letters it bears
        bound = set(getattr(inside, "over", ())) if isinstance(inside, Loss) else set(getattr(node, "summed", ()))
        borne = {i for r in inside.reads for i in r.indices} - bound
        order = (*context, *(i for r in inside.reads for i in r.indices))
        return self.add(node(Ref(name, tuple(dict.fromkeys(i for i in order if i in borne)))))

    def value(self, expression, context):
        """A Ref to the value of an expression: the name itself, or a temporary."""
        if not isinstance(expression, Ref):
            return self.temporary(expression, context)
        free = next((i for i in expression.indices if i not in context), None)
        if free:
            raise self.s.error(f"the index {free} of {expression} stands once and the left side lacks it; "
                               f"to add over it, write sum(..., over={free})", expression)
        return expression

    def node(self, e, context):
        """An expression under the letters that are free around it -> a function from out to node."""
        match e:
            case Call() if e.function in MAPS:
                arg = self.value(e.args[0], context)
                return lambda out: Map(out, e.function, arg)
            case Power():
                arg = self.value(e.base, context)
                return lambda out: Map(out, "power", arg, e.exponent)
            case Call(function="softmax"):
                return self.softmax(e, context)
            case Call() if e.function in LOSSES:
                return self.loss(e, context)
        terms, bound = [], set()
        for sign, term in e.terms if isinstance(e, Sum) else ((1, e),):
            made, over = self.term(sign, term, context)
            terms.append(made)
            bound |= over
        make = lambda out: Contraction(out, tuple(terms))
        make.summed = bound - set(context)
        return make

    def term(self, sign, e, context):
        """One signed term -> (Term, letters summed in it)."""
        if isinstance(e, Call) and e.function in REDUCTIONS:
            return self.reduction(sign, e, context)
        factors = e.factors if isinstance(e, Product) else (e,)
        over = summed(Product(factors), context)
        coefficient, values = float(sign), []
        for f in factors:
            if isinstance(f, Number):
                coefficient *= f.value
            elif isinstance(f, Power) and isinstance(f.base, Number):
                coefficient *= self.number(f)
            else:
                values.append(self.value(f, (*context, *over)))
        if not isfinite(coefficient):
            raise self.s.error("the numbers here are too large to multiply", e)
        return Term(coefficient, tuple(values)), set(over)

    def number(self, power):
        try:
            return power.base.value ** power.exponent
        except (OverflowError, ZeroDivisionError):
            raise self.s.error(f"{power.base} to the power {power.exponent:g} is no finite number", power) from None

    def reduction(self, sign, e, context):
        """sum or mean over named letters; the letters join the term's own sum."""
        if set(e.over) & set(context):          # bound here, free outside: y[i] = x[i] / sum(x[i], over=i)
            return Term(float(sign), (self.temporary(e, tuple(i for i in context if i not in e.over)),)), set()
        wide, inner = (*context, *e.over), e.args[0]
        missing = [i for i in e.over if i not in letters(inner)]
        self.pending |= set(missing)
        if isinstance(inner, (Sum, Call)):      # not one product: name it first
            made, over = Term(float(sign), (self.temporary(inner, wide),)), set()
        else:
            made, over = self.term(sign, inner, wide)
        powers = made.powers + tuple((i, -1) for i in e.over) * (e.function == "mean")
        return Term(made.coefficient, made.factors, powers), over | set(e.over)

    def last(self, ref, over, context):
        """The same value laid out with the letters `over` last and the others as in the context."""
        wanted = (*(i for i in context if i in ref.indices and i not in over), *over)
        if ref.indices == wanted:
            return ref
        self.count += 1
        return self.add(Contraction(Ref(f"{self.s.left.name}~{self.count}", wanted), (Term(1.0, (ref,)),)))

    def softmax(self, e, context):
        over = e.over[0]
        if over not in context:
            raise self.s.error(f"softmax keeps its index; {over} is missing on the left side", e)
        arg = self.value(e.args[0], context)
        if over not in arg.indices:
            raise self.s.error(f"softmax over {over}: {arg} has no index {over}", e)
        order = (*(i for i in context if i != over), over)
        if order != tuple(context):
            copied = Term(1.0, (self.temporary(e, order),))
            return lambda out: Contraction(out, (copied,))
        arg = self.last(arg, (over,), context)
        return lambda out: Softmax(out, arg, over)

    def loss(self, e, context):
        scores, target = e.args
        for arg in e.args:
            if not isinstance(arg, Ref):
                raise self.s.error(f"{e.function} takes names; give this expression a line and a name of its own", arg)
        if e.function == "cross_entropy" and scores.name in self.softmaxes:
            raise self.s.error(f"cross_entropy takes scores and {scores.name} is a softmax already: use nll({scores}, {target}), "
                               "or give cross_entropy the scores", scores)
        over = tuple(i for i in scores.indices if i not in context)
        if e.function != "squared_error" and len(over) != 1:
            raise self.s.error(f"{e.function} needs one class index, which {scores} has and the left side lacks", scores)
        scores = self.last(scores, over, context)
        labels = e.function != "squared_error" and target.indices == scores.indices[:-1]
        if not labels and set(target.indices) != set(scores.indices):
            raise self.s.error(f"{target} must have the indices of {scores}, or of {Ref(scores.name, scores.indices[:-1])} "
                               "for whole-number labels", target)
        if labels and target.name not in self.inputs:
            raise self.s.error(f"{target} stands for whole-number labels, so it must be an input: "
                               "a small letter, and computed nowhere", target)
        target = target if labels else self.last(target, over, context)
        return lambda out: Loss(out, e.function, scores, target, over, labels)
