"""Whole models, drawn by a seed: texts by the rule of summation, now and then one that breaks it.

    draw(seed) -> Model         text, sizes, arrays' kinds; valid or not, `torch_model.read` says
    arrays(model) -> (params, inputs), with b in front of inputs, r in front of all
    shrunk(model, fails) -> the smallest model found that still fails

An expression is drawn for the letters that it shall bear. A product gets each of them, once where
it is not free, and letters of its own, at least twice, to sum. Some texts then get a letter
exchanged or brackets taken away: most of these still mean something, another thing than before.
Numbers stay tame: what log, sqrt and a division meet is positive, exponents are small.
"""

import random
import re
from dataclasses import dataclass, replace

import numpy as np
import torch_model

LETTERS = "ijkl"
SIZES = (1, 1, 1, 2, 2, 3, 4, 5)
MAPS = ("tanh({})", "sigmoid({})", "relu({})", "tanh({})", "sigmoid({})", "exp(0.5*tanh({}))",
        "log(1 + ({})**2)", "sqrt(1 + ({})**2)", "exp(-0.3*({})**2)", "log(1 + exp(tanh({})))",
        "log(sigmoid({}))")
POSITIVE = ("(1 + ({})**2)", "sqrt(2 + tanh({}))", "(2 + tanh({}))", "exp(tanh({}))",
            "(0.5 + sigmoid({}))")
POWERS = (2, 2, 2, 3, 1, 0)
POSITIVE_POWERS = (-1, 0.5, 1.5, -0.5, -2, 2)
NUMBERS = ("2", "0.5", "3", "0.1", "(2)", "1.5")
CHANGED = 0.3               # the share of texts that something is done to


@dataclass(frozen=True)
class Model:
    text: str
    sizes: dict             # letter -> size; b and r are not among them
    B: int
    ragged: int             # a smaller last batch
    R: int
    replica_first: bool     # with_index("r") before with_index("b")
    shared: tuple           # inputs without b
    one_for_all: tuple      # inputs without r
    labels: dict            # input -> the letter whose size its labels stay below
    distributions: dict     # input -> the letter over which it sums to 1
    seed: int

    def __str__(self):
        rest = ", ".join(f"{name}={value}" for name, value in vars(self).items() if name != "text")
        return f"{self.text}\n{rest}"


def draw(seed):
    return Drawing(seed).model()


class Drawing:
    """One model in the making."""

    def __init__(self, seed):
        self.seed, self.random = seed, random.Random(seed)
        self.letters = LETTERS[: self.random.randint(2, 4)]
        self.known = {}                 # name -> letters
        self.kinds = {"input": [], "parameter": [], "value": [], "target": []}
        self.labels, self.distributions = {}, {}
        self.lines = []
        self.parameters_alone = False
        self.left = self.random.choice((4, 8, 12, 16, 24))      # names to write, about

    # -------------------------------------------------------- choices

    def maybe(self, share):
        return self.random.random() < share

    def some(self, letters, most=3):
        """A few of the letters."""
        letters = sorted(letters)           # a set has no order that a seed could fix
        return self.random.sample(letters, min(len(letters), self.random.randint(0, most)))

    def one(self, several):
        return self.random.choice(list(several))

    # -------------------------------------------------------- names

    def reference(self, letters, positive=False):
        """A name with these letters: a known one, perhaps under other letters, or a new one."""
        letters = sorted(letters)
        self.left -= 1
        kinds = ["parameter"] if self.parameters_alone else ["parameter", "input", "value"]
        fits = [name for kind in kinds for name in self.kinds[kind]
                if len(self.known[name]) == len(letters) and (name[0] in "pQ") >= positive]
        same = [name for name in fits if set(self.known[name]) == set(letters)]
        values = [name for name in same if name in self.kinds["value"]]
        for choice, share in ((values, 0.5), (same, 0.5), (fits, 0.2)):
            if choice and self.maybe(share):
                name = self.one(choice)
                if set(self.known[name]) == set(letters):
                    letters = self.known[name]
                return written(name, letters)
        kind = "parameter" if self.parameters_alone or self.maybe(0.5) else "input"
        initial = {("parameter", False): "W", ("parameter", True): "Q", ("input", False): "x",
                   ("input", True): "p"}[kind, positive]
        self.random.shuffle(letters)
        return written(self.new(initial, letters, kind), letters)

    def new(self, initial, letters, kind):
        name = initial + str(len(self.known))
        self.known[name] = tuple(letters)
        self.kinds[kind].append(name)
        return name

    def line(self, initial, letters, right):
        """One more statement; returns its left side."""
        left = written(self.new(initial, letters, "value"), letters)
        self.lines.append(f"{left} = {right}")
        return left

    # -------------------------------------------------------- expressions

    def expression(self, bear, free, avoid=frozenset(), depth=2):
        """A sum of products that bears these letters.

        free: letters that are never summed by themselves.
        avoid: letters that no scope in it may sum.
        """
        bear = set(bear)
        count = self.one((1, 1, 1, 2, 2, 3)) if self.left > 0 else 1
        if count == 1:
            return self.product(bear, free, avoid, depth)
        terms = [set(self.some(bear)) for _ in range(count)]
        alone = {i: self.random.randrange(count) for i in sorted(bear - free)}  # its one term
        for i in sorted(bear):
            terms[alone.get(i, self.random.randrange(count))].add(i)
        text = ""
        for k, letters in enumerate(terms):
            others = {i for i, at in alone.items() if at != k}
            made = self.product(letters, free | others, avoid, depth)
            text += (self.one((" + ", " - ")) if text else "") + made
        if self.maybe(0.15):
            text += self.one((" + ", " - ")) + self.one(NUMBERS)
        return text

    def product(self, bear, free, avoid, depth):
        count = self.one((1, 2, 2, 2, 3, 3, 4)) if self.left > 0 else self.one((1, 2))
        own = sorted(set(self.letters) - free - bear - avoid) if count > 1 else ()
        summed = self.some(own, 2)
        parts = [set() for _ in range(count)]
        for i in summed:
            for k in self.random.sample(range(count), self.random.randint(2, count)):
                parts[k].add(i)
        for i in sorted(bear):
            often = self.random.randint(1, count) if i in free and self.maybe(0.5) else 1
            for k in self.random.sample(range(count), often):
                parts[k].add(i)
        avoid = avoid | (bear - free)
        text = self.one(("", "", "", "-", f"{self.one(NUMBERS)} * "))
        for k, letters in enumerate(parts):
            divides = k > 0 and self.maybe(0.15)
            make = self.positive if divides else self.factor
            text += (" / " if divides else " * ") * (k > 0) + make(letters, free, avoid, depth)
        return text

    def factor(self, bear, free, avoid, depth):
        if depth == 0 or self.left <= 0 or self.maybe(0.5):
            if self.maybe(0.12):
                return f"{self.reference(bear)}**{self.one(POWERS)}"
            return self.reference(bear)

        def inner(more=()):
            return self.expression(bear | set(more), free | set(more), avoid, depth - 1)

        kind = self.random.random()
        if kind < 0.45:
            return self.one(MAPS).format(inner())
        if kind < 0.7:
            power = f"**{self.one(POWERS)}" if self.maybe(0.25) else ""
            if self.maybe(0.3):
                return f"({self.one(NUMBERS)} * ({inner()})){power}"
            return f"({inner()}){power}"
        if kind < 0.8:
            return self.positive(bear, free, avoid, depth)
        if kind < 0.9:
            return self.reduction(bear, free, avoid, depth)
        if bear:
            y = self.one(sorted(bear))
            return f"softmax({inner(y)}, over={y})"
        return self.one(NUMBERS)

    def reduction(self, bear, free, avoid, depth):
        left = sorted(set(self.letters) - bear)
        if not left:
            return self.reference(bear)
        bound = self.random.sample(left, self.random.randint(1, min(2, len(left))))
        inner = self.expression(bear | set(bound), free | set(bound), avoid, depth - 1)
        over = bound[0] if len(bound) == 1 else f"({','.join(bound)})"
        return f"{self.one(('sum', 'mean'))}({inner}, over={over})"

    def positive(self, bear, free, avoid, depth):
        if depth == 0 or self.left <= 0 or self.maybe(0.5):
            power = f"**{self.one(POSITIVE_POWERS)}" if self.maybe(0.5) else ""
            root = self.one(("{}", "{}", "sqrt({})"))
            return root.format(self.reference(bear, positive=True)) + power
        inner = self.expression(bear, free, avoid, depth - 1)
        return self.one(POSITIVE).format(inner)

    # -------------------------------------------------------- statements

    def model(self):
        for _ in range(self.random.randint(0, 3)):
            self.value()
        if self.maybe(0.12):
            self.normalised()
        loss = self.loss()
        self.lines.append(f"L = {self.whole(loss)}")
        if self.maybe(0.2):
            self.random.shuffle(self.lines)
        text = "\n".join(self.lines)
        for _ in range(self.random.randint(1, 2) if self.maybe(CHANGED) else 0):
            text = self.changed(text)
        return self.finished(text)

    def value(self):
        letters = self.some(self.letters)
        right = self.expression(letters, frozenset(letters), depth=self.one((1, 2, 2, 3)))
        if self.maybe(0.3):
            right = self.one(MAPS).format(right)
        elif letters and self.maybe(0.1):
            right = f"softmax({right}, over={self.one(letters)})"
        self.line("h", letters, right)

    def normalised(self):
        """Examples are coupled by their mean and variance."""
        letters = self.some(self.letters, 2)
        z = self.line("z", letters, f"{self.reference(letters)} * {self.new_one('x', letters)}")
        m = self.line("m", letters, f"mean({z}, over=b)")
        v = self.line("v", letters, f"mean(({z} - {m})**2, over=b)")
        self.line("h", letters, f"({z} - {m}) / sqrt({v} + 0.5)")

    def new_one(self, initial, letters):
        kind = "parameter" if initial.isupper() else "input"
        return written(self.new(initial, letters, kind), letters)

    def loss(self):
        """The statements of a loss; returns the scalar that it is."""
        kind = self.one(("labels", "scores", "nll", "soft", "squares", "squares", "none",
                         "sequence"))
        if kind == "none":
            right = self.expression((), frozenset(), depth=2)
            return f"{right} + 0.1 * {self.new_one('x', ())}**2"
        if kind == "squares":
            letters = self.some(self.letters, 2)
            s = self.line("s", letters, self.scores(letters))
            t = self.new_one(self.one("xxxT"), letters)
            if self.maybe(0.3):
                t = self.line("g", letters, self.scores(letters))
            return f"squared_error({s}, {t})"
        letters = ["y"] if kind != "sequence" else [self.one(self.letters), "y"]
        s = self.line("s", letters, self.scores(letters))
        rest = letters[:-1]
        if kind in ("nll", "soft"):
            s = self.line("P", letters, f"softmax({s}, over=y)")
        if kind in ("scores", "soft") or (kind == "sequence" and self.maybe(0.3)):
            t = self.new(self.one("tttT"), letters, "target")       # T is learned
            self.distributions[t] = "y"
        else:
            t, letters = self.new("target", rest, "target"), rest
            self.labels[t] = "y"
        function = "nll" if kind in ("nll", "soft") else "cross_entropy"
        made = f"{function}({s}, {written(t, letters)})"
        if kind != "sequence":
            return made
        each = self.line("e", rest, made)
        return f"{self.one(('sum', 'mean'))}({each}, over={rest[0]})"

    def scores(self, letters):
        """Something that bears these letters, half the time as a layer is written."""
        right = self.expression(letters, frozenset(letters))
        others = sorted(set(self.letters) - set(letters))
        if others and self.maybe(0.5):
            i = self.one(others)
            right = f"{self.new_one('W', [*letters, i])} * {self.reference(i)}"
        added = self.one("Cx") if self.depends_on_inputs(right) else "x"
        return f"{right} - {self.new_one(added, letters)}"

    def depends_on_inputs(self, right):
        text = "\n".join([*self.lines, f"this = {right}"])
        return "this" in torch_model.bearers(text, torch_model.roles(text)[1])

    def whole(self, loss):
        """L from the loss: weighed, with a regulariser of parameters, with something beside it."""
        form = self.one(("{}", "{}", "{}", "w * {}", "0.5 * {} + {J}", "{} + lam * {J}", "{} + {e}",
                         "{} * sigmoid({e})", "-(-{}) + {J}"))
        if "J" in form and self.kinds["parameter"]:
            self.parameters_alone = True
            letters = self.some(self.letters, 2)
            inner = f"({self.expression(letters, frozenset(letters), depth=1)})**2"
            over = f"({','.join(letters)})" if len(letters) > 1 else "".join(letters)
            regulariser = f"sum({inner}, over={over})" if letters else inner
            self.parameters_alone = False
            J = self.line("J", (), regulariser) if self.maybe(0.5) else f"({regulariser})"
        else:
            J = "0.5"
        loss = f"({loss})" if loss.count(" + ") and "* {}" in form or form.startswith("-") else loss
        e = self.expression((), frozenset(), depth=1) if "{e}" in form else ""
        return form.format(loss, J=J, e=e)

    # -------------------------------------------------------- changes

    def changed(self, text):
        """The text with a letter exchanged, or with brackets or an `over` taken away or added."""
        lines = text.splitlines()
        kept = (*torch_model.LOSSES, "over=b")
        at = [k for k, line in enumerate(lines)
              if line[0] != "P" and not any(word in line for word in kept)]
        if not at:
            return text
        k = self.one(at)
        left, right = lines[k].split(" = ", 1)
        change = self.one((self.exchanged, self.exchanged, self.opened, self.closed, self.unbound))
        lines[k] = f"{left} = {change(right)}"
        return "\n".join(lines)

    def exchanged(self, right):
        places = [m.start() for m in re.finditer(r"(?<=[\[,=])[ijkl](?=[\],)])", right)]
        if not places:
            return right
        at = self.one(places)
        return right[:at] + self.one(self.letters) + right[at + 1:]

    def opened(self, right):
        """Without one pair of brackets."""
        power = re.compile(r"\*\*-?[\d.]+$")        # must not get another power
        pairs = [pair for pair in brackets(right) if not power.search(right[:pair[1]])]
        if not pairs:
            return right
        first, last = self.one(pairs)
        return right[:first] + right[first + 1:last] + right[last + 1:]

    def closed(self, right):
        """With brackets around two factors that stand side by side."""
        return re.sub(r"(\w+\[[\w,]+\] \* \w+\[[\w,]+\])", r"(\1)", right, count=1)

    def unbound(self, right):
        """With brackets in place of a sum(..., over=...)."""
        first = right.find("sum(")
        if first < 0:
            return right
        last = matching(right, first + 3)
        inside = right[first + 3:last].rsplit(", over=", 1)[0]
        return right[:first] + inside + right[last:]

    # -------------------------------------------------------- sizes

    def finished(self, text):
        inputs = torch_model.roles(text)[1]
        able = [n for n in inputs if n not in self.labels]      # each example has its own label
        shared = [n for n in able if n == "lam" or self.maybe(0.15)]
        alike = [n for n in able if self.maybe(0.2)]
        if set(shared) == set(inputs):
            shared = []
        B = self.one((1, 2, 2, 3, 4, 5))
        return Model(
            text=text, sizes=self.drawn_sizes(text), B=B, ragged=self.random.randint(1, B),
            R=self.one((1, 2, 2, 3)), replica_first=self.maybe(0.5),
            shared=tuple(shared), one_for_all=tuple(alike),
            labels={n: y for n, y in self.labels.items() if n in inputs},
            distributions=dict(self.distributions), seed=self.seed)

    def drawn_sizes(self, text):
        """letter -> size: one size for all letters that stand at one place of one name."""
        letters = {i for _, letters in torch_model.references(text) for i in letters}
        group, first = {i: i for i in sorted(letters)}, {}
        for name, letters in torch_model.references(text):
            for i, j in zip(letters, first.setdefault(name, letters)):
                old, new = group[i], group[j]
                group = {k: new if g == old else g for k, g in group.items()}
        drawn = {g: self.one(SIZES) for g in dict.fromkeys(group.values())}
        return {i: drawn[g] for i, g in group.items()}


def written(name, letters):
    return f"{name}[{','.join(letters)}]" if letters else name


def brackets(text):
    """(first, last) of each pair of brackets that is no function's and no over's."""
    opened = []
    for k, c in enumerate(text):
        if c == "(":
            opened.append(k)
        elif c == ")":
            first = opened.pop()
            if not re.search(r"[\w=]$", text[:first]):
                yield first, k


# ------------------------------------------------------------ arrays


def arrays(model, batch):
    """(parameters, inputs) of R networks: r in front of all, then b where inputs bear it."""
    parameters, inputs = torch_model.roles(model.text)

    def numbers(rng, name, letters, front):
        shape = [*front, *(model.sizes[i] for i in letters)]
        if name in model.labels:
            return rng.integers(0, model.sizes[model.labels[name]], shape)
        if name in model.distributions:
            weights = rng.uniform(0.1, 1, shape)
            axis = len(front) + letters.index(model.distributions[name])
            return weights / weights.sum(axis, keepdims=True)
        if name[0] in "pQ":
            return rng.uniform(0.5, 1.5, shape)
        return rng.normal(size=shape) * 0.6 + 0.1

    rng = np.random.default_rng(model.seed)             # the same parameters for every batch
    made = {n: numbers(rng, n, letters, [model.R]) for n, letters in parameters.items()}
    rng = np.random.default_rng([model.seed, batch])
    given = {}
    for name, letters in inputs.items():
        networks = 1 if name in model.one_for_all else model.R
        front = [networks] if name in model.shared else [networks, batch]
        given[name] = numbers(rng, name, letters, front)
    return made, given


# ------------------------------------------------------------ shrinking


def shrunk(model, fails):
    """The smallest model found, change by change, that still fails. fails: model -> bool."""
    improved = True
    while improved:
        improved = False
        for smaller in simpler(model):
            if weight(smaller) < weight(model) and fails(smaller):
                model, improved = smaller, True
                break
    return model


def weight(model):
    return len(model.text) + sum(model.sizes.values()) + model.B + model.ragged + model.R


def simpler(model):
    """Models with a little less in them."""
    if model.B > 1:
        yield replace(model, B=1, ragged=1)
        yield replace(model, B=2, ragged=min(2, model.ragged))
    if model.R > 1:
        yield replace(model, R=1)
    for letter, size in model.sizes.items():
        for less in (1, 2):
            if less < size:
                yield with_text(model, model.text, {letter: less})
    lines = model.text.splitlines()
    for k, line in enumerate(lines):
        if not line.startswith("L "):           # what it computed becomes an input or a parameter
            yield with_text(model, "\n".join(lines[:k] + lines[k + 1:]))
        left, right = line.split(" = ", 1)
        for less in shorter(right):
            yield with_text(model, "\n".join([*lines[:k], f"{left} = {less}", *lines[k + 1:]]))


def shorter(right):
    """The right side without one of its parts."""
    for first, last in brackets(right):
        yield right[:first] + right[first + 1:last] + right[last + 1:]
        yield right[:first] + "2" + right[last + 1:]
    for m in re.finditer(r"\w+\(", right):      # a function's argument in its place, or a number
        last = matching(right, m.end() - 1)
        inside = right[m.end():last]
        yield right[:m.start()] + f"({inside.split(', ')[0]})" + right[last + 1:]
        yield right[:m.start()] + "2" + right[last + 1:]
    name = r"-?[\w.]+(\[[\w,]+\])?(\*\*-?[\d.]+)?"
    for m in re.finditer(rf"(?<=[\w)\]]) [*/+-] {name}(?!\w*\()", right):
        yield right[:m.start()] + right[m.end():]
    for m in re.finditer(rf"(?<![\w*]){name} [*+] ", right):
        yield right[:m.start()] + right[m.end():]
    for m in re.finditer(r"\*\*-?[\d.]+|(?<![\w)\]] )-", right):
        yield right[:m.start()] + right[m.end():]


def matching(text, first):
    deep = 0
    for k in range(first, len(text)):
        deep += (text[k] == "(") - (text[k] == ")")
        if deep == 0:
            return k
    return len(text)


def with_text(model, text, sizes=()):
    """The model with another text, sizes made to agree again; itself where the text is none."""
    try:
        inputs = torch_model.roles(text)[1]
        known, first = {**model.sizes, **dict(sizes)}, {}
        for _ in model.sizes:
            for name, letters in torch_model.references(text):
                for i, j in zip(letters, first.setdefault(name, letters)):
                    known[i] = known[j] = min(known[i], known[j])
        found = {i for _, letters in torch_model.references(text) for i in letters}
    except (SyntaxError, AttributeError, KeyError, IndexError):
        return model
    return replace(model, text=text, sizes={i: known[i] for i in sorted(found)},
                   shared=tuple(n for n in model.shared if n in inputs),
                   one_for_all=tuple(n for n in model.one_for_all if n in inputs),
                   labels={n: y for n, y in model.labels.items() if n in inputs},
                   distributions=model.distributions)
