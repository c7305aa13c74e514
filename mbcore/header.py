"""The first line of a table: names of columns, one for each, among them the target's."""

from __future__ import annotations

from .entries import is_number

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


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
    return ", ".join(names[:most]) + more
