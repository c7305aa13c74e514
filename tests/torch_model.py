"""Whole models of the notation by PyTorch in float64. It shares nothing with mbcore.

    roles(text)                 the inputs and parameters of a text with their letters
    read(text)                  Refused, where the rule of summation gives the text no reading
    values(text, arrays)        every computed value of a batch, as lettered tensors
    derivatives(...)            values and all gradients, by torch.autograd
    hessian_vector(...)         H v of the mean loss, by torch.autograd
    by_loops(...)               the values a second time: one number at a time in plain Python

The text is of ONE example. A batch is an axis in front of the inputs, and of every value that
depends on one. Only the sums need thought. The rule:

- Brackets and the arguments of functions are scopes. A scope is a sum of products of factors.
- A letter is free where the left side, an `over=` around, or another term of the same sum bears it
  alone.
- Any other letter that stands in two or more factors of a product is summed there; it ends there.
- A letter that a scope has summed and that stands in exactly one factor beside it is refused.
"""

import ast
import itertools
import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import pytest

BRACKET = "_"                   # `(...)` is read as a call of this function, so that ast keeps it
MAPS = ("sigmoid", "tanh", "relu", "exp", "log", "sqrt", BRACKET)
LOSSES = ("cross_entropy", "nll", "squared_error")
BATCH = "b"


class Refused(Exception):
    """The rule gives this text no reading."""


class Unsure(Exception):
    """The rule does not say: neither this oracle nor a test of the rule may decide."""


class NoBatch(Exception):
    """L depends on no example: there is nothing to average."""


@cache
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed; it is the oracle here")


# ------------------------------------------------------------ reading


@dataclass(frozen=True)
class Line:
    name: str
    letters: tuple
    right: ast.expr


@lru_cache(1000)
def parsed(text):
    """name -> Line, in the order of the text."""
    lines = {}
    for row in filter(None, "".join(text.split(" ")).splitlines()):
        left, right = row.split("=", 1)
        name, letters = named(expression(left))
        lines[name] = Line(name, letters, expression(re.sub(r"(?<!\w)\(", BRACKET + "(", right)))
    return lines


def expression(text):
    return ast.parse(text, mode="eval").body


def named(e):
    """(name, letters) of `x[b,i]` or `x`."""
    if isinstance(e, ast.Name):
        return e.id, ()
    return e.value.id, letters_in(e.slice)


def letters_in(e):
    """The letters of `i`, `i,j`, or `(i,j)`."""
    if isinstance(e, ast.Name):
        return (e.id,)
    parts = e.args if isinstance(e, ast.Call) else e.elts
    return tuple(part.id for part in parts)


def over(call):
    return letters_in(call.keywords[0].value)


def terms(e):
    """[(sign, product)]"""
    if isinstance(e, ast.BinOp) and isinstance(e.op, (ast.Add, ast.Sub)):
        sign = 1 if isinstance(e.op, ast.Add) else -1
        return [*terms(e.left), (sign, e.right)]
    return [(1, e)]


def factors(e, power=1):
    """[(factor, 1 or -1)]: -1 where it divides. A minus in front is a factor of -1."""
    if isinstance(e, ast.UnaryOp):
        return [(ast.Constant(-1), 1), *factors(e.operand, power)]
    if isinstance(e, ast.BinOp) and isinstance(e.op, ast.Mult):
        return factors(e.left, power) + factors(e.right, power)
    if isinstance(e, ast.BinOp) and isinstance(e.op, ast.Div):
        return factors(e.left, power) + factors(e.right, -power)
    return [(e, power)]


@lru_cache(1000)
def references(text):
    """[(name, letters)] of everything that stands in the text, the left sides too."""
    return [found for line in parsed(text).values() for found in references_in(line)]


def references_in(line):
    yield line.name, line.letters
    hidden = set()                          # names that are part of something else
    for node in ast.walk(line.right):       # from outside in
        if isinstance(node, ast.Call):
            hidden |= {node.func}.union(*(ast.walk(k) for k in node.keywords))
        if isinstance(node, ast.Subscript):
            hidden |= {*ast.walk(node)} - {node}
        if isinstance(node, (ast.Name, ast.Subscript)) and node not in hidden:
            yield named(node)


@lru_cache(1000)
def roles(text):
    """(parameters, inputs): name -> letters where it first stands."""
    found = {}
    for name, letters in references(text):
        if name not in parsed(text):
            found.setdefault(name, letters)
    parameters = {name: letters for name, letters in found.items() if name[0].isupper()}
    return parameters, {name: i for name, i in found.items() if name not in parameters}


def bearers(text, names, letter=BATCH):
    """The names that bear this letter, when these do.

    A value bears it if something in it does, unless under over=.
    """
    found = set(names)
    for _ in parsed(text):
        found |= {line.name for line in parsed(text).values() if bears(line.right, found, letter)}
    return found


def bears(e, names, letter=BATCH):
    if isinstance(e, ast.Call) and e.keywords and letter in over(e):
        return False
    if isinstance(e, ast.Name):
        return e.id in names
    parts = e.args if isinstance(e, ast.Call) else ast.iter_child_nodes(e)
    return any(bears(part, names, letter) for part in parts)


# ------------------------------------------------------------ the rule


@dataclass(frozen=True)
class Reading:
    """What an expression shows to the product around it."""

    letters: tuple                          # that it bears
    ended: frozenset = frozenset()          # that were summed inside it, not by over=
    summed: tuple = ()                      # that this very product sums
    refused: frozenset = frozenset()        # that were summed in a scope and stand once beside it


@lru_cache(100_000)
def free_in_terms(e, free):
    """The letters that are free in every term of a sum: another term bears them alone."""
    products = [product for _, product in terms(e)]
    if len(products) == 1:
        return free
    readings = [read_product(product, free) for product in products]
    return free.union(*({*reading.letters} - reading.refused for reading in readings))


@lru_cache(100_000)
def read_scope(e, free):
    free = free_in_terms(e, free)
    readings = [read_product(product, free) for _, product in terms(e)]
    return joined(readings)


def joined(readings):
    letters = dict.fromkeys(i for reading in readings for i in reading.letters)
    ended = frozenset().union(*(reading.ended for reading in readings))
    refused = frozenset().union(*(reading.refused for reading in readings))
    return Reading(tuple(letters), ended, refused=refused)


@lru_cache(100_000)
def read_product(e, free):
    readings = [read_factor(factor, free) for factor, _ in factors(e)]
    inner = joined(readings)
    count = Counter(i for reading in readings for i in reading.letters)
    once = {i for i, times in count.items() if times == 1 and i not in free}
    summed = tuple(i for i, times in count.items() if times > 1 and i not in free)
    return Reading(letters=tuple(i for i in count if i not in summed),
                   ended=inner.ended.union(summed), summed=summed,
                   refused=inner.refused | (once & inner.ended))


def read_factor(e, free):
    if isinstance(e, ast.Constant):
        return Reading(())
    if isinstance(e, (ast.Name, ast.Subscript)):
        name, letters = named(e)
        if len(set(letters)) < len(letters):
            raise Refused(f"{name} has a letter twice")
        return Reading(letters)
    if isinstance(e, ast.BinOp):
        return read_factor(e.left, free)    # a power; sums and products are in brackets here
    function = e.func.id
    if function in MAPS:
        return read_scope(e.args[0], free)
    if function in LOSSES:
        first = read_factor(e.args[0], free)
        return Reading(tuple(i for i in first.letters if i not in class_letters(e, free)))
    bound = over(e)
    if len(set(bound)) < len(bound):
        raise Refused(f"over={bound} has a letter twice")
    inner = read_scope(e.args[0], free.union(bound))
    if not set(bound) <= {*inner.letters, BATCH}:
        raise Unsure(f"over={bound} and the argument bears {inner.letters}")
    if function == "softmax":
        return inner
    letters = tuple(i for i in inner.letters if i not in bound)
    return Reading(letters, inner.ended, refused=inner.refused)


def class_letters(e, free):
    """The letters over which a loss sums: those of its first argument that are not free."""
    first, second = (read_factor(a, free) for a in e.args)
    classes = tuple(i for i in first.letters if i not in free)
    rest = set(first.letters) - set(classes)
    distribution = set(second.letters) == set(first.letters)
    labels = set(second.letters) == rest and e.func.id != "squared_error"
    if not distribution and not labels:
        raise Unsure(f"{e.func.id} of {first.letters} and {second.letters}")
    if len(classes) != 1 and e.func.id != "squared_error":
        raise Unsure(f"{e.func.id} with the classes {classes}")
    return classes


def read(text):
    """Raises Refused where a line has no reading, or Unsure."""
    for line in parsed(text).values():
        reading = read_scope(line.right, frozenset(line.letters))
        if reading.refused:
            raise Refused(f"{set(reading.refused)} is summed in a scope and stands once beside it")
        letters = set(reading.letters)
        if letters - set(line.letters):
            raise Refused(f"{letters - set(line.letters)} stands once and {line.name} lacks it")
        if set(line.letters) - letters:
            raise Refused(f"{set(line.letters) - letters} stands nowhere on the right")


# ------------------------------------------------------------ values


@dataclass(frozen=True)
class Lettered:
    """A tensor with a letter for each axis."""

    tensor: object
    letters: tuple

    def spread(self, letters):
        """The tensor with its axes in this order; a letter that it lacks gets an axis of 1."""
        own = [self.letters.index(i) for i in letters if i in self.letters]
        shape = tuple(slice(None) if i in self.letters else None for i in letters)
        return self.tensor.permute(own)[shape]

    def reduced(self, how, letters):
        """sum, mean or logsumexp over these letters."""
        axes = tuple(self.letters.index(i) for i in letters if i in self.letters)
        if not axes:
            return self
        kept = tuple(i for i in self.letters if i not in letters)
        return Lettered(how(self.tensor, dim=axes), kept)


def every_letter(several):
    return tuple(dict.fromkeys(i for one in several for i in one.letters))


class Batch:
    """The values of one text for one batch, each computed when it is asked for."""

    def __init__(self, text, arrays, shared=()):
        """arrays: name -> tensor, with b in front of inputs that are not in `shared`."""
        self.lines, self.known = parsed(text), {}
        self.kinks, self.largest = [], 1.0
        for kind, found in zip(("parameter", "input"), roles(text)):
            for name, letters in found.items():
                bears = kind == "input" and name not in shared
                self.known[name] = Lettered(arrays[name], (BATCH,) * bears + letters)

    def value(self, name, letters=None):
        """A name's tensor; `letters` as they stand at this place."""
        if name not in self.known:
            line = self.lines[name]
            found = self.scope(line.right, frozenset(line.letters))
            order = (BATCH,) * (BATCH in found.letters) + line.letters
            tensor = found.spread(order)
            if not tensor.requires_grad:
                tensor = tensor.clone().requires_grad_()        # a constant has a gradient too
            self.known[name] = Lettered(tensor, order)
        known = self.known[name]
        front = known.letters[:1] if known.letters[:1] == (BATCH,) else ()
        return known if letters is None else Lettered(known.tensor, front + letters)

    def scope(self, e, free):
        free = free_in_terms(e, free)
        made = [(sign, self.product(product, free)) for sign, product in terms(e)]
        letters = every_letter(one for _, one in made)
        total = 0.0
        for sign, one in made:
            total = total + sign * one.spread(letters)
        return Lettered(total, letters)

    def product(self, e, free):
        made = [(self.factor(factor, free), power) for factor, power in factors(e)]
        letters = every_letter(one for one, _ in made)
        total = 1.0
        for one, power in made:
            total = total * one.spread(letters) if power == 1 else total / one.spread(letters)
        self.watch(total)
        return Lettered(total, letters).reduced(torch().sum, read_product(e, free).summed)

    def watch(self, tensor):
        """Remember how large numbers became on the way; inf for what is none."""
        top = float(tensor.detach().abs().max())
        self.largest = max(self.largest, top) if top == top else math.inf

    def factor(self, e, free):
        T = torch()
        if isinstance(e, ast.Constant):
            return Lettered(T.tensor(float(e.value), dtype=T.float64), ())
        if isinstance(e, (ast.Name, ast.Subscript)):
            return self.value(*named(e))
        if isinstance(e, ast.BinOp):
            base = self.factor(e.left, free)
            return Lettered(base.tensor ** exponent(e), base.letters)
        function = e.func.id
        if function in LOSSES:
            return self.loss(e, free)
        if function == "log" and is_call(e.args[0], "sigmoid"):     # its tail is lost in two steps
            inner = self.scope(e.args[0].args[0], free)
            return Lettered(T.nn.functional.logsigmoid(inner.tensor), inner.letters)
        inner = self.scope(e.args[0], free.union(over(e) if e.keywords else ()))
        if function == BRACKET:
            return inner
        if function in ("sum", "mean"):
            if not set(over(e)) <= set(inner.letters):
                raise Unsure(f"over={over(e)} and the argument bears {inner.letters}")
            return inner.reduced(getattr(T, function), over(e))
        if function == "softmax":
            axis = inner.letters.index(over(e)[0])
            return Lettered(T.softmax(inner.tensor, dim=axis), inner.letters)
        if function == "relu":
            self.kinks.append(float(inner.tensor.detach().abs().min()))
        return Lettered(getattr(T, function)(inner.tensor), inner.letters)

    def loss(self, e, free):
        T, classes = torch(), class_letters(e, free)
        first, second = (self.factor(a, free) for a in e.args)
        letters = every_letter([first, second])
        if e.func.id == "squared_error":
            gap = first.spread(letters) - second.spread(letters)
            return Lettered(0.5 * gap**2, letters).reduced(T.sum, classes)
        log = first.tensor.log()
        if e.func.id == "cross_entropy":
            log = first.tensor.log_softmax(first.letters.index(classes[0]))
        log = Lettered(log, first.letters)
        if set(classes) <= set(second.letters):
            weighed = -second.spread(letters) * log.spread(letters)
            return Lettered(weighed, letters).reduced(T.sum, classes)
        rest = tuple(i for i in letters if i not in classes)
        rows = log.spread((*rest, *classes))
        labels = second.spread(rest).long()
        shape = T.broadcast_shapes(labels.shape, rows.shape[:-1])
        rows, labels = rows.expand(*shape, -1), labels.expand(shape)
        return Lettered(-rows.gather(-1, labels[..., None])[..., 0], rest)


def is_call(e, function):
    return isinstance(e, ast.Call) and e.func.id == function


def exponent(e):
    """The number of a power, with its brackets and its minus."""
    right = e.right
    while isinstance(right, ast.Call):
        right = right.args[0]
    return ast.literal_eval(right)


def values(text, arrays, shared=()):
    """(name -> Lettered for each computed value; the batch, which knows what came on the way)"""
    batch = Batch(text, arrays, shared)
    return {name: batch.value(name) for name in parsed(text)}, batch


# ------------------------------------------------------------ gradients


def tensors(arrays):
    """float64 tensors that collect gradients; whole numbers stay labels."""
    T = torch()
    return {name: T.tensor(a) if np.asarray(a).dtype.kind in "iu"
            else T.tensor(np.asarray(a, float), requires_grad=True) for name, a in arrays.items()}


def gradients_of(scalar, wanted, **how):
    """name -> gradient, 0 where the scalar does not depend on it."""
    T = torch()
    names = [name for name, t in wanted.items() if t.requires_grad]
    if not scalar.requires_grad or not names:
        return {name: T.zeros_like(wanted[name]) for name in wanted}
    found = T.autograd.grad(scalar, [wanted[n] for n in names], allow_unused=True, **how)
    made = dict(zip(names, found))
    return {name: T.zeros_like(t) if made.get(name) is None else made[name]
            for name, t in wanted.items()}


@dataclass(frozen=True)
class Derivatives:
    values: dict            # name -> array, L[b] among them
    bears: set              # names that bear b
    grads: dict             # name -> d mean(L) / d name, times B for what bears b
    each: dict              # parameter -> d L[b] / d parameter, [b, ...]
    squares: np.ndarray     # [b], the sum of the squares of each[b]
    kink: float             # how near to 0 an argument of relu came
    largest: float          # the largest number on the way, inf if one was none


def derivatives(text, params, inputs, shared=()):
    """All that backpropagation gives, for one network and one batch.

    Inputs that are not in `shared` have b in front.
    """
    given = tensors({**params, **inputs})
    lettered, batch = values(text, given, shared)
    L = lettered["L"].tensor
    if lettered["L"].letters != (BATCH,):
        raise NoBatch
    B = len(L)
    floats = {name: t for name, t in given.items() if t.dtype.is_floating_point}
    wanted = {**floats, **{name: v.tensor for name, v in lettered.items()}}
    bearing = {name for name, v in batch.known.items() if v.letters[:1] == (BATCH,)}
    found = gradients_of(L.mean(), wanted, retain_graph=True)
    grads = {name: array(g) * (B if name in bearing else 1) for name, g in found.items()}
    own = {name: given[name] for name in params}
    rows = [gradients_of(one, own, retain_graph=True) for one in L]
    each = {name: np.stack([array(row[name]) for row in rows]) for name in params}
    squares = sum(((e**2).reshape(B, -1).sum(1) for e in each.values()), np.zeros(B))
    made = {name: array(v.tensor) for name, v in lettered.items()}
    return Derivatives(made, bearing, grads, each, squares,
                       min(batch.kinks, default=math.inf), batch.largest)


def array(tensor):
    return tensor.detach().numpy()


def hessian_vector(text, params, inputs, vectors, shared=()):
    """name -> H v, H the second derivative of mean(L) with respect to the parameters."""
    T, given = torch(), tensors({**params, **inputs})
    lettered, _ = values(text, given, shared)
    own = {name: given[name] for name in params}
    slopes = gradients_of(lettered["L"].tensor.mean(), own, create_graph=True)
    along = sum(((slopes[n] * T.tensor(v)).sum() for n, v in vectors.items()), T.tensor(0.0))
    return {name: array(g) for name, g in gradients_of(along, own).items()}


# ------------------------------------------------------------ by loops


def by_loops(text, arrays, sizes, shared=()):
    """name -> array: the values again, one number at a time in plain Python.

    sizes: letter -> size, b too. Of the above it shares the reading of the text and nothing else.
    """
    lines = parsed(text)
    inputs = roles(text)[1]
    bearing = bearers(text, {name for name in inputs if name not in shared})
    memory = {}

    def look_up(name, letters, at):
        place = tuple(at[i] for i in letters)
        front = (at[BATCH],) if name in bearing else ()
        if name not in lines:
            return float(arrays[name][front + place])
        key = (name, *front, *place)
        if key not in memory:
            line = lines[name]
            inner = dict(zip(line.letters, place)) | {BATCH: at.get(BATCH)}
            memory[key] = scope(line.right, frozenset(line.letters), inner)
        return memory[key]

    def places(letters, at):
        every = itertools.product(*(range(sizes[i]) for i in letters))
        return [at | dict(zip(letters, place)) for place in every]

    def scope(e, free, at):
        free = free_in_terms(e, free)
        return sum(sign * product(p, free, at) for sign, p in terms(e))

    def product(e, free, at):
        parts, summed = factors(e), read_product(e, free).summed
        return sum(math.prod(factor(f, free, p) ** power for f, power in parts)
                   for p in places(summed, at))

    def factor(e, free, at):
        if isinstance(e, ast.Constant):
            return float(e.value)
        if isinstance(e, (ast.Name, ast.Subscript)):
            return look_up(*named(e), at)
        if isinstance(e, ast.BinOp):
            return factor(e.left, free, at) ** exponent(e)
        function = e.func.id
        if function in LOSSES:
            return loss(e, free, at)
        bound = over(e) if e.keywords else ()
        inner = lambda p: scope(e.args[0], free.union(bound), p)
        if function == "softmax":
            return math.exp(inner(at)) / sum(math.exp(inner(p)) for p in places(bound, at))
        if function in ("sum", "mean"):
            every = [inner(p) for p in places(bound, at)]
            return sum(every) / (len(every) if function == "mean" else 1)
        if function in PLAIN:
            return PLAIN[function](inner(at))
        return getattr(math, function)(inner(at))

    def loss(e, free, at):
        classes = class_letters(e, free)
        first, second = (lambda p, a=a: factor(a, free, p) for a in e.args)
        every = places(classes, at)
        if e.func.id == "squared_error":
            return sum((first(p) - second(p)) ** 2 for p in every) / 2
        logs = [first(p) if e.func.id == "cross_entropy" else math.log(first(p)) for p in every]
        if e.func.id == "cross_entropy":
            total = math.log(sum(math.exp(s) for s in logs))
            logs = [s - total for s in logs]
        if set(classes) <= set(read_factor(e.args[1], free).letters):
            return -sum(second(p) * log for p, log in zip(every, logs))
        return -logs[int(second(at))]

    made = {}
    for name, line in lines.items():
        letters = (BATCH,) * (name in bearing) + line.letters
        flat = [look_up(name, line.letters, p) for p in places(letters, {})]
        made[name] = np.array(flat).reshape([sizes[i] for i in letters])
    return made


PLAIN = {
    "sigmoid": lambda s: 1 / (1 + math.exp(-s)),
    "relu": lambda s: max(s, 0.0),
    BRACKET: lambda s: s,
}


