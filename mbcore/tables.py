"""A CSV file, read strictly: names of columns, then numbers, and one column of classes.

`textfile` cuts the file into entries; `entries` says which of them are numbers. A reader of data
frames would guess somewhere: a short line is filled up, "NA" is a gap in one column and a word in
another. Whoever wants such a reader gives its frame to `mb.dataset`.
"""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass

import numpy as np

from .checking import WrongKind, one_of, shown, shown_text
from .entries import COMMA, THOUSANDS, TRUTH, WORD, is_number, trouble
from .textfile import SEPARATORS, Rows, check_encoding, check_separator, check_text, found_separator


@dataclass(frozen=True)
class Table:
    """The n examples of a CSV file, in the order of its lines.

    columns: the names of all columns but the target's. x[n,i]: their numbers, float64.
    words: the different entries of the target's column. places[n]: which of them an example has.
    lines[n]: the line of the file on which an example ends. decimal: "." or ",".
    """

    columns: list
    x: np.ndarray
    words: list
    places: np.ndarray
    lines: array
    decimal: str


def table(path, target, separator=None, decimal=None, encoding="utf-8"):
    """Read the file; the arguments and the errors are those of `sources.from_csv`."""
    if not isinstance(target, str):
        raise WrongKind(f"target: expected the name of a column, got {shown(target)}")
    if separator is not None:
        check_separator(separator)
    if decimal is not None:
        one_of("decimal", decimal, (".", ","))
    check_encoding(encoding)
    check_text(path, encoding)
    target = target.strip()
    separator = separator or found_separator(path, target, encoding)
    reading = _Reading(Rows(path, separator, encoding), target)
    try:
        return reading.table(decimal or ".", decided=decimal is not None)
    except _DecimalComma as shown_by:
        return reading.table(",", decided=False, comma=str(shown_by))


def check_names(names, target, separator, path):
    """Each column has a name, no two have the same, and the target is among them."""
    if not names:
        raise ValueError(f"path: expected names of columns and numbers, {path} is empty")
    if target not in names:
        word = SEPARATORS.get(separator, repr(separator))
        raise ValueError(
            f"target: {path} has no column {target!r}; "
            f"cut at each {word}, it has {listed(names)}{_hint(names)}"
        )
    if "" in names:
        raise ValueError(
            f"path: expected a name for each column, column {names.index('') + 1} of "
            f"{path} has none (pandas leaves its index out by index=False)"
        )
    if len(set(names)) < len(names):
        raise ValueError(
            f"path: expected different names of columns, {path} has {listed(names)}"
        )
    if len(names) < 2:
        raise ValueError(f"path: expected columns beside {target!r}, {path} has none")


def _hint(names):
    """What may be wrong with names of columns that lack the target."""
    if names[0].startswith(("#", "sep=")):
        return "; the first line must be the names of the columns"
    if all(is_number(name) for name in names):
        return "; its first line holds numbers: are the names missing?"
    if len(names) == 1:
        return "; another separator than comma, semicolon, tab or bar is passed as separator="
    return ""


def listed(names, most=12):
    """The names with commas between them, cut after `most`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shown_text, names[:most])) + more


class _DecimalComma(Exception):
    """Raised in reading by an entry with a decimal comma; says which: "line 9 has '1,5'"."""


@dataclass(frozen=True)
class _Reading:
    """One file, and the name of the column with the classes."""

    rows: Rows
    target: str

    @property
    def path(self):
        return self.rows.path

    def table(self, decimal, decided, comma=""):
        """All rows as a Table. decided: whether the caller has said what the decimal mark is.

        comma: which entry has shown that it is a comma, in words.
        """
        rows = iter(self.rows)
        _, names = next(rows, (1, []))
        check_names(names, self.target, self.rows.separator, self.path)
        at = names.index(self.target)
        columns = names[:at] + names[at + 1:]
        cells = array("d")
        places = array("q")
        lines = array("q")
        words = {}
        # Between commas a point is a decimal one; elsewhere 1.234 may be 1234 in another country.
        sure = decided or decimal == "." and self.rows.separator == ","
        doubtful = []
        for line, row in rows:
            self.check_length(line, row, len(names))
            word = row.pop(at)
            try:
                cells.extend(_numbers(row, decimal))
            except ValueError:
                commas = [entry for entry in row if COMMA.fullmatch(entry)]
                if commas and not decided and decimal == ".":
                    raise _DecimalComma(f"line {line} has {commas[0]!r}") from None
                raise self.refusal(columns, at, line, row, decimal, comma) from None
            if not sure:
                marked = [entry for entry in (*row, word) if _has_mark(entry, decimal)]
                sure = any(not THOUSANDS.fullmatch(entry) for entry in marked)
                doubtful = doubtful or marked[:1]
            places.append(words.setdefault(word, len(words)))
            lines.append(line)
        if not lines:
            raise ValueError(f"path: expected lines of numbers, {self.path} has names alone")
        if doubtful and not sure:
            raise ValueError(
                f"decimal: all numbers of {self.path} with a mark are like {doubtful[0]}: is it a "
                f"decimal mark, or does it part thousands? Pass decimal={decimal!r}, or leave "
                "thousands separators out of the file"
            )
        commas = [word for word in words if COMMA.fullmatch(word)]
        if commas and not decided and decimal == "." and all(is_number(w, ",") for w in words):
            line = lines[places.index(words[commas[0]])]
            raise _DecimalComma(f"line {line} has {commas[0]!r}")
        x = np.frombuffer(cells).reshape(len(lines), len(columns))
        if x.max() >= 2**53 or x.min() <= -(2**53):
            self.check_reach(columns, at, x, decimal)
        return Table(columns, x, list(words), np.frombuffer(places, np.int64), lines, decimal)

    def check_length(self, line, row, expected):
        """As many entries as names."""
        if len(row) != expected:
            more = self.rows.separator == "," and len(row) > expected
            hint = "; does a comma stand inside a number or a word? Put it in quotes"
            raise ValueError(
                f"path: expected {expected} entries in each line, "
                f"line {line} of {self.path} has {len(row)}{hint if more else ''}"
            )

    def refusal(self, columns, at, line, row, decimal, comma):
        """The error for the first entry of this row that is no number."""
        points = [entry for entry in row if is_number(entry) and "." in entry]
        if points and comma:
            return ValueError(f"decimal: expected one mark in all of {self.path}, {comma}, "
                              f"line {line} has {points[0]!r}")
        k, why = next((k, why) for k, why in enumerate(trouble(e, decimal) for e in row) if why)
        if why in (WORD, TRUTH):
            return self.word_refused(columns[k], k + (k >= at), line, row[k], why, decimal)
        return self.not_a_number(columns[k], line, row[k], why)

    def not_a_number(self, column, line, entry, why):
        """The error for one entry."""
        where = f"line {line} of {self.path} has {shown(entry)} in the column {column!r}"
        return ValueError(f"path: expected numbers, {where}, {why}")

    def word_refused(self, column, place, line, entry, why, decimal):
        """The error for a word: whether it stands alone, or in a column of words."""
        rows = iter(self.rows)
        next(rows)
        found = [row[place] for _, row in rows if place < len(row)]
        words = [other for other in found if trouble(other, decimal) in (WORD, TRUTH)]
        if 2 * len(words) <= len(found):
            return self.not_a_number(column, line, entry, why)
        return ValueError(
            f"path: expected numbers, the column {column!r} of {self.path} holds words from line "
            f"{line} on: {listed(list(dict.fromkeys(words)), 4)}. Encode it one-hot, as a column "
            "of 0 and 1 for each word (pandas.get_dummies makes them), or leave it out"
        )

    def check_reach(self, columns, at, x, decimal):
        """Refuse the numbers that float64 does not hold as they are written."""
        rows = iter(self.rows)
        next(rows)
        for (line, row), numbers in zip(rows, x):
            if abs(numbers).max() >= 2**53:
                del row[at]
                for column, entry in zip(columns, row):
                    why = trouble(entry, decimal)
                    if why:
                        raise self.not_a_number(column, line, entry, why)


def _has_mark(entry, decimal):
    """Whether this is a number with a decimal mark: a word with a point in it shows nothing."""
    return decimal in entry and is_number(entry, decimal)


# Of such letters float() makes numbers of our grammar and nothing else.
_LETTERS = {".": re.compile(r"[0-9eE+\-.]*"), ",": re.compile(r"[0-9eE+\-,]*")}


def _numbers(row, decimal):
    """The entries as floats; ValueError, without words, where one is no number."""
    if not _LETTERS[decimal].fullmatch("".join(row)):
        raise ValueError
    if decimal == ",":
        row = [entry.replace(",", ".") for entry in row]
    return [float(entry) for entry in row]
