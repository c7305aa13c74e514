"""What the indices mean: roles of names, where a letter is summed, adding an index, copying instead
of indexing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from heapq import heappop, heappush

from .checking import flag, shown, whole
from .notation import (
    LOSSES,
    REDUCTIONS,
    Call,
    Number,
    Power,
    Product,
    Ref,
    Statement,
    Sum,
    children,
    rebuilt,
    refs,
    with_children,
)

MOST_COPIES = 10_000


@dataclass(frozen=True)
class Roles:
    """name -> indices, for each role, in the order of first use."""

    inputs: dict
    parameters: dict
    computed: dict

    def indices(self, name):
        return {**self.inputs, **self.parameters, **self.computed}[name]


def roles(statements):
    """Sort names by role. A name on a left side is computed; otherwise a capital makes a parameter."""
    inputs, parameters, computed = {}, {}, {}
    for s in statements:
        if s.left.name in computed:
            raise s.error(
                f"{s.left.name} is computed twice; give the second value a name of its own", s.left
            )
        computed[s.left.name] = s.left.indices
    for s in statements:
        for ref in refs(s.right):
            role = (
                computed
                if ref.name in computed
                else parameters
                if ref.name[0].isupper()
                else inputs
            )
            known = role.setdefault(ref.name, ref.indices)
            if len(known) != len(ref.indices):
                raise s.error(
                    f"{ref.name} has {len(ref.indices)} indices here and {len(known)} elsewhere: "
                    f"{Ref(ref.name, known)}",
                    ref,
                )
    return Roles(inputs, parameters, computed)


def ordered(statements):
    """The statements, each after those it needs; the text's own order wherever that allows it."""
    place = {s.left.name: k for k, s in enumerate(statements)}
    needs = [{place[r.name] for r in refs(s.right) if r.name in place} for s in statements]
    users = [[] for _ in statements]
    for k, own in enumerate(needs):
        for n in own:
            users[n].append(k)
    ready, order = [k for k, own in enumerate(needs) if not own], []
    while ready:
        k = heappop(ready)
        order.append(k)
        for user in users[k]:
            needs[user].discard(k)
            if not needs[user]:
                heappush(ready, user)
    if len(order) < len(statements):
        left = statements[min(set(range(len(statements))) - set(order))]
        raise left.error(
            f"{left.left.name} needs itself, directly or through others; a model has no cycle",
            left.left,
        )
    return tuple(statements[k] for k in order)


def letters(node):
    """The letters that an expression bears. over= binds, and after `placed` so do the sums of
    products and losses.
    """
    if isinstance(node, Ref):
        return set(node.indices)
    below = set().union(*map(letters, children(node)))
    keeps = isinstance(node, Call) and node.function == "softmax"
    return below if keeps else below - set(getattr(node, "over", ()))


# ------------------------------------------------------------------ where a letter is summed


def placed(statement):
    """The right side with each sum where it stands: `over` of a product, and of a loss, names the
    letters summed there.

    Brackets and function arguments are scopes. A letter is free, and never summed by itself, where
    the left side, an over= around it or another term of the same sum bears it alone. Any other
    letter is summed in the innermost scope in whose product it stands at least twice. The product
    around that scope no longer counts it; what is left there decides: none, nothing more to do; two
    or more, that product sums its own; exactly one, two readings: refused.

    Raises NotationError for two readings, and for a letter that stands once and that the left side
    lacks.
    """
    free = set(statement.left.indices)
    alone, _ = _seen(statement.right, free)
    for letter, bearer in alone.items():
        raise statement.error(_stands_once(letter, bearer), bearer)
    return _placed(statement.right, free, statement)


def _seen(e, free):
    """What the product or sum around an expression sees of its letters, those in `free` left out.

    Returns (alone, inside), two dictionaries. alone: letter that e bears -> the Ref (or softmax)
    that bears it. inside: letter that is summed in e -> the bracket or function that sums it, None
    if that is yet to come around e.
    """
    alone, inside = {}, {}
    if isinstance(e, Ref):
        return {i: e for i in e.indices if i not in free}, inside
    if isinstance(e, Call) and e.function in LOSSES:
        return _seen_loss(e, free)
    below = [(child, *_seen(child, free | set(getattr(e, "over", ())))) for child in children(e)]
    for child, bears_alone, sums in below:
        for letter, bearer in bears_alone.items():
            alone.setdefault(letter, bearer)
        for letter, scope in sums.items():
            around = None if isinstance(e, Sum) else e if isinstance(e, Call) else child
            inside.setdefault(letter, scope or around)
    if isinstance(e, Sum):
        return alone, {i: scope for i, scope in inside.items() if i not in alone}
    if isinstance(e, Call) and e.function == "softmax":
        alone.update({i: e for i in e.over if i in letters(e) - free})
    if isinstance(e, Product):
        repeated = [i for i in alone if sum(i in bears_alone for _, bears_alone, _ in below) > 1]
        inside.update(dict.fromkeys(repeated))
    return {i: bearer for i, bearer in alone.items() if i not in inside}, inside


def _seen_loss(e, free):
    """A loss sums what its scores bear and what is not free. Labels have all indices of the scores
    but that one.
    """
    scores, target = map(letters, e.args)
    labels = e.function != "squared_error" and scores - target - free and target <= scores | free
    kept = {i: e.args[1] for i in target - free if labels}
    return kept, {i: e for i in (scores | target) - free - set(kept)}


def _placed(e, free, statement):
    if isinstance(e, Call) and e.function in LOSSES:
        return replace(
            e, over=tuple(i for r in refs(e.args[0]) for i in r.indices if i not in free)
        )
    if not isinstance(e, (Sum, Product)):
        around = free | set(getattr(e, "over", ()))
        return with_children(e, [_placed(child, around, statement) for child in children(e)])
    alone = [_seen(child, free)[0] for child in children(e)]
    if isinstance(e, Sum):
        around = free.union(*alone)
        return with_children(e, [_placed(term, around, statement) for term in children(e)])
    every = sorted(set().union(*alone))
    over = tuple(i for i in every if sum(i in own for own in alone) > 1)
    for letter in every:
        if letter not in over:
            _refuse_two_readings(letter, e, free, statement)
    factors = [
        _placed(f, free | set(over) & set(own), statement) for f, own in zip(e.factors, alone)
    ]
    return replace(e, factors=tuple(factors), over=over)


def _refuse_two_readings(letter, product, free, statement):
    """The letter stands once in this product: NotationError if a factor sums it inside as well."""
    for factor in product.factors:
        _, inside = _seen(factor, free)
        if letter not in inside:
            continue
        scope = inside[letter] or factor
        name = scope.function if isinstance(scope, Call) else ""
        drop = "drop the bracket, or " if scope is factor and isinstance(factor, Product) else ""
        bearer = next(
            own[letter] for own, _ in (_seen(f, free) for f in product.factors) if letter in own
        )
        raise statement.error(
            f"{letter} is summed inside {name}(\u2026) and stands once outside it: "
            f"{drop}use another letter or another line, or write sum(\u2026, over={letter}). "
            f"Inside: {scope}; outside: {bearer}",
            bearer,
        )


def _stands_once(letter, bearer):
    """Why a letter that nothing sums and that the left side lacks is refused, and what to write
    instead.
    """
    if isinstance(bearer, Call):
        return f"softmax keeps its index; {letter} is missing on the left side"
    once = f"the index {letter} of {bearer} stands once and the left side lacks it"
    if not bearer.name[0].isupper():
        return f"{once}; to add over it, write sum(..., over={letter})"
    short = next(i for i in (letter[0], "k", "l", "m") if i == letter or i not in bearer.indices)
    picked = Ref(bearer.name, tuple(short if i == letter else i for i in bearer.indices))
    row = f"to pick by a label, multiply by a one-hot input, as in {picked} * x[{short}]"
    if len(letter) > 1:
        return f"{once}. An index is a letter that takes every value; {row}"
    return f"{once}; to add over it, write sum(..., over={letter}); {row}"


def bears(node, bearing, index):
    """Whether an expression gets `index`, given the names that do. over=index stops it."""
    if isinstance(node, Ref):
        return node.name in bearing
    if isinstance(node, Call) and node.function in REDUCTIONS and index in node.over:
        return False
    return any(bears(child, bearing, index) for child in children(node))


def used_letters(statements):
    found = set()
    for s in statements:
        found |= set(s.left.indices) | {i for r in refs(s.right) for i in r.indices}
    return found


def with_index(statements, index, parameters, shared, replicas):
    """The statements with `index` in front (behind replica indices) of all that bears it.

    Inputs bear it, and parameters if `parameters`; a computed value does if and only if something
    it depends on does.
    """
    flag("parameters", parameters)
    if not isinstance(index, str) or not re.fullmatch("[a-z][a-z0-9]*", index):
        raise ValueError(f"index: expected a small letter such as 'b', got {shown(index)}")
    if index in used_letters(statements):
        raise ValueError(f"index: {index!r} is an index of these equations already")
    role = roles(statements)
    shared = (shared,) if isinstance(shared, str) else shared
    several = isinstance(shared, (tuple, list, set, frozenset, dict))
    for name in shared if several else (shared,):
        if not isinstance(name, str) or name not in role.inputs:
            inputs = ", ".join(role.inputs)
            raise ValueError(f"shared: expected names of inputs ({inputs}), got {shown(name)}")
    bearing = (set(role.inputs) - set(shared)) | (set(role.parameters) if parameters else set())
    if not bearing:
        raise ValueError(
            f"index: nothing here could bear {index!r}; the equations have no input that is not "
            "shared. An input has a small letter, as x in W[j,i] * x[i]: a capital makes a parameter"
        )
    for s in ordered(statements):
        if bears(s.right, bearing, index):
            bearing.add(s.left.name)

    def indexed(ref):
        if ref.name not in bearing:
            return ref
        front = 0 if parameters else sum(i in replicas for i in ref.indices)
        return replace(ref, indices=(*ref.indices[:front], index, *ref.indices[front:]))

    return tuple(
        replace(s, left=indexed(s.left), right=rebuilt(s.right, indexed)) for s in statements
    )


def unrolled(statements, B):
    """B copies x_0, x_1, ... of all that depends on an input, the parameters once, and a line that
    averages the losses.
    """
    B = whole("B", B, most=MOST_COPIES)
    role, pending = (
        roles(statements),
        {i for s in statements for i in _overs(s.right)} - used_letters(statements),
    )
    if "L" not in role.computed:
        raise ValueError("unrolled: the equations compute no L to average")
    if pending:
        raise ValueError(
            f"unrolled: over={min(pending)} couples the examples, so they are not B separate copies"
        )
    copied = set(role.inputs)
    for s in ordered(statements):
        if bears(s.right, copied, None):
            copied.add(s.left.name)
    copied.add("L")
    names = {f"{name}_{k}" for name in copied for k in range(B)}
    clash = names & ({*role.inputs, *role.parameters, *role.computed} - copied)
    if clash:
        raise ValueError(f"unrolled: the copies would take the name {min(clash)}, which is in use")

    def copy(k):
        rename = lambda ref: replace(ref, name=f"{ref.name}_{k}") if ref.name in copied else ref
        return [
            replace(s, left=rename(s.left), right=rebuilt(s.right, rename))
            for s in statements
            if s.left.name in copied
        ]

    once = [s for s in statements if s.left.name not in copied]
    losses = tuple((1, Ref(f"L_{k}", role.computed["L"])) for k in range(B))
    mean = Statement(
        Ref("L", role.computed["L"]), Product((Sum(losses), Power(Number(float(B)), -1)))
    )
    return (*once, *(s for k in range(B) for s in copy(k)), mean)


def _overs(node):
    own = set(node.over) if isinstance(node, Call) else set()
    return own.union(*map(_overs, children(node)))
