"""The slides' notation as data: text -> tree -> text.

One statement a line, `name[indices] = expression`. The text is parsed by the standard library's `ast`, walked
against a list of what is allowed, and never evaluated. What the statements mean is decided in `indexing`.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

MAPS = ("sigmoid", "tanh", "relu", "exp", "log", "sqrt")        # one value in, one value out
REDUCTIONS = ("sum", "mean")                                    # over= removes the index
LOSSES = ("cross_entropy", "nll", "squared_error")              # (what the net says, what is right)
FUNCTIONS = (*MAPS, *REDUCTIONS, "softmax", *LOSSES)
RESERVED = ("B", "N")

MAX_TEXT, MAX_LINE, MAX_DEPTH, MAX_POWER = 20_000, 1_000, 40, 16


INSTEAD = {ast.MatMult: "@ is not needed: write W0[j,i] * x[i], and the repeated i is summed", ast.BitXor: "a power is written **"}


class NotationError(ValueError):
    """Text that is no model: says the line, the column, and why, with a caret under the place."""

    def __init__(self, reason, line=1, column=1, source=""):
        self.reason, self.line, self.column, self.source = reason, line, column, source
        shown = source if len(source) <= 160 else ""
        caret = f"\n    {shown}\n    {' ' * (column - 1)}^" if shown else ""
        super().__init__(f"line {line}, column {column}: {reason}{caret}")


@dataclass(frozen=True)
class Number:
    value: float
    at: int = field(default=0, compare=False)

    def __str__(self):
        short = f"{self.value:g}"
        return short if float(short) == self.value else repr(self.value)


@dataclass(frozen=True)
class Ref:
    """A name with its indices. In loops an index may itself be a Ref: P.grad[b,target[b]]."""

    name: str
    indices: tuple = ()
    at: int = field(default=0, compare=False)

    def __str__(self):
        return f"{self.name}[{','.join(map(str, self.indices))}]" if self.indices else self.name


@dataclass(frozen=True)
class Sum:
    """Signed terms: ((1, a), (-1, b)) is a - b."""

    terms: tuple
    at: int = field(default=0, compare=False)

    def __str__(self):
        text = "".join(f" {'+' if sign > 0 else '-'} {_inside(term, Sum)}" for sign, term in self.terms)
        return text[3:] if self.terms[0][0] > 0 else "-" + text[3:]


@dataclass(frozen=True)
class Product:
    """Factors; a / b is the product of a and b**-1."""

    factors: tuple
    at: int = field(default=0, compare=False)

    def __str__(self):
        text = ""
        for factor in self.factors:
            if text and isinstance(factor, Power) and factor.exponent == -1:
                text += f" / {_inside(factor.base, Sum, Product)}"
            elif isinstance(factor, Product):                   # the parser makes none: (1/B) in the loops
                text += f"{' * ' * bool(text)}({str(factor).replace(' ', '')})"
            else:
                text += f"{' * ' * bool(text)}{_inside(factor, Sum)}"
        return text


@dataclass(frozen=True)
class Power:
    base: object
    exponent: float
    at: int = field(default=0, compare=False)

    def __str__(self):
        return f"{_inside(self.base, Sum, Product, Power)}**{self.exponent:g}"


@dataclass(frozen=True)
class Call:
    function: str
    args: tuple
    over: tuple = ()
    at: int = field(default=0, compare=False)

    def __str__(self):
        over = [f"over={self.over[0]}"] if len(self.over) == 1 else [f"over=({','.join(self.over)})"] if self.over else []
        return f"{self.function}({', '.join([*map(str, self.args), *over])})"


@dataclass(frozen=True)
class Statement:
    left: Ref
    right: object
    line: int = field(default=1, compare=False)
    source: str = field(default="", compare=False)

    def __str__(self):
        return f"{self.left} = {self.right}"

    def error(self, reason, node=None):
        return NotationError(reason, self.line, getattr(node, "at", 0) + 1, self.source)


def _inside(node, *kinds):
    return f"({node})" if isinstance(node, kinds) else str(node)


def children(node):
    """The expressions directly below a node."""
    match node:
        case Sum(): return tuple(term for _, term in node.terms)
        case Product(): return node.factors
        case Power(): return (node.base,)
        case Call(): return node.args
    return ()


def refs(node):
    """Every name with its indices in an expression, from left to right."""
    return (node,) if isinstance(node, Ref) else tuple(r for child in children(node) for r in refs(child))


def rebuilt(node, change):
    """The same expression with every Ref replaced by change(ref)."""
    match node:
        case Ref(): return change(node)
        case Sum(): return Sum(tuple((sign, rebuilt(t, change)) for sign, t in node.terms), node.at)
        case Product(): return Product(tuple(rebuilt(f, change) for f in node.factors), node.at)
        case Power(): return Power(rebuilt(node.base, change), node.exponent, node.at)
        case Call(): return Call(node.function, tuple(rebuilt(a, change) for a in node.args), node.over, node.at)
    return node


def parse(text):
    """Text -> tuple of Statements; NotationError with the place and the reason for anything else."""
    if not isinstance(text, str):
        raise TypeError(f"text: expected the equations as a string, got {type(text).__name__}")
    if len(text) > MAX_TEXT:
        raise NotationError(f"the text has {len(text):,} characters; a model has at most {MAX_TEXT:,}")
    lines = ((n, re.split("[#]", line, maxsplit=1)[0].rstrip()) for n, line in enumerate(text.split("\n"), 1))
    statements = tuple(_Line(n, line).statement() for n, line in lines if line.strip())
    if not statements:
        raise NotationError("there is no equation here; write one a line, as in h[j] = sigmoid(W0[j,i] * x[i] - C0[j])")
    return statements


class _Line:
    """One line's parser: it knows the line so that every refusal can point at the place."""

    def __init__(self, number, line):
        self.number, self.indent, self.source = number, len(line) - len(line.lstrip()), line

    def error(self, reason, at=0):
        at = at if isinstance(at, int) else getattr(at, "col_offset", 0)
        return NotationError(reason, self.number, at + 1, self.source)

    def statement(self):
        tree = self.tree()
        if len(tree.body) != 1 or not isinstance(tree.body[0], ast.Assign) or len(tree.body[0].targets) != 1:
            raise self.error("write one equation a line: name[indices] = expression")
        assign = tree.body[0]
        if not isinstance(assign.targets[0], (ast.Name, ast.Subscript)):
            raise self.error("the left side must be one name with its indices, as in h[j]", assign.targets[0])
        return Statement(self.ref(assign.targets[0]), self.expression(assign.value), self.number, self.source)

    def tree(self):
        if len(self.source) > MAX_LINE:
            raise self.error(f"the line has {len(self.source):,} characters; at most {MAX_LINE:,} are read")
        strange = next((k for k, c in enumerate(self.source) if not (" " <= c <= "~")), None)
        if strange is not None:
            hint = "the slides' sigma is written sigmoid" if self.source[strange] in "\u03c3\u03a3" else "use plain letters"
            raise self.error(f"the character {self.source[strange]!a} is not part of the notation; {hint}", strange)
        depth = 0
        for k, c in enumerate(self.source):
            depth += (c in "([{") - (c in ")]}")
            if depth > MAX_DEPTH:
                raise self.error(f"brackets are nested more than {MAX_DEPTH} deep; give the inside a line of its own", k)
        try:
            tree = ast.parse(self.source[self.indent:], mode="exec")
        except SyntaxError as e:
            said = e.msg.replace("Perhaps you forgot a comma?", "A product is written with *.")
            raise self.error(f"this is not an equation: {said}", self.indent + max(0, (e.offset or 1) - 1)) from None
        except (ValueError, RecursionError, MemoryError) as e:
            raise self.error(f"this cannot be read: {type(e).__name__}") from None
        level, deep = [tree], 0
        while level:
            for node in level:
                node.col_offset = getattr(node, "col_offset", 0) + self.indent
            level, deep = [child for node in level for child in ast.iter_child_nodes(node)], deep + 1
            if deep > 4 * MAX_DEPTH:
                raise self.error("the expression is nested too deeply; give a part of it a line of its own")
        return tree

    def expression(self, node):
        match node:
            case ast.Constant(value=bool() | complex()): pass
            case ast.Constant(value=int() | float()): return self.number_of(node)
            case ast.Name() | ast.Subscript(): return self.ref(node)
            case ast.UnaryOp(op=ast.USub()): return Sum(((-1, self.expression(node.operand)),), node.col_offset)
            case ast.BinOp(op=ast.Add() | ast.Sub()): return self.sum(node)
            case ast.BinOp(op=ast.Mult() | ast.Div()): return self.product(node)
            case ast.BinOp(op=ast.Pow()): return Power(self.expression(node.left), self.exponent(node.right), node.col_offset)
            case ast.Call(): return self.call(node)
        if isinstance(node, ast.BinOp) and type(node.op) in INSTEAD:
            raise self.error(INSTEAD[type(node.op)], node)
        what = {ast.Attribute: "a dot after a name", ast.Lambda: "a lambda", ast.Compare: "a comparison"}
        raise self.error(f"{what.get(type(node), type(node).__name__)} is not part of the notation; "
                         "there are names, indices, numbers, + - * / ** and the listed functions", node)

    def number_of(self, node):
        try:
            value = float(node.value)
        except OverflowError:
            value = float("inf")
        if value in (float("inf"), float("-inf")):
            raise self.error("this number is too large", node)
        return Number(value, node.col_offset)

    def sum(self, node):
        sign = 1 if isinstance(node.op, ast.Add) else -1
        left, right = self.expression(node.left), self.expression(node.right)
        terms = left.terms if isinstance(left, Sum) else ((1, left),)
        return Sum((*terms, (sign, right)), node.col_offset)

    def product(self, node):
        left, right = self.expression(node.left), self.expression(node.right)
        if isinstance(node.op, ast.Div):
            right = Power(right, -1, right.at)
        sides = (side.factors if isinstance(side, Product) else (side,) for side in (left, right))
        return Product(tuple(f for side in sides for f in side), node.col_offset)

    def exponent(self, node):
        value = node.operand if (negative := isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)) else node
        number = isinstance(value, ast.Constant) and type(value.value) in (int, float)
        if not number or not abs(value.value) <= MAX_POWER:
            raise self.error(f"an exponent must be a number between -{MAX_POWER} and {MAX_POWER}", node)
        return -float(value.value) if negative else float(value.value)

    def call(self, node):
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            name = node.func.id if isinstance(node.func, ast.Name) else "this"
            hint = "; write exp(...), without np." if isinstance(node.func, ast.Attribute) else "; the slides' sigma is sigmoid" * (name == "sigma")
            raise self.error(f"{name[:40]!r} is no function here; there are {', '.join(FUNCTIONS)}{hint}", node.func)
        function, wanted = node.func.id, 2 if node.func.id in LOSSES else 1
        if len(node.args) != wanted:
            raise self.error(f"{function} takes {wanted} argument{'s' * (wanted > 1)}, got {len(node.args)}", node)
        over = self.over(node, function)
        return Call(function, tuple(self.expression(a) for a in node.args), over, node.col_offset)

    def over(self, node, function):
        takes = function in REDUCTIONS or function == "softmax"
        if takes and [k.arg for k in node.keywords] != ["over"]:
            raise self.error(f"{function} needs to know over which index: {function}(..., over=i)", node)
        if not takes and node.keywords:
            raise self.error(f"{function} takes no {str(node.keywords[0].arg)[:40]}=", node)
        if not takes:
            return ()
        value = node.keywords[0].value
        parts = value.elts if isinstance(value, ast.Tuple) and function in REDUCTIONS else [value]
        indices = tuple(self.index(part) for part in parts)
        if len(set(indices)) < len(indices):
            raise self.error(f"{function} names an index twice in over=", value)
        return indices

    def ref(self, node):
        if isinstance(node, ast.Subscript) and not isinstance(node.value, ast.Name):
            raise self.error("indices stand behind a name, once: x[b,i]", node)
        name = node.id if isinstance(node, ast.Name) else node.value.id
        if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) or "__" in name:
            raise self.error(f"{name[:40]!r} is not a name here: a letter, then letters, digits and single _", node)
        if name in FUNCTIONS:
            raise self.error(f"{name!r} is a function; it cannot be the name of a value", node)
        if name in RESERVED:
            raise self.error(f"{name!r} is reserved: B is the batch size, N the number of examples", node)
        if isinstance(node, ast.Name):
            return Ref(name, (), node.col_offset)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        indices = tuple(self.index(part) for part in parts)
        twice = next((i for i in indices if indices.count(i) > 1), None)
        if twice:
            raise self.error(f"{name} has the index {twice} twice; a diagonal is not part of the notation", node)
        return Ref(name, indices, node.col_offset)

    def index(self, node):
        if not isinstance(node, ast.Name) or not re.fullmatch("[a-z][a-z0-9]*", node.id):
            raise self.error("an index is a small letter, as in x[b,i]", node)
        return node.id
