"""Statements -> Graph: each equation becomes nodes, and what it computes inside gets a name of its
own.

`indexing.placed` says where each letter is summed; here that only has to be written down as
Contractions. What cannot be one of the kinds of node, or would be no number, is refused with its
place.
"""

from __future__ import annotations

import math

from .graph import Contraction, Graph, Loss, Map, Softmax, Term
from .indexing import letters, ordered, placed, roles, used_letters
from .notation import (
    LOSSES,
    MAPS,
    REDUCTIONS,
    Call,
    Number,
    Power,
    Product,
    Ref,
    Sum,
    children,
    refs,
)
from .probabilities import Kinds

FUNCTIONS = {
    "sigmoid": lambda x: math.exp(min(x, 0.0)) / (1 + math.exp(-abs(x))),
    "tanh": math.tanh,
    "relu": lambda x: max(x, 0.0),
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
}


# What stands beside the inputs in step(lr, ...), evaluate(name, ...), hessian_vector_product(vectors,
# ...) and run_as_loops(params, mean_in=..., ...), and beside the indices in compile(dtype=..., ...).
NO_INPUT = ("self", "lr", "name", "vectors", "params", "mean_in")
NO_INDEX = ("self", "device", "dtype")


def lower(statements, replicas=(), batch=None):
    """Statements -> Graph; NotationError where a line has no reading, or two, or is no number.

    batch: the index that was added for the batch, None if none was: an L written with [b] has it
    already.
    """
    role = roles(statements)
    _check_names(statements, role)
    builder = _Builder(statements, role)
    for s in ordered(statements):
        builder.statement(s)
    shapes = {**role.inputs, **role.parameters, **builder.shapes}
    text = "\n".join(map(str, statements))
    graph = Graph(
        tuple(builder.nodes), role, tuple(replicas), tuple(sorted(builder.pending)), shapes, text
    )
    _check_loss(statements, graph, batch)
    _check_batch(statements, graph)
    return graph


def _check_names(statements, role):
    """No input and no index is called as an argument that a call takes beside it."""
    for s in statements:
        for ref in (s.left, *refs(s.right)):
            taken = [i for i in ref.indices if i in NO_INDEX]
            if ref.name in role.inputs and ref.name in NO_INPUT:
                taken.append(ref.name)
            if taken:
                raise s.error(
                    f"{taken[0]} is an argument of a call that takes this by its name, as step(lr, "
                    f"x=x) and compile(dtype=..., b=32) do; call it {taken[0]}2",
                    ref,
                )


def _check_loss(statements, graph, batch):
    """L is one number for each example and replica: it has one index more than the replicas, and no
    parameter owns it.
    """
    if "L" not in graph.roles.computed:
        return
    s = next(s for s in statements if s.left.name == "L")
    own = [i for i in s.left.indices if i not in graph.replicas]
    for index in own:
        owner = graph.owners.get(index)
        if owner:
            raise s.error(
                f"L has the index {index}, which is one of the parameter {owner}, and L is "
                f"one number for each example: add over it, as in L = sum(..., over={index}). "
                "Networks side by side: with_index('r', parameters=True)",
                s.left,
            )
    if len(own) > 1 or batch and own not in ([], [batch]):
        raise s.error(
            "L is one number for each example, so it has no index but the batch's, "
            f"got {', '.join(own)}: "
            f"sum or average the others away, as in L = sum(..., over={own[-1]})",
            s.left,
        )


def _check_batch(statements, graph):
    """The batch index is b wherever a value has it: x[c,i] beside x[b,i] would read other examples,
    also missing ones.
    """
    b = graph.batch
    for s in statements:
        for ref in refs(s.right):
            if any((i == b) != (own == b) for i, own in zip(ref.indices, graph.shapes[ref.name])):
                own = Ref(ref.name, graph.shapes[ref.name])
                raise s.error(
                    f"{ref} is {own} elsewhere, and {b} is the batch index: keep {b} in its place",
                    ref,
                )


def constant(e):
    """The number that an expression of numbers alone is, None for any other. ArithmeticError,
    ValueError: it is none.
    """
    parts = [constant(child) for child in children(e)]
    if isinstance(e, Ref) or None in parts or (isinstance(e, Call) and e.function not in MAPS):
        return None
    match e:
        case Number():
            value = e.value
        case Sum():
            value = sum(sign * part for (sign, _), part in zip(e.terms, parts))
        case Product():
            value = math.prod(parts)
        case Power():
            value = parts[0] ** e.exponent
        case Call():
            value = FUNCTIONS[e.function](parts[0])
    if isinstance(value, complex) or not math.isfinite(value):
        raise ValueError
    return value


class _Builder:
    """Nodes in order, one statement after the other."""

    def __init__(self, statements, role):
        self.inputs, self.nodes, self.shapes, self.pending = role.inputs, [], {}, set()
        self.used, self.kinds = used_letters(statements), Kinds(role.parameters)

    def statement(self, s):
        self.s, self.count = s, 0
        for index in s.left.indices:
            if index not in letters(s.right):
                raise s.error(
                    f"the index {index} stands on the left and nowhere on the right", s.left
                )
        self.add(self.node(placed(s), s.left))

    def add(self, node):
        self.nodes.append(node)
        self.shapes[node.out.name] = node.out.indices
        self.kinds.add(node)
        return node.out

    def named(self):
        """The next name for what is computed inside the statement: h~, h~2, ..."""
        self.count += 1
        return self.s.left.name + "~" + (str(self.count) if self.count > 1 else "")

    def temporary(self, e, context):
        """Lower an inner expression to a value of its own, with its letters in the order of the
        context.
        """
        borne = letters(e)
        out = Ref(self.named(), tuple(i for i in context if i in borne))
        return self.add(self.node(e, out))

    def value(self, e, context):
        """A Ref to the value of an expression: the name itself, or a temporary."""
        return e if isinstance(e, Ref) else self.temporary(e, context)

    def number(self, e):
        """The value of an expression of numbers alone, None for any other."""
        if refs(e):
            return None
        try:
            return constant(e)
        except (ArithmeticError, ValueError):
            raise self.s.error(f"{e} is no finite real number", e) from None

    def node(self, e, out):
        """The node that computes an expression into `out`; what it needs first is added before."""
        if self.number(e) is None:
            match e:
                case Call() if e.function in MAPS:
                    return Map(out, e.function, self.value(e.args[0], out.indices))
                case Power():
                    return Map(out, "power", self.value(e.base, out.indices), e.exponent)
                case Call(function="softmax"):
                    return self.softmax(e, out)
                case Call() if e.function in LOSSES:
                    return self.loss(e, out)
        terms = e.terms if isinstance(e, Sum) else ((1, e),)
        return Contraction(out, tuple(self.term(sign, term, out.indices) for sign, term in terms))

    def term(self, sign, e, context):
        """One signed term of a sum -> Term."""
        if isinstance(e, Call) and e.function in REDUCTIONS:
            return self.reduction(sign, e, context)
        coefficient, values = float(sign), []
        factors, over = _flat(e, self.number)
        for f in factors:
            number = self.number(f)
            if number is None:
                inner = letters(f)
                values.append(self.value(f, tuple(i for i in (*context, *over) if i in inner)))
            else:
                coefficient *= number
        if not math.isfinite(coefficient):
            raise self.s.error("the numbers here are too large to multiply", e)
        return Term(coefficient, tuple(values))

    def reduction(self, sign, e, context):
        """sum or mean over named letters; the letters join the term's own sum."""
        if set(e.over) & set(context):  # bound here, free outside: y[i] = x[i] / sum(x[i], over=i)
            return Term(
                float(sign), (self.temporary(e, tuple(i for i in context if i not in e.over)),)
            )
        inner = e.args[0]
        self.wait_for([i for i in e.over if i not in letters(inner)], inner, e)
        wide = (*context, *e.over)
        if isinstance(inner, (Sum, Call)):  # not one product: name it first
            made = Term(float(sign), (self.temporary(inner, wide),))
        else:
            made = self.term(sign, inner, wide)
        powers = made.powers + tuple((i, -1) for i in e.over) * (e.function == "mean")
        return Term(made.coefficient, made.factors, powers)

    def wait_for(self, missing, inner, e):
        """Letters of over= that `inner` lacks: pending if no value has them yet, else refused."""
        for index in missing:
            if index in self.used:
                raise self.s.error(
                    f"{inner} has no index {index}, so there is nothing to take {e.function} over",
                    e,
                )
        self.pending |= set(missing)

    def laid_out(self, ref, indices):
        """The same value with its letters in this order, spread over those that it lacks."""
        if ref.indices == indices:
            return ref
        return self.add(Contraction(Ref(self.named(), indices), (Term(1.0, (ref,)),)))

    def softmax(self, e, out):
        over = e.over[0]
        self.wait_for([over] if over not in letters(e) else [], e.args[0], e)
        arg = self.value(e.args[0], out.indices)
        order = (*(i for i in out.indices if i != over), *(i for i in out.indices if i == over))
        if order != out.indices:
            return Contraction(out, (Term(1.0, (self.temporary(e, order),)),))
        return Softmax(out, self.laid_out(arg, out.indices), over)

    def loss(self, e, out):
        scores, target = e.args
        for arg in e.args:
            if not isinstance(arg, Ref):
                raise self.s.error(
                    f"{e.function} takes names; give this expression a line and a name of its own",
                    arg,
                )
        over = e.over
        if e.function != "squared_error" and len(over) != 1:
            raise self.s.error(
                f"{e.function} needs one class index, which {scores} has and the left side lacks"
                + (f"; to add over {over[0]}, write sum(..., over={over[0]})" if over else ""),
                scores,
            )
        self.kinds.check(self.s, e, scores, target)
        labels = e.function != "squared_error" and target.indices == out.indices
        if not labels:
            self.check_distribution(e, scores, target, out)
        elif target.name not in self.inputs:
            raise self.s.error(
                f"{target} stands for whole-number labels, so it must be an input: a small letter, "
                "and computed nowhere. A distribution, learned or computed, has the class "
                f"index too: {Ref(target.name, (*out.indices, *over))}",
                target,
            )
        every = (
            *out.indices,
            *over,
        )  # both are spread over what they lack: one target for all examples
        scores = self.laid_out(scores, every)
        target = target if labels else self.laid_out(target, every)
        return Loss(out, e.function, scores, target, over, labels)

    def check_distribution(self, e, scores, target, out):
        """A target of real numbers has the summed letters of the scores, and none besides those of
        the result.
        """
        given = set(target.indices)
        if set(e.over) <= given <= {*e.over, *out.indices}:
            return
        whole = Ref(target.name, out.indices)
        labels = "" if e.function == "squared_error" else f", or be {whole} for whole-number labels"
        each = ", ".join(out.indices)
        shared = f"; one label for all is given once for each {each}, so it is not in shared="
        shared = shared if labels and given < set(out.indices) else ""
        raise self.s.error(f"{target} must have the indices of {scores}{labels}{shared}", target)


def _flat(e, number):
    """(factors, letters summed) of a product. Brackets are opened where nothing in them is summed.

    So is a bracket with numbers around it alone: 0.5 * (x[i] * x[i]) is one sum with a number in
    front.
    """
    if not isinstance(e, Product):
        return [e], ()
    parts = [_flat(f, number) for f in e.factors]
    factors = []
    for f, (opened, own) in zip(e.factors, parts):
        factors += [f] if own else opened
    values = [f for f in factors if number(f) is None]
    if len(values) == 1 and isinstance(values[0], Product):
        opened, own = parts[e.factors.index(values[0])]
        return [*(f for f in factors if number(f) is not None), *opened], own
    return factors, e.over
