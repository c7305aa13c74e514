"""The equations as LaTeX, with the newest index highlighted."""

from __future__ import annotations

import re

from .indexing import summed
from .notation import Call, Number, Power, Product, Ref, Sum

GREEK = {"sigmoid": r"\sigma", "tanh": r"\tanh", "exp": r"\exp", "log": r"\log", "relu": r"\mathrm{relu}"}
HIGHLIGHT = r"{\color{#D55E00}\boldsymbol{%s}}"      # the braces end the colour: MathJax would go on to the end of the row


def latex(statements, newest=None):
    """An aligned block, one row an equation. Summed indices get their sum sign; W0 becomes W^0, lam a word."""
    rows = (rf"{_expression(s.left, (), newest)} &= {_expression(s.right, s.left.indices, newest)}" for s in statements)
    return r"\begin{aligned}" + r" \\ ".join(rows) + r"\end{aligned}"


def _index(letter, newest):
    return HIGHLIGHT % letter if letter == newest else letter


def _name(name):
    letters, number, copy = re.fullmatch(r"([A-Za-z_]*?)(\d*)(_\d+)?", name).groups() if re.fullmatch(r"[A-Za-z_]*?\d*(_\d+)?", name) else (name, "", "")
    word = letters if len(letters) == 1 else r"\mathrm{%s}" % letters.replace("_", r"\_")
    return word + (f"^{{{number}}}" if number else "") + (f"_{{{copy[1:]}}}" if copy else "")


def _expression(e, context, newest):
    inside = lambda node: _expression(node, context, newest)
    match e:
        case Number(): return f"{e.value:g}"
        case Ref(): return _name(e.name) + (f"[{','.join(_index(i, newest) for i in e.indices)}]" if e.indices else "")
        case Sum():
            text = "".join(f" {'+' if sign > 0 else '-'} {_bracketed(t, context, newest, Sum)}" for sign, t in e.terms)
            return text[3:] if e.terms[0][0] > 0 else "-" + text[3:]
        case Product(): return _product(e, context, newest)
        case Power(exponent=-1): return rf"\frac{{1}}{{{inside(e.base)}}}"
        case Power(): return f"{_bracketed(e.base, context, newest, Sum, Product, Power)}^{{{e.exponent:g}}}"
        case Call(): return _call(e, context, newest)


def _bracketed(e, context, newest, *kinds):
    text = _expression(e, context, newest)
    return rf"\left({text}\right)" if isinstance(e, kinds) else text


def _product(e, context, newest):
    over = summed(e, context)
    wide = (*context, *over)
    top = [_bracketed(f, wide, newest, Sum) for f in e.factors if not (isinstance(f, Power) and f.exponent == -1)]
    low = [_expression(f.base, wide, newest) for f in e.factors if isinstance(f, Power) and f.exponent == -1]
    text = r"\, ".join(top) or "1"
    text = rf"\frac{{{text}}}{{{' '.join(low)}}}" if low else text
    return (rf"\sum_{{{','.join(_index(i, newest) for i in over)}}} " if over else "") + text


def _call(e, context, newest):
    args = ",\\ ".join(_expression(a, (*context, *e.over), newest) for a in e.args)
    over = ",".join(_index(i, newest) for i in e.over)
    if e.function == "sum":
        return rf"\sum_{{{over}}} \left({args}\right)"
    if e.function == "mean":
        return rf"\operatorname{{mean}}_{{{over}}} \left({args}\right)"
    if e.function == "sqrt":
        return rf"\sqrt{{{args}}}"
    word = GREEK.get(e.function, r"\mathrm{%s}" % e.function.replace("_", r"\_"))
    return word + (f"_{{{over}}}" if over else "") + rf"\left({args}\right)"
