"""A CSV file as rows of entries: what the file is, what parts its entries, in which encoding.

    Rows             the rows of a file, each with the number of its line
    found_separator  the one at which the first line names the target

Python's own `csv` module does the cutting; what the entries mean is said by `tables`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .checking import WrongKind, existing_file, shown

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}

UTF16 = 'written in UTF-16: save it as UTF-8, or pass encoding="utf-16"'
UTF32 = 'written in UTF-32: save it as UTF-8, or pass encoding="utf-32"'
FIRST_BYTES = {         # of files that are taken for a CSV file; asked in this order
    b"\x1f\x8b": "compressed by gzip: unpack it first",
    b"BZh": "compressed by bzip2: unpack it first",
    b"\xfd7zXZ": "compressed by xz: unpack it first",
    b"PK\x03\x04": "a ZIP archive, as .xlsx and .zip are: unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel file: save the sheet as CSV",
    b"PAR1": "a Parquet file: read it by pandas, and give the frame to mb.dataset",
    b"%PDF": "a PDF file",
    b"\xff\xfe\0\0": UTF32,
    b"\xff\xfe": UTF16,
    b"\xfe\xff": UTF16,
}


def check_separator(separator: object) -> None:
    """One character that can stand between numbers and words, and in none of them."""
    if not isinstance(separator, str):
        raise WrongKind(f"separator: expected one character, got {shown(separator)}")
    if len(separator) != 1 or separator.isalnum() or separator in "+-.\"\r\n\0":
        raise ValueError("separator: expected one character that stands in no number or word, "
                         f"got {separator!r}")


def check_encoding(encoding: object) -> None:
    """Refuse what is no name of an encoding."""
    if not isinstance(encoding, str):
        raise WrongKind(f"encoding: expected the name of an encoding, got {shown(encoding)}")
    try:
        "".encode(encoding)
    except (LookupError, ValueError):       # ValueError: a zero character, or one that refuses all
        raise ValueError(
            f"encoding: expected utf-8, cp1252 or another that Python knows, got {encoding!r}"
        ) from None


def check_text(path: object, encoding: str) -> None:
    """Refuse what is no file of text, in words."""
    existing_file("path", path, "a CSV file")
    with open(path, "rb") as file:
        start = file.read(4096)
    if _plain(encoding).startswith(("utf16", "utf32")):
        return
    for first, words in FIRST_BYTES.items():
        if start.startswith(first):
            raise ValueError(f"path: expected a CSV file, {path} is {words}")
    if b"\0" in start:
        raise ValueError(f"path: expected a CSV file, {path} is no text: some bytes are zero")


@dataclass(frozen=True)
class Rows:
    """The rows of a file; each pass over them reads it anew.

    Yields (line, entries without the blanks around them) of each line that is not blank.
    ValueError, which names the line, for what cannot be cut or is in another encoding.
    """

    path: object
    separator: str
    encoding: str

    def __iter__(self) -> Iterator:
        marked = _plain(self.encoding) == "utf8"    # some programs write a mark first
        encoding = "utf-8-sig" if marked else self.encoding
        with open(self.path, newline="", encoding=encoding) as file:
            lines = map(self._closed, file)
            how = {"delimiter": self.separator, "skipinitialspace": True, "strict": True}
            reader = csv.reader(lines, **how)
            try:
                for row in reader:
                    entries = [entry.strip() for entry in row]
                    if len(entries) > 1 or entries and entries[0]:
                        yield reader.line_num, entries
            except csv.Error as error:
                place = f"line {reader.line_num}"
                raise ValueError(f"path: {self.path} is no CSV file: {place}: {error}") from None
            except UnicodeDecodeError as error:
                raise self._undecodable(error) from None

    def _closed(self, line):
        """The line without the blanks between a closing quote and the separator, as in "a" ,1."""
        if '" ' not in line:
            return line
        return re.sub(rf'(?<!")" +(?=[{re.escape(self.separator)}\r\n]|$)', '"', line)

    def _undecodable(self, error):
        """The error for bytes that are not in this encoding; it names the first such line."""
        place = ""                          # lines cannot be told apart in every encoding
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode(self.encoding)
                except UnicodeDecodeError:
                    place = f"line {number}, "
                    break
        return ValueError(
            f"path: {self.path} is no CSV file in {self.encoding.upper()}: {place}{error.reason}; "
            'save it as UTF-8, or pass its encoding, such as encoding="cp1252"'
        )


def found_separator(path: object, target: str, encoding: str) -> str:
    """The separator at which the first line names the target; else the one that cuts it most."""
    names = {}
    for separator in SEPARATORS:
        try:
            _, names[separator] = next(iter(Rows(path, separator, encoding)), (1, []))
        except ValueError:              # a quoted name that ends elsewhere: not this separator
            names[separator] = []
        if target in names[separator] and len(names[separator]) > 1:
            return separator
    return max(names, key=lambda separator: len(names[separator]))


def _plain(encoding):
    return encoding.lower().replace("-", "").replace("_", "")
