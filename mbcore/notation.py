"""The slides' notation as data: text -> tree -> text.

One statement a line, `name[indices] = expression`. The text is parsed by the standard library's
`ast`, walked against a list of what is allowed, and never evaluated. A bracketed product stays a
Product of its own inside the product around it, because a bracket is a place where letters are
summed. Which are, is decided in `indexing`.
"""

from __future__ import annotations

import ast
import re
import unicodedata
from keyword import iskeyword
from dataclasses import dataclass, field, replace

MAPS = ("sigmoid", "tanh", "relu", "exp", "log", "sqrt")  # one value in, one value out
REDUCTIONS = ("sum", "mean")  # over= removes the index
LOSSES = ("cross_entropy", "nll", "squared_error")  # (what the net says, what is right)
FUNCTIONS = (*MAPS, *REDUCTIONS, "softmax", *LOSSES)
RESERVED = ("B", "N")

MAX_TEXT, MAX_LINE, MAX_DEPTH, MAX_POWER = 20_000, 1_000, 40, 16


INSTEAD = {
    ast.MatMult: "@ is not needed: write W0[j,i] * x[i], and the repeated i is summed",
    ast.BitXor: "a power is written **",
}

# What Python says of a line that it cannot read -> what that means here.
MISTAKES = {
    "invalid decimal literal": "a product is written with *, as in 2 * x",
    "invalid syntax": "something does not belong here; a product is written with *, as in 2 * x",
    "line continuation": "there is no backslash here; write sigmoid(x), sum(..., over=i)",
    "string literal": "there are no quotation marks and no primes here; call it h2",
    "was never closed": "a bracket is not closed; an equation stands on one line",
    "positional argument follows": "several indices stand in brackets, as in over=(i, j)",
    "leading zeros": "a number does not begin with a 0 here",
}
WORDS = {
    ast.Attribute: "a dot after a name",
    ast.Lambda: "a lambda",
    ast.Compare: "a comparison",
    ast.UnaryOp: "this sign before a value",
    ast.BinOp: "this sign between two values",
    ast.BoolOp: "a logical word",
    ast.List: "a list",
    ast.Tuple: "a comma",
    ast.Set: "a curly bracket",
    ast.Dict: "a curly bracket",
    ast.Constant: "a text or a logical word",
    ast.JoinedStr: "a text",
    ast.IfExp: "if",
    ast.NamedExpr: "this sign",
    ast.Starred: "a star before a value",
}

# What people paste from a slide or a text, and what to type instead.
TYPE_INSTEAD = {
    "\u2212\u2010\u2011\u2012\u2013\u2014\u2015": "type -",
    "\u00b7\u22c5\u00d7\u2217\u2022\u2219\u2062": "a product is written *",
    "\u00f7\u2215\u2044\u2236": "a quotient is written /",
    "\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb": "no quotation marks here; delete it",
    "\u2032\u2033": "a name has no prime; call it h2",
    "\u03c3": "the slides' sigma is written sigmoid",
    "\u03a3\u2211": "a repeated index is summed; any other sum is sum(..., over=i)",
    "\u221a": "a root is written sqrt(...)",
    "\u2190\u2254\u21d0": "type =",
    "\u2299": "the product of two values with the same indices is written *",
    "\t": "type spaces",
}


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
        text = "".join(
            f" {'+' if sign > 0 else '-'} {_inside(term, Sum)}" for sign, term in self.terms
        )
        return text[3:] if self.terms[0][0] > 0 else "-" + text[3:]


@dataclass(frozen=True)
class Product:
    """Factors; a / b is the product of a and b**-1. A Product among the factors is a bracket."""

    factors: tuple
    at: int = field(default=0, compare=False)
    over: tuple = ()  # the letters summed here; the parser leaves it to indexing.placed

    def __str__(self):
        text = ""
        for factor in self.factors:
            if text and isinstance(factor, Power) and factor.exponent == -1:
                text += f" / {_inside(factor.base, Sum, Product)}"
            else:
                text += " * " * bool(text) + _factor(factor)
        return text


@dataclass(frozen=True)
class Power:
    base: object
    exponent: float
    at: int = field(default=0, compare=False)

    def __str__(self):
        return f"{_inside(self.base, Sum, Product, Power)}**{Number(self.exponent)}"


@dataclass(frozen=True)
class Call:
    function: str
    args: tuple
    over: tuple = ()  # as written; for a loss, the letters that it sums: see indexing.placed
    at: int = field(default=0, compare=False)

    def __str__(self):
        parts = [str(a) for a in self.args]
        if len(self.over) == 1:
            parts.append(f"over={self.over[0]}")
        elif self.over:
            parts.append(f"over=({','.join(self.over)})")
        return f"{self.function}({', '.join(parts)})"


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


def _factor(node):
    """A factor as text: sums and products in brackets, a fraction of one as tight as on the slides,
    (1/B).
    """
    text = _inside(node, Sum, Product)
    fraction = (
        isinstance(node, Product) and len(node.factors) == 2 and node.factors[0] == Number(1.0)
    )
    return text.replace(" ", "") if fraction and isinstance(node.factors[1], Power) else text


def children(node):
    """The expressions directly below a node."""
    match node:
        case Sum():
            return tuple(term for _, term in node.terms)
        case Product():
            return node.factors
        case Power():
            return (node.base,)
        case Call():
            return node.args
    return ()


def refs(node):
    """Every name with its indices in an expression, from left to right."""
    return (
        (node,)
        if isinstance(node, Ref)
        else tuple(r for child in children(node) for r in refs(child))
    )


def with_children(node, new):
    """The same node over other expressions, one for each of its children."""
    match node:
        case Sum():
            return replace(node, terms=tuple((sign, n) for (sign, _), n in zip(node.terms, new)))
        case Product():
            return replace(node, factors=tuple(new))
        case Power():
            return replace(node, base=new[0])
        case Call():
            return replace(node, args=tuple(new))
    return node


def rebuilt(node, change):
    """The same expression with every Ref replaced by change(ref)."""
    if isinstance(node, Ref):
        return change(node)
    return with_children(node, [rebuilt(child, change) for child in children(node)])


def parse(text):
    """Text -> tuple of Statements; NotationError with the place and the reason for anything else.
    """
    if not isinstance(text, str):
        raise TypeError(f"text: expected the equations as a string, got {type(text).__name__}")
    if len(text) > MAX_TEXT:
        raise NotationError(
            f"the text has {len(text):,} characters; a model has at most {MAX_TEXT:,}"
        )
    lines = (
        (n, re.split("[#]", line, maxsplit=1)[0].rstrip())
        for n, line in enumerate(text.split("\n"), 1)
    )
    statements = tuple(_Line(n, line).statement() for n, line in lines if line.strip())
    if not statements:
        raise NotationError(
            "there is no equation here; write one a line, as in "
            "h[j] = sigmoid(W0[j,i] * x[i] - C0[j])"
        )
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
        if (
            len(tree.body) != 1
            or not isinstance(tree.body[0], ast.Assign)
            or len(tree.body[0].targets) != 1
        ):
            raise self.error("write one equation a line: name[indices] = expression")
        assign = tree.body[0]
        if not isinstance(assign.targets[0], (ast.Name, ast.Subscript)):
            raise self.error(
                "the left side must be one name with its indices, as in h[j]", assign.targets[0]
            )
        return Statement(
            self.ref(assign.targets[0]), self.expression(assign.value), self.number, self.source
        )

    def tree(self):
        if len(self.source) > MAX_LINE:
            raise self.error(
                f"the line has {len(self.source):,} characters; at most {MAX_LINE:,} are read"
            )
        strange = next((k for k, c in enumerate(self.source) if not (" " <= c <= "~")), None)
        if strange is not None:
            c = self.source[strange]
            called = unicodedata.name(c, "").lower() or "invisible"
            raise self.error(
                f"the character {c!a} ({called}) is not part of the notation; {_instead_of(c)}",
                strange,
            )
        depth = 0
        for k, c in enumerate(self.source):
            depth += (c in "([{") - (c in ")]}")
            if depth > MAX_DEPTH:
                raise self.error(
                    f"brackets are nested more than {MAX_DEPTH} deep; "
                    "give the inside a line of its own",
                    k,
                )
        try:
            tree = ast.parse(self.source[self.indent :], mode="exec")
        except SyntaxError as e:
            self.refuse_keyword()
            said = next((words for part, words in MISTAKES.items() if part in e.msg), e.msg)
            raise self.error(
                f"this is not an equation: {said}", self.indent + max(0, (e.offset or 1) - 1)
            ) from None
        except (ValueError, RecursionError, MemoryError) as e:
            raise self.error(f"this cannot be read: {type(e).__name__}") from None
        level, deep = [tree], 0
        while level:
            for node in level:
                node.col_offset = getattr(node, "col_offset", 0) + self.indent
            level, deep = (
                [child for node in level for child in ast.iter_child_nodes(node)],
                deep + 1,
            )
            if deep > 4 * MAX_DEPTH:
                raise self.error(
                    "the expression is nested too deeply; give a part of it a line of its own"
                )
        return tree

    def refuse_keyword(self):
        """A line that Python cannot read may have one of its own words as a name, as lambda."""
        for found in re.finditer(r"[A-Za-z_]\w*", self.source):
            word = found[0]
            if iskeyword(word):
                name = "lam" if word == "lambda" else f"{word}2"
                raise self.error(
                    f"{word} is a word of the programming language and cannot be a name; "
                    f"call it {name}",
                    found.start(),
                )

    def expression(self, node):
        match node:
            case ast.Constant(value=bool() | complex()):
                pass
            case ast.Constant(value=int() | float()):
                return self.number_of(node)
            case ast.Name() | ast.Subscript():
                return self.ref(node)
            case ast.UnaryOp(op=ast.USub()):
                return Sum(((-1, self.expression(node.operand)),), node.col_offset)
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                return self.sum(node)
            case ast.BinOp(op=ast.Mult() | ast.Div()):
                return self.product(node)
            case ast.BinOp(op=ast.Pow()):
                return Power(self.expression(node.left), self.exponent(node.right), node.col_offset)
            case ast.Call():
                return self.call(node)
        if isinstance(node, ast.BinOp) and type(node.op) in INSTEAD:
            raise self.error(INSTEAD[type(node.op)], node)
        raise self.error(
            f"{WORDS.get(type(node), 'this')} is not part of the notation; "
            "there are names, indices, numbers, + - * / ** and the listed functions",
            node,
        )

    def number_of(self, node):
        try:
            value = float(node.value)
        except OverflowError:
            value = float("inf")
        if value in (float("inf"), float("-inf")):
            raise self.error("this number is too large", node)
        written = self.source[node.col_offset : node.end_col_offset + self.indent]
        if value == 0 and re.match("[0._]*[1-9]", written):
            raise self.error("this number is too small: it would be 0", node)
        return Number(value, node.col_offset)

    def sum(self, node):
        sign = 1 if isinstance(node.op, ast.Add) else -1
        left, right = self.expression(node.left), self.expression(node.right)
        terms = left.terms if isinstance(left, Sum) else ((1, left),)
        return Sum((*terms, (sign, right)), node.col_offset)

    def product(self, node):
        sign, factors = self.chain(node)
        product = Product(tuple(factors), node.col_offset)
        return product if sign > 0 else Sum(((-1, product),), node.col_offset)

    def chain(self, node):
        """(sign, factors) of a chain of * and / without brackets; a minus in front of it is the
        sign.
        """
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            again = isinstance(node.operand, ast.UnaryOp)
            sign, factors = (
                self.chain(node.operand) if again else (1, [self.expression(node.operand)])
            )
            return -sign, factors
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, (ast.Mult, ast.Div)):
            return 1, [self.expression(node)]
        bracketed = (
            node.left.col_offset > node.col_offset
        )  # only an opening bracket stands in between
        sign, factors = (1, [self.expression(node.left)]) if bracketed else self.chain(node.left)
        right = self.expression(node.right)
        divides = isinstance(node.op, ast.Div)
        return sign, [*factors, Power(right, -1, right.at) if divides else right]

    def exponent(self, node):
        value = (
            node.operand
            if (negative := isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub))
            else node
        )
        number = isinstance(value, ast.Constant) and type(value.value) in (int, float)
        if not number or not abs(value.value) <= MAX_POWER:
            raise self.error(
                f"an exponent must be a number between -{MAX_POWER} and {MAX_POWER}, "
                "written as one number: x**0.5",
                node,
            )
        return -float(value.value) if negative else float(value.value)

    def call(self, node):
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            name = ast.unparse(node.func)
            hint = (
                "; write exp(...), without np."
                if isinstance(node.func, ast.Attribute)
                else "; the slides' sigma is sigmoid" * (name == "sigma")
            )
            if not name[1:].isidentifier() or name[0].isupper():    # 2(x + y), W(x), f(x)
                hint = hint or "; a product is written with *, as in 2 * (x + y)"
            raise self.error(
                f"{name[:40]!r} is no function here; there are {', '.join(FUNCTIONS)}{hint}",
                node.func,
            )
        function, wanted = node.func.id, 2 if node.func.id in LOSSES else 1
        over = self.over(node, function) if node.args else ()
        if len(node.args) != wanted:
            raise self.error(
                f"{function} takes {wanted} argument{'s' * (wanted > 1)}, got {len(node.args)}",
                node,
            )
        return Call(function, tuple(self.expression(a) for a in node.args), over, node.col_offset)

    def over(self, node, function):
        takes = function in REDUCTIONS or function == "softmax"
        if takes and [k.arg for k in node.keywords] != ["over"]:
            raise self.error(
                f"{function} needs to know over which index: {function}(..., over=i)", node
            )
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
            raise self.error(
                f"{name[:40]!r} is not a name here: a letter, then letters, digits and single _",
                node,
            )
        if name in FUNCTIONS:
            raise self.error(f"{name!r} is a function; it cannot be the name of a value", node)
        if name in RESERVED:
            raise self.error(
                f"{name!r} is reserved: B is the batch size, N the number of examples", node
            )
        if isinstance(node, ast.Name):
            return Ref(name, (), node.col_offset)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        indices = tuple(self.index(part) for part in parts)
        twice = next((i for i in indices if indices.count(i) > 1), None)
        if twice:
            raise self.error(
                f"{name} has the index {twice} twice; a diagonal is not part of the notation", node
            )
        return Ref(name, indices, node.col_offset)

    def index(self, node):
        if not isinstance(node, ast.Name) or not re.fullmatch("[a-z][a-z0-9]*", node.id):
            raise self.error("an index is a small letter, as in x[b,i]", node)
        return node.id


def _instead_of(character):
    """What to type instead of a character that is no part of the notation."""
    hint = next((hint for group, hint in TYPE_INSTEAD.items() if character in group), None)
    called, plain = unicodedata.name(character, ""), unicodedata.normalize("NFKC", character)
    if hint:
        return hint
    if "SUPERSCRIPT" in called:
        return "a power is written **2"
    if "SUBSCRIPT" in called:
        return "write it behind the name, as in W0, or as an index, as in x[i]"
    if unicodedata.category(character) in ("Zs", "Zl", "Zp"):
        return "it looks like a space; type an ordinary space"
    if unicodedata.category(character) in ("Cf", "Cc"):
        return "it cannot be seen; delete it"
    if called.startswith("GREEK"):
        return f"write its name in plain letters: {called.split()[-1].lower()}"
    if len(plain) == 1 and " " < plain <= "~":
        return f"type {plain}"
    return "use plain letters; perhaps it only looks like one"
