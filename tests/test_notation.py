"""The notation: what it accepts, how it prints, how it refuses. Nothing in a text is ever evaluated."""

import ast
import builtins
import contextlib
import dataclasses
import re
import time

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings
from models import BATCH_NORM, SLIDES, USUAL

import mbcore as mb
from mbcore.notation import MAX_DEPTH, MAX_LINE, MAX_TEXT, NotationError, Product, Ref, Sum, parse

# ---------------------------------------------------------------- printing

EXPRESSIONS = ["a - (b - c)", "-a", "-(a + b)", "-a**2", "(-a)**2", "a / b / c", "a / (b / c)", "a / (b * c)", "(a + b) * c",
               "a * (b + c) - d", "a**-1", "(a**2)**3", "(a / b)**2", "2 * a**0.5", "a - -b", "- - a", "1 / (1 + exp(-a))",
               "a**-1 / b",
               "a / b**2", "a * -b", "-a * b", "-(a * b)", "-(a * b) * c", "(a * b) * c", "a * (b * c)", "- -a * b",
               "a - (-b * c)", "(a * b) / (c * d)", "a**0.3333333333333333", "(-a)**3 * -b", "-(-a / b)", "a / -b * c", "2**0.5 * (1/3) * a", "(a - b)**-2", "1e-7 * a"]
VALUES = dict(a=1.7, b=0.6, c=2.3, d=0.9)


def number(text):
    """What Python says a text of names and numbers is worth; the texts are the tests' own."""
    import math
    return eval(text, {"exp": math.exp, **VALUES})


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_printed_text_means_the_same(text):
    shown = str(parse(f"h = {text}")[0].right)
    assert number(shown) == pytest.approx(number(text), rel=1e-14)
    assert str(parse(f"h = {shown}")[0].right) == shown


@pytest.mark.parametrize("text", [SLIDES, USUAL, BATCH_NORM], ids=["slides", "usual", "batch norm"])
def test_round_trip(text):
    model = mb.equations(text)
    assert mb.equations(str(model)) == model
    assert str(mb.equations(str(model))) == str(model)


@pytest.mark.parametrize("literal", ["0.1234567", "1234567", "0.3333333333333333", "1e-300"])
def test_numbers_print_in_full(literal):
    shown = str(parse(f"h = {literal} * x")[0])
    assert float(re.search(r"= (\S+) \*", shown)[1]) == float(literal)


nested = st.recursive(st.sampled_from([*VALUES, "2", "0.5", "3"]), lambda e: st.one_of(
    st.builds("({} + {})".format, e, e), st.builds("({} - {})".format, e, e), st.builds("{} * {}".format, e, e),
    st.builds("({}) / (1 + ({})**2)".format, e, e), st.builds("(-{})".format, e), st.builds("({})**{}".format, e, st.sampled_from([2, 3, -0]))),
    max_leaves=12)


@given(nested)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_expression_prints_to_what_it_means(text):
    shown = str(parse(f"h = {text}")[0].right)
    assert number(shown) == pytest.approx(number(text), rel=1e-9, abs=1e-9)
    assert str(parse(f"h = {shown}")[0].right) == shown


def test_comments_and_blank_lines_are_nothing():
    assert str(mb.equations("# one\n\n  h = x  # two\n\t\n")) == "h = x"


# ---------------------------------------------------------------- refusals: (text, the place in its last line, the reason)

REFUSED = [
    ("h[j] = W0[j,i] @ x[i]", "W0", "@ is not needed"),
    ("h = x.T", "x.T", "a dot"),
    ("h = x + lambda: 3", "lambda", "not an equation|lambda"),
    ("h = (lambda: 3)", "lambda", "a lambda"),
    ("h = ell + lambda * J", "lambda", "lambda is a word of the programming language.*call it lam"),
    ("h = in[i] * W[i]", "in", "in is a word of the programming language"),
    ("h = x if y else 0", "x if", "if is not part"),
    ("h = 1e-400 * x", "1e-400", "too small"),
    ("h = x**(1/2)", "1/2", r"written as one number: x\*\*0.5"),
    ("h = np.exp(x)", "np", "'np.exp' is no function.*without np."),
    ("h = 1/2(x - y)**2", "2(", r"'2' is no function here.*product is written with \*"),
    ("h = W(x)", "W(", r"product is written with \*"),
    ("h = mean(x[i,j], over=i,j)", None, r"several indices stand in brackets, as in over=\(i, j\)"),
    ("h = sum(x[i], i)", "sum", "over which index"),
    ("h = sigmoid(x", "(", "stands on one line"),
    ("h = x * lr", "lr", r"lr is an argument of a call.*step\(lr.*call it lr2"),
    ("h = W[dtype] * x[dtype]", "W[", r"dtype is an argument.*compile\(dtype"),
    ("h = x < y", "x <", "a comparison"),
    ("h = 2 * foo(x)", "foo", "'foo' is no function here; there are sigmoid"),
    ("h = a * __import__('os')", "__import__", "no function"),
    ("h = a * __x", "__x", "not a name"),
    ("h = 3 * True", "True", "not part"),
    ("h = 3 * 'a'", "'a'", "not part"),
    ("h = 2j * x", "2j", "not part"),
    ("h = x * 1e999", "1e999", "too large"),
    ("h = x**99", "99", "exponent must be a number"),
    ("h = x**y", "y", "exponent must be a number"),
    ("h = 2x", "2x", r"not an equation: a product is written with \*, as in 2 \* x"),
    ("h[j] = W[j,i] x[i]", "x[i]", r"not an equation: .*a product is written with \*"),
    ("h = x'", "'", "no quotation marks and no primes"),
    ("h = \\sigma(x)", "sigma", "no backslash here; write sigmoid"),
    ("h = +x", "+x", "this sign before a value is not part"),
    ("h = x % 2", "x % 2", "this sign between two values is not part"),
    ("h = [x]", "[x]", "a list is not part"),
    ("h = x[I]", "I]", "an index is a small letter"),
    ("h = x[i+1]", "i+1", "an index is a small letter"),
    ("h = x[i][j]", "x[i][j]", "once"),
    ("h = W[i,i]", "W[i,i]", "index i twice"),
    ("h = 3 * B", "B", "reserved"),
    ("N = 3 * x", "N", "reserved"),
    ("sum = 3 * x", "sum", "is a function"),
    ("h = sum(x[i])", "sum", "over which index"),
    ("h = sigmoid(x, over=i)", "sigmoid", "takes no over="),
    ("h = sigmoid(x, y)", "sigmoid", "takes 1 argument, got 2"),
    ("h = nll(x[y])", "nll", "takes 2 arguments, got 1"),
    ("h = k = x", "h", "one equation a line"),
    ("h += x", "h", "one equation a line"),
    ("h = x; g = x", "h", "one equation a line"),
    ("x", "x", "one equation a line"),
    ("3 = x", "3", "not an equation|left side"),
    ("f(x) = y", "f(x)", "not an equation|left side"),
    ("h = x +", None, "not an equation"),
    ("h = \N{GREEK SMALL LETTER ALPHA}", "\N{GREEK SMALL LETTER ALPHA}", "plain letters"),
    ("h = \0x", "\0", "not part"),
    ("h = x\nh = y", "h", "computed twice"),
    ("h = g\ng = h", None, "no cycle"),
    ("h = x[i]\ng = x", "x", "indices here and 1 elsewhere"),
    ("h[j] = x[i]", None, "index j stands on the left"),
    ("h[j] = C[j] + x[i]", "x[i]", r"sum\(..., over=i\)"),
    ("h[i] = 2 * softmax(x[j], over=j)", None, "."),
    ("h = softmax(x[j], over=j)", "softmax", "missing on the left"),
    ("P[y] = softmax(s[y], over=y)\nL = cross_entropy(P[y], target)", "P[y]", "takes scores and P is a softmax"),
    ("L = cross_entropy(2 * s[y], target)", "2 *", "a name of its own"),
    ("L = cross_entropy(s, target)", "s,", "one class index"),
    ("L = cross_entropy(s[y], t[k])", "t[k]", "must have the indices"),
    ("t = 2 * x\nL = cross_entropy(s[y], t)", "t)", "must be an input"),
    ("L = cross_entropy(s[y], Target)", "Target", "must be an input"),
]


@pytest.mark.parametrize("text, place, reason", REFUSED, ids=[t.replace("\n", "; ")[:40] for t, _, _ in REFUSED])
def test_refusal_has_line_column_caret_and_reason(text, place, reason):
    with pytest.raises(mb.NotationError, match=reason) as caught:
        mb.equations(text)
    e, lines = caught.value, str(caught.value).split("\n")
    source = text.split("\n")[e.line - 1]
    assert lines[0].startswith(f"line {e.line}, column {e.column}: ") and len(lines[0]) > 30
    assert lines[1] == "    " + source and lines[2] == "    " + " " * (e.column - 1) + "^"
    if place:
        assert e.line == text.count("\n") + 1
        assert source[e.column - 1:].startswith(place)


def test_column_counts_from_the_start_of_the_line():
    text = "\n    h[j] = sigmoid(x[j])\n    g = h.T\n"
    with pytest.raises(mb.NotationError) as caught:
        mb.equations(text)
    assert caught.value.line == 3 and text.split("\n")[2][caught.value.column - 1:].startswith("h.T")


@pytest.mark.parametrize("text", ["", "  \n # nothing\n"])
def test_no_equation_at_all(text):
    with pytest.raises(mb.NotationError, match="there is no equation here"):
        mb.equations(text)


CHARACTERS = {                      # what is pasted from slides and texts -> what to type
    "\u00a0\u2009\u202f\u3000\u2028": "it looks like a space; type an ordinary space",
    "\u200b\u200d\u2060\ufeff\u00ad\u200e": "it cannot be seen; delete it",
    "\u2212\u2010\u2011\u2013\u2014": "type -",
    "\u00b7\u22c5\u00d7\u2217\u2219": r"a product is written \*",
    "\u00f7\u2215\u2044": "a quotient is written /",
    "\u2018\u2019\u201c\u201d": "no quotation marks here; delete it",
    "\u03c3": "sigma is written sigmoid",
    "\u2211\u03a3": r"sum\(..., over=i\)",
    "\u03b1": "plain letters: alpha", "\u03b7": "plain letters: eta", "\u0394": "plain letters: delta",
    "\u00b2\u00b3\u207b": r"a power is written \*\*",
    "\u2080\u2081\u2099\u1d62": "behind the name, as in W0, or as an index",
    "\uff37": "type W", "\uff1d": "type =", "\uff08": r"type \(", "\U0001d421": "type h",
    "\u0430\u0435\u043e": "only looks like one",
    "\u221a": r"a root is written sqrt\(...\)", "\u2190\u2254": "type =", "\u2032": "no prime", "\t": "type spaces",
}


@pytest.mark.parametrize("character, hint", [(c, hint) for group, hint in CHARACTERS.items() for c in group], ids=ascii)
def test_characters_that_are_pasted_are_named_with_what_to_type(character, hint):
    with pytest.raises(mb.NotationError, match=r"\) is not part of the notation; .*" + hint) as caught:
        mb.equations(f"h = x\ns = W {character} h")
    assert caught.value.line == 2 and caught.value.column == 7 and f"{character!a} (" in str(caught.value)
    assert str(mb.equations(f"h = x  # {character} in a comment is nobody's concern")) == "h = x"


@pytest.mark.parametrize("text", [None, 3, b"h = x", ["h = x"]])
def test_text_must_be_a_string(text):
    with pytest.raises(TypeError, match="text: expected the equations as a string"):
        mb.equations(text)


# ---------------------------------------------------------------- hostile text

HOSTILE = {
    "attribute": "h = x.__class__.__mro__", "call": "h = __import__('os').system('true')", "exec": "h = exec('x')",
    "lambda": "h = (lambda: 0)()", "comprehension": "h = [i for i in x]", "f-string": "h = f'{boom()}'",
    "walrus": "h = (y := 3)", "star": "h = sum(*x, over=i)", "keywords": "h = sum(x[i], **{'over': i})",
    "dunder": "__builtins__ = x", "dunder inside": "h = a__b", "statement": "import os", "await": "h = await x",
    "yield": "h = (yield x)", "string": "h = 'x' * 10", "bytes": "h = b'x'", "ellipsis": "h = ...", "slice": "h = x[1:2]",
    "tower of powers": "h = 9**9**9**9", "huge power": "h = x**999999999", "huge shift": "h = 1 << 999999999",
    "many digits": "h = " + "9" * 900, "more digits": "h = " + "9" * 10_000, "minuses": "h = " + "-" * 900 + "x",
    "thousands of minuses": "h = " + "-" * 5_000 + "x", "tildes": "h = " + "~" * 900 + "x", "brackets": "h = " + "(" * 400 + "x" + ")" * 400,
    "open brackets": "h = " + "[" * 900, "nested indices": "h = " + "x[" * 300 + "i" + "]" * 300, "long sum": "h = " + "+".join("x" * 480),
    "long product": "h = " + "*".join("x" * 480), "nested calls": "h = " + "exp(" * 150 + "x" + ")" * 150,
    "ten megabytes": "h = x\n" * 1_700_000, "ten megabytes in a line": "h = " + "x + " * 2_500_000 + "x", "NUL": "h = \0",
    "other letters": "h = \N{CYRILLIC SMALL LETTER A}", "look-alike": "\N{MATHEMATICAL BOLD SMALL H} = x", "emoji": "h = \N{PILE OF POO}",
    "right to left": "h = \N{RIGHT-TO-LEFT OVERRIDE}x", "surrogate": "h = \ud800", "line separator": "h = x\u2028g = x",
    "vertical tab": "h = x\x0b + x", "backslash": "h = x \\\n + y", "semicolon": "h = x; g = x", "decorator": "@x", "type": "h: x = 3",
    "quotes": "h = '''", "type comment": "h = x if y else z", "infinite number": "h = 1e999 * x", "overflow": "h = x * 1e300**2",
    "tiny divisor": "h = x / 1e-320", "twice over": "h = sum(x[i], over=(i,i))",
}


@contextlib.contextmanager
def nothing_runs():
    """Every way to run a text from Python is a failure while this is in force."""
    def ran(*args, **kwargs):
        raise AssertionError("text was evaluated")

    def only_trees(source, filename, mode, flags=0, *rest, **named):    # ast.parse is a compile that makes no code
        return made(source, filename, mode, flags, *rest, **named) if flags & ast.PyCF_ONLY_AST else ran()

    with pytest.MonkeyPatch.context() as patch:
        made = compile
        patch.setattr(builtins, "compile", only_trees)
        for name in ("eval", "exec", "open", "input", "__import__"):
            patch.setattr(builtins, name, ran)
        yield


READ = [(mb.equations, kind) for kind in HOSTILE] + [(parse, kind) for kind in list(HOSTILE)[:-3]]   # the last three are well-formed


@pytest.mark.parametrize("read, kind", READ)
def test_hostile_text_is_refused_quickly(read, kind):
    start, error = time.perf_counter(), None
    with nothing_runs():
        try:
            read(HOSTILE[kind])
        except Exception as e:
            error = e
    took = time.perf_counter() - start
    assert type(error) is mb.NotationError, f"expected a NotationError, got {error!r:.200}"
    assert took < 1 and error.line >= 1 and error.column >= 1 and len(str(error)) < 1000


@pytest.mark.parametrize("n", [1500])
def test_a_long_chain_takes_no_longer_backwards(n):
    chain = "\n".join(f"a{k}=a{k - 1}" for k in range(n, 0, -1))
    start = time.perf_counter()
    mb.equations(chain)
    assert time.perf_counter() - start < 1


ALPHABET = list("hxWLijby0123. ()[]=,+-*/\n") + ["**", "sum(", "mean(", "over=", "softmax(", "exp(", "nll(", "cross_entropy(",
                                                 "squared_error(", "[b,i]", "[j]", "h = ", "L = ", "x[i]", "W[j,i]", "h[j] = "]
HOSTILE_ALPHABET = ALPHABET + ["__", "'", '"', "lambda ", ":", ":=", ".", "{", "}", "@", "\0", "\\", "\N{GREEK SMALL LETTER ALPHA}", "import ", "#", ";",
                               "f'", " if ", " else ", " for ", " in ", "~", "!", "`", "\t", "\r", "<", ">", "%", "&", "None", "eval("]


def either_model_or_refusal(text):
    start = time.perf_counter()
    try:
        model = mb.equations(text)
        assert str(mb.equations(str(model))) == str(model)
    except mb.NotationError as e:
        assert e.line >= 1 and e.column >= 1 and e.reason
    assert time.perf_counter() - start < 1


@given(st.lists(st.sampled_from(ALPHABET), max_size=25).map("".join))
@settings(max_examples=400, deadline=None, derandomize=True)
@example("h = 0**-1")
def test_text_of_the_alphabet_is_a_model_or_refused(text):
    either_model_or_refusal(text)


statement = st.builds("{} = {} {} {}".format, st.sampled_from(["h[j]", "L", "h", "g[i,j]", "L[b]"]),
                      *[st.sampled_from(["x[i]", "W[j,i]", "h[j]", "3", "0", "(x[i] - h[j])", "sum(W[j,i], over=i)", "mean(x[i], over=(i,j))",
                                         "softmax(h[j], over=j)", "nll(h[j], t)", "squared_error(x[i], W[j,i])", "exp(2)", "-x[i]", "0**-1",
                                         "cross_entropy(W[j,i], t)", "sum(exp(x[i]) * W[j,i], over=j)", "softmax(3, over=j)", "h[j]**-2"]),
                        st.sampled_from(["+", "-", "*", "/"]), st.sampled_from(["x[i]", "W[j,i]", "h[j]", "2", "g[i,j]", "relu(W[i,j])", "C"])])


@given(st.lists(statement, min_size=1, max_size=3).map("\n".join))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_well_formed_nonsense_is_a_model_or_refused(text):
    either_model_or_refusal(text)


@given(st.one_of(st.lists(st.sampled_from(HOSTILE_ALPHABET), max_size=30).map("".join), st.text(max_size=60),
                 st.text(max_size=30).map("h = ".__add__)))
@settings(max_examples=400, deadline=None, derandomize=True)
@pytest.mark.filterwarnings("error")
def test_random_text_is_a_model_or_refused(text):
    either_model_or_refusal(text)


# ------------------------------------ found by changing one operator at a time


@pytest.mark.parametrize("indent", ["", "  ", "     "])
def test_a_place_counts_from_the_start_of_the_line(indent):
    with pytest.raises(NotationError) as caught:
        parse(f"{indent}h = x + + ]")
    assert caught.value.column == len(indent) + 11 and caught.value.source == f"{indent}h = x + + ]"


def test_words_of_python_get_another_name():
    for word, name in (("lambda", "lam"), ("in", "in2"), ("class", "class2")):
        with pytest.raises(NotationError, match=f"{word} is a word .* call it {name}$|call it {name}\n"):
            parse(f"h = 2 * {word} * x")


def test_limits_are_inside():
    line = "h = " + "x" * (MAX_LINE - 4)
    assert parse(line)[0].left.name == "h"
    with pytest.raises(NotationError, match=f"the line has {MAX_LINE + 1:,} characters"):
        parse(line + "x")
    with pytest.raises(NotationError, match=f"the line has {MAX_LINE + 50:,} characters"):
        parse(line + "x" * 50)
    text = "h = x\n" + "#" * (MAX_TEXT - 6)
    assert len(parse(text)) == 1
    with pytest.raises(NotationError, match=f"the text has {MAX_TEXT + 1:,} characters"):
        parse(text + "#")


def test_brackets_that_were_closed_are_not_nested():
    assert len(parse("h = " + " + ".join(["(x)"] * (MAX_DEPTH + 20)))) == 1


def test_a_remark_may_hold_another():
    assert str(parse("h = x # the # of it # all")[0]) == "h = x"


def test_signs_are_numbers():
    a, b = Ref("a"), Ref("b")
    assert parse("h = a - b")[0].right == Sum(((1, a), (-1, b)))
    assert parse("h = -a + b")[0].right == Sum(((-1, a), (1, b)))
    assert parse("h = -(a * b)")[0].right == Sum(((-1, Product((a, b))),))


def test_what_was_parsed_does_not_change():
    statement = parse("h = exp(2 * a**2 - b)")[0]
    power = statement.right.args[0].terms[0][1].factors[1]
    for node in (statement, statement.left, statement.right, statement.right.args[0], power):
        with pytest.raises(dataclasses.FrozenInstanceError):
            node.left = node
