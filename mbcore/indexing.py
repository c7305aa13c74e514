"""What the indices mean: who is an input, a parameter, a computed value; adding an index; copying instead of indexing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from heapq import heappop, heappush

from .notation import LOSSES, REDUCTIONS, Call, Number, Power, Product, Ref, Statement, Sum, children, rebuilt, refs


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
            raise s.error(f"{s.left.name} is computed twice; give the second value a name of its own", s.left)
        computed[s.left.name] = s.left.indices
    for s in statements:
        for ref in refs(s.right):
            role = computed if ref.name in computed else parameters if ref.name[0].isupper() else inputs
            known = role.setdefault(ref.name, ref.indices)
            if len(known) != len(ref.indices):
                raise s.error(f"{ref.name} has {len(ref.indices)} indices here and {len(known)} elsewhere: "
                              f"{Ref(ref.name, known)}", ref)
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
        raise left.error(f"{left.left.name} needs itself, directly or through others; a model has no cycle", left.left)
    return tuple(statements[k] for k in order)


def letters(node):
    """The unbound index letters of an expression. over= binds; a loss binds its class index."""
    if isinstance(node, Ref):
        return set(node.indices)
    below = set().union(*map(letters, children(node)))
    if isinstance(node, Call) and node.function in REDUCTIONS:
        return below - set(node.over)
    if isinstance(node, Call) and node.function in LOSSES:
        given, right = map(letters, node.args)
        return right if right < given else below
    return below


def summed(product, context):
    """Einstein's rule: the letters that stand in two factors or more and that the left side lacks."""
    each = [letters(f) for f in product.factors]
    found = sorted(set().union(*each) - set(context))
    return tuple(i for i in found if sum(i in e for e in each) >= 2)


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


def with_index(statements, index, parameters=False, shared=(), replicas=()):
    """The statements with `index` in front (behind replica indices) of all that bears it.

    Inputs bear it, and parameters if `parameters`; a computed value does if and only if something it depends on does.
    """
    if not isinstance(index, str) or not re.fullmatch("[a-z][a-z0-9]*", index):
        raise ValueError(f"index: expected a small letter such as 'b', got {index!r}")
    if index in used_letters(statements):
        raise ValueError(f"index: {index!r} is an index of these equations already")
    shared, role = ((shared,) if isinstance(shared, str) else tuple(shared)), roles(statements)
    unknown = [name for name in shared if name not in role.inputs]
    if unknown:
        raise ValueError(f"shared: expected names of inputs ({', '.join(role.inputs)}), got {unknown[0]!r}")
    bearing = (set(role.inputs) - set(shared)) | (set(role.parameters) if parameters else set())
    if not bearing:
        raise ValueError(f"index: nothing here could bear {index!r}; the equations have no input that is not shared")
    for s in ordered(statements):
        if bears(s.right, bearing, index):
            bearing.add(s.left.name)

    def indexed(ref):
        if ref.name not in bearing:
            return ref
        front = 0 if parameters else sum(i in replicas for i in ref.indices)
        return replace(ref, indices=(*ref.indices[:front], index, *ref.indices[front:]))

    return tuple(replace(s, left=indexed(s.left), right=rebuilt(s.right, indexed)) for s in statements)


def unrolled(statements, B):
    """B copies x_0, x_1, ... of all that depends on an input, the parameters once, and a line that averages the losses."""
    if not isinstance(B, int) or isinstance(B, bool) or B < 1:
        raise ValueError(f"B: expected a whole number of copies, at least 1, got {B!r}")
    role, pending = roles(statements), {i for s in statements for i in _overs(s.right)} - used_letters(statements)
    if "L" not in role.computed:
        raise ValueError("unrolled: the equations compute no L to average")
    if pending:
        raise ValueError(f"unrolled: over={min(pending)} couples the examples, so they are not B separate copies")
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
        return [replace(s, left=rename(s.left), right=rebuilt(s.right, rename)) for s in statements if s.left.name in copied]

    once = [s for s in statements if s.left.name not in copied]
    losses = tuple((1, Ref(f"L_{k}", role.computed["L"])) for k in range(B))
    mean = Statement(Ref("L", role.computed["L"]), Product((Sum(losses), Power(Number(float(B)), -1))))
    return (*once, *(s for k in range(B) for s in copy(k)), mean)


def _overs(node):
    own = set(node.over) if isinstance(node, Call) else set()
    return own.union(*map(_overs, children(node)))
