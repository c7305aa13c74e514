"""A CSV file, read strictly: names of columns, then numbers, and one column of classes.

Python's own `csv` module cuts the file into entries; `entries` says which of them are numbers. A
reader of data frames would guess somewhere: a short line is filled up, "NA" is a gap in one column
and a word in another. Whoever wants such a reader gives its frame to `mb.dataset`.
"""

from __future__ import annotations

import csv
import re
from array import array
from dataclasses import dataclass

import numpy as np

from .checking import WrongKind, one_of, shown
from .entries import COMMA, THOUSANDS, TRUTH, WORD, is_number, trouble
from .header import SEPARATORS, check_names, listed
from .textfile import check_encoding, check_file, check_separator, opened, undecodable_line


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
    check_file(path, encoding)
    target = target.strip()
    try:
        reading = _Reading(path, target, separator or _separator(path, target, encoding), encoding)
        try:
            return reading.table(decimal or ".", decided=decimal is not None)
        except _DecimalComma as shown_by:
            return reading.table(",", decided=False, comma=str(shown_by))
    except UnicodeDecodeError as error:
        line = undecodable_line(path, encoding)
        raise ValueError(
            f"path: {path} is no CSV file in {encoding.upper()}: {line}{error.reason}; "
            'save it as UTF-8, or pass its encoding, such as encoding="cp1252"'
        ) from None


class _DecimalComma(Exception):
    """Raised in reading by an entry with a decimal comma; says which: "line 9 has '1,5'"."""


@dataclass(frozen=True)
class _Reading:
    """One file, and how it is cut into entries."""

    path: object
    target: str
    separator: str
    encoding: str

    def rows(self):
        """(line, entries without the blanks around them) of each line that is not blank."""
        with opened(self.path, self.encoding) as file:
            how = {"delimiter": self.separator, "skipinitialspace": True, "strict": True}
            reader = csv.reader(file, **how)
            try:
                for row in reader:
                    entries = [entry.strip() for entry in row]
                    if len(entries) > 1 or entries and entries[0]:
                        yield reader.line_num, entries
            except csv.Error as error:
                place = f"line {reader.line_num}"
                raise ValueError(f"path: {self.path} is no CSV file: {place}: {error}") from None

    def table(self, decimal, decided, comma=""):
        """All rows as a Table. decided: whether the caller has said what the decimal mark is.

        comma: which entry has shown that it is a comma, in words.
        """
        rows = self.rows()
        _, names = next(rows, (1, []))
        check_names(names, self.target, self.separator, self.path)
        at = names.index(self.target)
        columns = names[:at] + names[at + 1:]
        cells = array("d")
        places = array("q")
        lines = array("q")
        words = {}
        # Between commas a point is a decimal one; elsewhere 1.234 may be 1234 in another country.
        sure = decided or decimal == "." and self.separator == ","
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
                marked = [entry for entry in row if decimal in entry]
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
        x = np.frombuffer(cells).reshape(len(lines), len(columns))
        if x.max() >= 2**53 or x.min() <= -(2**53):
            self.check_reach(columns, at, x, decimal)
        return Table(columns, x, list(words), np.frombuffer(places, np.int64), lines, decimal)

    def check_length(self, line, row, expected):
        """As many entries as names."""
        if len(row) != expected:
            more = self.separator == "," and len(row) > expected
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
        where = f"line {line} of {self.path} has {entry!r} in the column {column!r}"
        return ValueError(f"path: expected numbers, {where}, {why}")

    def word_refused(self, column, place, line, entry, why, decimal):
        """The error for a word: whether it stands alone, or in a column of words."""
        rows = self.rows()
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
        rows = self.rows()
        next(rows)
        for (line, row), numbers in zip(rows, x):
            if abs(numbers).max() >= 2**53:
                del row[at]
                for column, entry in zip(columns, row):
                    why = trouble(entry, decimal)
                    if why:
                        raise self.not_a_number(column, line, entry, why)


# Of such letters float() makes numbers of our grammar and nothing else.
_LETTERS = {".": re.compile(r"[0-9eE+\-.]*"), ",": re.compile(r"[0-9eE+\-,]*")}


def _numbers(row, decimal):
    """The entries as floats; ValueError, without words, where one is no number."""
    if not _LETTERS[decimal].fullmatch("".join(row)):
        raise ValueError
    if decimal == ",":
        row = [entry.replace(",", ".") for entry in row]
    return [float(entry) for entry in row]


def _separator(path, target, encoding):
    """The separator at which the first line names the target; else the one that cuts it most."""
    names = {}
    for separator in SEPARATORS:
        try:
            first = _Reading(path, target, separator, encoding).rows()
            _, names[separator] = next(first, (1, []))
        except UnicodeDecodeError:
            raise
        except ValueError:              # a quoted name that ends elsewhere: not this separator
            names[separator] = []
        if target in names[separator] and len(names[separator]) > 1:
            return separator
    return max(names, key=lambda separator: len(names[separator]))
