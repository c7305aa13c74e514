"""Parameters in a file: an NPZ file with an array for each, and the equations that they belong to.

The equations stand in the comment that a ZIP file may have, so that the arrays are all that
`numpy.load` finds.
"""

from __future__ import annotations

import hashlib
from os import PathLike
from zipfile import ZipFile, is_zipfile

from numpy.lib import format as npy

from .checking import WrongKind, shown
from .writing import in_place

LONGEST = 60_000        # bytes of equations that a comment holds; of longer ones it holds a digest


def write(path, arrays, equations):
    """Write the arrays, name -> NumPy array, with the equations, a text.

    OSError, and the older file stays as it was, where that fails.
    """
    with in_place(path) as file, ZipFile(file, "w") as archive:
        archive.comment = _comment(equations)
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                npy.write_array(entry, array, allow_pickle=False)


def read(path, equations):
    """The arrays of a file, name -> NumPy array.

    A file without equations, as numpy.savez writes it, is read as well. Raises OSError where there
    is no such file, and ValueError for a damaged one, one of another kind, or one that holds the
    parameters of other equations.
    """
    wanted = "path: expected an NPZ file with the parameters"
    if not isinstance(path, (str, PathLike)):
        raise WrongKind(f"path: expected the path of a file, got {shown(path)}")
    with open(path, "rb") as file:
        if not is_zipfile(file):
            raise ValueError(f"{wanted}, {path} is none")
        try:
            with ZipFile(file) as archive:
                comment = archive.comment
                entries = {name: _array(archive, name) for name in archive.namelist()}
        except Exception as error:          # whatever the bytes made the two readers do
            raise ValueError(f"{wanted}, {path} is damaged: {error}") from error
    if comment not in (b"", _comment(equations)):
        raise ValueError(f"path: {path} holds the parameters of other equations: "
                         f"{_difference(comment, equations)}. numpy.load reads its arrays")
    return {name.removesuffix(".npy"): array for name, array in entries.items()}


def _array(archive, name):
    with archive.open(name) as entry:
        return npy.read_array(entry, allow_pickle=False)


def _comment(equations):
    text = equations.encode()
    return text if len(text) <= LONGEST else hashlib.sha256(text).hexdigest().encode()


def _difference(comment, equations):
    """The first line that is another one there."""
    there, here = comment.decode(errors="replace").splitlines(), equations.splitlines()
    for old, new in zip(there, here):
        if old != new:
            return f"{shown(old)} where this program has {shown(new)}"
    return f"{len(there)} lines where this program has {len(here)}"
