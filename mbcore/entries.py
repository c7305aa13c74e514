"""What an entry of a table is: a number, a mark for a missing one, or something to refuse by name.

    is_number   whether this text is a number
    trouble     why it is none, in words
    kept_word   whether it may stand for a class as it is written

Python's float() takes "1_000", "nan" and digits of other scripts; here one grammar decides.
"""

from __future__ import annotations

import math
import re

# In lower case. A dash or a word such as "none" is a mark too: who means a class renames it.
MISSING = {"", "na", "n/a", "#n/a", "#na", "<na>", "nan", "-nan", "nat", "null", "none", "nil",
           "?", "??", "-", "--", "---", ".", "..", "*", "\\n"}

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
COMMA = re.compile(r"[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?", re.ASCII)
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}([,.'’ \u00a0\u2009\u202f]\d{3})+([.,]\d+)?", re.ASCII)

_MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATES = (
    r"\d{4}([-/.])\d{1,2}\1\d{1,2}([ T].*)?",           # 2026-12-01, 2026-12-01T10:00
    r"\d{1,2}([-/.])\d{1,2}\1(\d{4}|\d{2})( .*)?",      # 1.12.2026, 12/1/26
    r"\d{4}-\d{2}",                                     # 2026-12
    r"\d{1,2}:\d{2}(:\d{2}.*)?",                        # 10:00, 10:00:30
    rf"\d{{1,2}}\.?[- ]?{_MONTH}[- ]?\d{{2,4}}",        # 1 Dec 2026
    rf"{_MONTH} \d{{1,2}},? \d{{4}}",                   # December 1, 2026
)
_COMPLEX = r"\(?[+-]?[\d.]+(e[+-]?\d+)?([+-][\d.]*(e[+-]?\d+)?)?[ij]\)?"

WORD = "which is no number"
TRUTH = "a truth value: write 1 and 0"
_UNIT = "a number with its unit: leave the unit out"
_UNDERSCORES = "a number with underscores: leave them out"
_COMPLEX_WORDS = "a complex number: write its real and its imaginary part as two columns"
_DATE_WORDS = "a date or a time: write it as a number, such as days since a start"

_FORMS = (              # what the whole entry looks like, and what it then is; asked in this order
    (re.compile(r"[+-]?inf(inity)?", re.I), "which is not finite"),
    (re.compile(r"[+-]?0[xob][\da-f]+", re.I), "a number of another base: write it in tens"),
    (re.compile(r"[+-]?\d+(_\d+)+(\.\d*)?"), _UNDERSCORES),
    (THOUSANDS, "a number with thousands separators: leave them out"),
    *((re.compile(form, re.I | re.ASCII), _DATE_WORDS) for form in _DATES),
    (re.compile(_COMPLEX, re.I | re.ASCII), _COMPLEX_WORDS),
    (re.compile(r"true|false|yes|no", re.I), TRUTH),
    (re.compile(r"\([\d.,]+\)|[\d.,]+-"), "a number below 0 as bookkeepers write it: write -5"),
    (re.compile(r"[+-]?[\d.,]+ ?[%€$£]|[+-]?[€$£] ?[\d.,]+"), _UNIT),
    (COMMA, "a number with a decimal comma, where others have a point: write all alike"),
    (NUMBER, "a number with a point, where others have a decimal comma: write all alike"),
)
# Minus signs and blanks that look like those of a keyboard, or like nothing at all.
_TYPED = {0x2212: "-", 0x2010: "-", 0x2011: "-", 0x2013: "-", 0xFF0D: "-", 0x200B: "", 0xFEFF: ""}


def is_number(entry: str, decimal: str = ".") -> bool:
    """Whether the entry, its blanks stripped, is a number with this decimal mark.

    Example: "1e5", ".5", "-3" and "+3." are; "1_000", "0x10", "nan", "inf" and "1 000" are not.
    """
    if decimal == ",":
        return "." not in entry and NUMBER.fullmatch(entry.replace(",", ".", 1)) is not None
    return NUMBER.fullmatch(entry) is not None


def trouble(entry: str, decimal: str = ".") -> str | None:
    """Why the entry, its blanks stripped, is no number that float64 holds; None where it is one.

    Example: trouble("1_000") -> "a number with underscores: leave them out".
    """
    if is_number(entry, decimal):
        return _out_of_reach(entry.replace(",", "."))
    if entry.lower() in MISSING:
        return "which marks a missing entry: fill it in, or leave the line out"
    for form, words in _FORMS:
        if form.fullmatch(entry):
            return words
    typed = "".join(_digit(letter) for letter in entry.translate(_TYPED))
    if is_number(typed, decimal):
        return "a number in signs that no keyboard writes: write it with 0 to 9, - and ."
    return WORD


def kept_word(entry: str) -> bool:
    """Whether the entry may name a class as it stands: a word loses nothing, a date or inf does."""
    return trouble(entry) in (None, WORD, TRUTH, _UNIT, _UNDERSCORES)


def _digit(letter):
    """A digit of another script as 0 to 9; any other letter as it is."""
    return str(int(letter)) if letter.isdecimal() else letter


def _out_of_reach(number):
    """Why no float64 holds this number as it is written, or None."""
    value = float(number)
    if not math.isfinite(value):
        return "which is beyond 1.8e308, where float64 ends"
    digits = number.lstrip("+-").partition(".")[0]
    if abs(value) >= 2**53 and digits.isdecimal() and int(digits[:400]) > 2**53:
        return "a whole number beyond 2**53, where float64 skips some; leave a column of ids out"
    return None
