"""The picture of the architecture in the README is true: a module imports only from rows above its own."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "mbcore").glob("**/*.py"))
ALL_BUT_FACE = [path for path in FILES if path != ROOT / "mbcore" / "__init__.py"]    # __init__ only gathers the names


def picture():
    """{module or package: row}, from the fenced block of the section "Inside": names, two spaces or more, their job."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^## Inside$.*?^```text\n(.*?)^```$", readme, re.M | re.S)[1]
    rows = [re.split(r" {2,}", line)[0].split(", ") for line in block.splitlines()]
    names = [name for row in rows for name in row]
    assert len(names) == len(set(names)), "a module stands twice in the picture"
    return {name: number for number, row in enumerate(rows) for name in row}


def unit(path):
    """What the picture calls this file: `kernels` for mbcore/kernels.py, `panels/` for all in mbcore/panels."""
    inner = path.relative_to(ROOT / "mbcore").parts
    return inner[0].removesuffix(".py") if len(inner) == 1 else f"{inner[0]}/"


def imports(source, package):
    """The dotted path of every import, as a tuple; package is the tuple of the importing file's packages."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            yield from (base + (alias.name,) for alias in node.names)


def imports_of(path):
    return list(imports(path.read_text(encoding="utf-8"), path.relative_to(ROOT).parts[:-1]))


@pytest.mark.parametrize(
    "source, found",
    [
        ("import mbcore", ("mbcore",)),
        ("import cupy.linalg as c", ("cupy", "linalg")),
        ("def f():\n    from ..graph import lower", ("mbcore", "graph", "lower")),
        ("from .. import kernels", ("mbcore", "kernels")),
        ("from .base import Panel", ("mbcore", "panels", "base", "Panel")),
    ],
)
def test_imports_are_found(source, found):
    assert list(imports(source, ("mbcore", "panels"))) == [found]


def test_picture_and_disk_agree():
    assert set(picture()) == {unit(path) for path in ALL_BUT_FACE}


@pytest.mark.parametrize("path", ALL_BUT_FACE, ids=lambda path: str(path.relative_to(ROOT / "mbcore")))
def test_imports_come_from_rows_above(path):
    rows, own = picture(), unit(path)
    for names in imports_of(path):
        if names[0] == "mbcore":
            target = next((n for n in (names[1], f"{names[1]}/") if n in rows), None) if len(names) > 1 else None
            assert target, f"import the module itself, not a name of the package mbcore: {'.'.join(names)}"
            assert target == own or rows[target] < rows[own], f"{target} is not above {own}"


def test_only_backend_imports_cupy():
    assert {unit(path) for path in FILES for names in imports_of(path) if names[0] in ("cupy", "cupyx")} <= {"backend"}


def test_only_panels_draw():
    drawing = {"matplotlib", "ipywidgets", "IPython", "PIL"}
    assert {unit(path) for path in FILES for names in imports_of(path) if names[0] in drawing} <= {"panels/"}


def test_readers_of_files_are_loaded_at_their_first_use():
    """Importing mbcore takes 0.2 s; what reads files, and a second BLAS, are not a part of it."""
    code = """
import sys, mbcore as mb
late = {"mbcore.sources", "scipy", "torch", "pandas"} & set(sys.modules)
assert not late, late
assert "dataset" in dir(mb) and callable(mb.dataset) and "mbcore.sources" in sys.modules
try:
    mb.nothing
except AttributeError as error:
    assert str(error) == "module 'mbcore' has no attribute 'nothing'"
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
