"""The equations as LaTeX, with the newest index highlighted; each sum stands where
`indexing.placed` has put it.
"""

from __future__ import annotations

import re

from .indexing import placed
from .notation import REDUCTIONS, Call, Number, Power, Product, Ref, Sum

WORDS = {
    "sigmoid": r"\sigma",
    "tanh": r"\tanh",
    "exp": r"\exp",
    "log": r"\log",
    "relu": r"\mathrm{relu}",
}

# In MathJax 3 \color{...} holds to the end of its group, in MathJax 2 for the one group behind it:
# hence both pairs of braces.
HIGHLIGHT = r"{\color{#D55E00}{\boldsymbol{%s}}}"


def latex(statements, newest=None):
    """An aligned block, one row an equation. Summed indices get their sum sign; W0[j,i] becomes
    W^0[j,i], lam and a bare x2 a word.
    """
    write = _Writer(newest)
    rows = (rf"{write.ref(s.left)} &= {write.expression(placed(s))}" for s in statements)
    return r"\begin{aligned}" + r" \\ ".join(rows) + r"\end{aligned}"


class _Writer:
    """Expressions as LaTeX, for one newest index."""

    def __init__(self, newest):
        self.newest = newest

    def letters(self, indices):
        return ",".join(HIGHLIGHT % i if i == self.newest else i for i in indices)

    def ref(self, e):
        if not e.indices:
            return _bare(e.name)
        return f"{_name(e.name)}[{self.letters(e.indices)}]"

    def expression(self, e):
        match e:
            case Number():
                return _number(e.value)
            case Ref():
                return self.ref(e)
            case Sum():
                return self.sum(e)
            case Product():
                return self.product(e)
            case Power(exponent=-1):
                return rf"\frac{{1}}{{{self.expression(e.base)}}}"
            case Power():
                return f"{self.base(e.base)}^{{{_number(e.exponent)}}}"
            case Call():
                return self.call(e)

    def bracketed(self, e, *kinds):
        text = self.expression(e)
        return rf"\left({text}\right)" if isinstance(e, kinds) else text

    def base(self, e):
        """What a power is of; 10^{-7} in brackets, as no second exponent can follow it."""
        text = self.bracketed(e, Sum, Product, Power, Call)
        return rf"\left({text}\right)" if isinstance(e, Number) and "^" in text else text

    def sum(self, e):
        text = "".join(
            f" {'+' if sign > 0 else '-'} {self.bracketed(term, Sum)}" for sign, term in e.terms
        )
        return text[3:] if e.terms[0][0] > 0 else "-" + text[3:]

    def product(self, e):
        above = [f for f in e.factors if not _divides(f)]
        below = [f.base for f in e.factors if _divides(f)]
        text = self.row(above) or "1"
        if below:
            divisor = self.expression(below[0]) if len(below) == 1 else self.row(below)
            text = rf"\frac{{{text}}}{{{divisor}}}"
        return (rf"\sum_{{{self.letters(e.over)}}} " if e.over else "") + text

    def row(self, factors):
        """Factors side by side; a dot where two numbers would read as one, brackets where a sum
        sign would reach too far.
        """
        text = ""
        for f in factors:
            reduction = isinstance(f, Call) and f.function in REDUCTIONS and len(factors) > 1
            part = (
                rf"\left({self.expression(f)}\right)"
                if reduction
                else self.bracketed(f, Sum, Product)
            )
            text += (r" \cdot " if part[0].isdigit() else r"\, ") * bool(text) + part
        return text

    def call(self, e):
        args = ",\\ ".join(self.expression(a) for a in e.args)
        over = self.letters(e.over if e.function in (*REDUCTIONS, "softmax") else ())
        if e.function == "sum":
            return rf"\sum_{{{over}}} \left({args}\right)"
        if e.function == "mean":
            return rf"\operatorname{{mean}}_{{{over}}} \left({args}\right)"
        if e.function == "sqrt":
            return rf"\sqrt{{{args}}}"
        word = WORDS.get(e.function, r"\mathrm{%s}" % e.function.replace("_", r"\_"))
        return word + (f"_{{{over}}}" if over else "") + rf"\left({args}\right)"


def _divides(e):
    return isinstance(e, Power) and e.exponent == -1


def _number(value):
    """A number with all its digits: 0.5, 10^{-7}."""
    text = str(Number(value))
    digits, _, power = text.partition("e")
    if not power:
        return text
    return rf"{digits} \cdot 10^{{{int(power)}}}" if digits != "1" else f"10^{{{int(power)}}}"


def _bare(name):
    """A name without indices: x_3 -> x_{3}; x2 -> a word, since x^{2} is a power."""
    word, copy = re.fullmatch(r"(.*?)(_\d+)?", name).groups()
    if not word[-1].isdigit():
        return _name(name)
    word = word.replace("_", r"\_")
    return rf"\mathrm{{{word}}}" + (f"_{{{copy[1:]}}}" if copy else "")


def _name(name):
    """W0 -> W^{0}, x_3 (a copy) -> x_{3}, W0_3 -> W^{0}_{3}, lam -> a word."""
    found = re.fullmatch(r"([A-Za-z_]*?)(\d*)(_\d+)?", name)
    word, number, copy = found.groups() if found else (name, "", "")
    word = word if len(word) == 1 else r"\mathrm{%s}" % word.replace("_", r"\_")
    return word + (f"^{{{number}}}" if number else "") + (f"_{{{copy[1:]}}}" if copy else "")
