"""NPZ files, and parameters in one: an array for each, and the equations that they belong to.

    read_npz    the arrays of any NPZ file
    write, read parameters

The equations stand in the comment that a ZIP file may have, so that the arrays are all that
`numpy.load` finds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from errno import EINVAL
from zipfile import ZipFile, is_zipfile

from numpy.lib import format as npy

from .checking import existing_file, shown
from .writing import in_place

LONGEST = 60_000        # bytes of equations that a comment holds; of longer ones it holds a digest


@dataclass(frozen=True)
class Npz:
    """What an NPZ file holds. names: of all its arrays. arrays: those that were asked for, by name.

    comment: the bytes that a ZIP file may have beside its entries.
    """

    names: list
    arrays: dict
    comment: bytes


def read_npz(argument: str, path: object, wanted: str, choose: Callable = list) -> Npz:
    """Read an NPZ file. choose(all names): those of the arrays that are read, all by default.

    argument, wanted: as errors call the path and what was expected of it. Python objects are not
    loaded, as that runs code. TypeError, OSError, or ValueError for what is no such file.
    """
    path = existing_file(argument, path, wanted)
    with open(path, "rb") as file:
        if not is_zipfile(file):
            raise ValueError(f"{argument}: expected {wanted}, {path} is none")
        try:
            with ZipFile(file) as archive:
                entries = {name.removesuffix(".npy"): name for name in archive.namelist()}
                chosen = [name for name in choose(list(entries)) if name in entries]
                arrays = {name: _array(archive, entries[name]) for name in chosen}
                return Npz(list(entries), arrays, archive.comment)
        except Exception as error:          # whatever the bytes made the two readers do
            if isinstance(error, OSError) and error.errno not in (None, EINVAL):
                raise                       # of the disk; to seek before the start is the file's
            raise ValueError(f"{argument}: expected {wanted}, {path} is damaged, or holds more "
                             f"than plain arrays: {error}") from error


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
    found = read_npz("path", path, "an NPZ file with the parameters")
    comment = found.comment
    if comment not in (b"", _comment(equations)):
        raise ValueError(f"path: {path} holds the parameters of other equations: "
                         f"{_difference(comment, equations)}. numpy.load reads its arrays")
    return found.arrays


def _array(archive, name):
    with archive.open(name) as entry:
        return npy.read_array(entry, allow_pickle=False)


def _comment(equations):
    text = equations.encode()
    if len(text) <= LONGEST:
        return text
    import hashlib  # brings OpenSSL, which takes longer to load than most of this package

    return hashlib.sha256(text).hexdigest().encode()


def _difference(comment, equations):
    """The first line that is another one there."""
    there, here = comment.decode(errors="replace").splitlines(), equations.splitlines()
    for old, new in zip(there, here):
        if old != new:
            return f"{shown(old)} where this program has {shown(new)}"
    return f"{len(there)} lines where this program has {len(here)}"
