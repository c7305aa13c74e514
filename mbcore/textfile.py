"""Whether a path is a file of text that can be read, and if not, what it is, in words."""

from __future__ import annotations

import os

from .checking import WrongKind, shown

UTF16 = 'written in UTF-16: save it as UTF-8, or pass encoding="utf-16"'
FIRST_BYTES = {         # of files that are taken for a CSV file
    b"\x1f\x8b": "compressed by gzip: unpack it first",
    b"BZh": "compressed by bzip2: unpack it first",
    b"\xfd7zXZ": "compressed by xz: unpack it first",
    b"PK\x03\x04": "a ZIP archive, as .xlsx and .zip are: unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel file: save the sheet as CSV",
    b"PAR1": "a Parquet file: read it by pandas, and give the frame to mb.dataset",
    b"%PDF": "a PDF file",
    b"\xff\xfe": UTF16,
    b"\xfe\xff": UTF16,
}


def check_separator(separator):
    """One character that can stand between numbers and words, and in none of them."""
    if not isinstance(separator, str):
        raise WrongKind(f"separator: expected one character, got {shown(separator)}")
    if len(separator) != 1 or separator.isalnum() or separator in "+-.\"\r\n\0":
        raise ValueError("separator: expected one character that stands in no number or word, "
                         f"got {separator!r}")


def check_encoding(encoding):
    """Refuse what is no name of an encoding."""
    if not isinstance(encoding, str):
        raise WrongKind(f"encoding: expected the name of an encoding, got {shown(encoding)}")
    try:
        "".encode(encoding)
    except LookupError:
        raise ValueError(
            f"encoding: expected utf-8, cp1252 or another that Python knows, got {encoding!r}"
        ) from None


def check_file(path, encoding):
    """Refuse what is no file of text, in words."""
    if not isinstance(path, (str, os.PathLike)):
        raise WrongKind(f"path: expected the path of a CSV file, got {shown(path)}")
    if os.path.isdir(path):
        raise IsADirectoryError(f"path: expected a CSV file, {path} is a folder")
    if not os.path.exists(path):
        raise FileNotFoundError(f"path: there is no {path}")
    with open(path, "rb") as file:
        start = file.read(4096)
    if _plain(encoding).startswith(("utf16", "utf32")):
        return
    for first, words in FIRST_BYTES.items():
        if start.startswith(first):
            raise ValueError(f"path: expected a CSV file, {path} is {words}")
    if b"\0" in start:
        raise ValueError(f"path: expected a CSV file, {path} is no text: some bytes are zero")


def _plain(encoding):
    return encoding.lower().replace("-", "").replace("_", "")


def opened(path, encoding):
    """The file as text, without the mark of the byte order that some programs write first."""
    marked = _plain(encoding) == "utf8"
    return open(path, newline="", encoding="utf-8-sig" if marked else encoding)


def undecodable_line(path, encoding):
    """"line 3, ", the first that is not in this encoding; "" where lines cannot be told apart."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError:
                return f"line {number}, "
    return ""
