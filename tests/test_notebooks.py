"""The form of every lesson in notebooks/, as stored. What its cells compute, nbval compares in the same run of pytest."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "notebooks").glob("**/[!.]*.ipynb"))
WIDGET_VIEW, WIDGET_STATE = (f"application/vnd.jupyter.widget-{part}+json" for part in ("view", "state"))

CODE_CELLS, WORDS = (8, 16), (600, 1500)
SHORT = {}      # lesson: (code cells, words, why)


@pytest.fixture(params=LESSONS, ids=lambda path: path.stem)
def lesson(request):
    if ".ipynb_checkpoints" in request.param.parts:
        pytest.skip("a checkpoint")
    notebook = nbformat.read(request.param, as_version=4)
    notebook.path = request.param
    return notebook


def code(lesson):
    return [cell for cell in lesson.cells if cell.cell_type == "code"]


def markdown(lesson):
    return [cell for cell in lesson.cells if cell.cell_type == "markdown"]


def outputs(lesson):
    return [output for cell in code(lesson) for output in cell.outputs]


def bundles(lesson):
    return [output.data for output in outputs(lesson) if "data" in output]


def tags(cell):
    return cell.metadata.get("tags", [])


def test_there_are_lessons():
    assert LESSONS, "no notebook in notebooks/: all tests by glob would pass with nothing tested"


def test_is_valid(lesson):
    nbformat.validate(nbformat.read(lesson.path, as_version=4))
    assert lesson.metadata.kernelspec.name == "python3"


def test_outputs_are_from_one_clean_run(lesson):
    assert [cell.execution_count for cell in code(lesson)] == list(range(1, len(code(lesson)) + 1))


def test_outputs_are_stored(lesson):
    assert outputs(lesson)
    for cell in code(lesson):
        if re.search(r"^print\(", cell.source, re.M):
            assert cell.outputs, f"this cell prints, and nothing is stored:\n{cell.source}"


def test_no_errors_and_no_stderr(lesson):
    assert not [output for output in outputs(lesson) if output.output_type == "error" or output.get("name") == "stderr"]


def test_every_cell_is_compared(lesson):
    for cell in code(lesson):
        assert "nbval-skip" not in tags(cell) and "NBVAL_SKIP" not in cell.source
        assert "%matplotlib widget" not in cell.source


def test_size(lesson):
    assert lesson.path.stat().st_size < 300_000


def test_number_of_cells_and_words(lesson):
    (fewest, most), (shortest, longest), _ = SHORT.get(lesson.path.stem, (CODE_CELLS, WORDS, ""))
    assert fewest <= len(code(lesson)) <= most
    assert shortest <= sum(len(cell.source.split()) for cell in markdown(lesson)) <= longest


def test_length_of_cells(lesson):
    for cell in code(lesson):
        limit = 20 if "long-cell" in tags(cell) else 12
        assert len(cell.source.splitlines()) <= limit, cell.source


def test_every_cell_is_part_of_the_slides(lesson):
    for cell in lesson.cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        assert kind in ("slide", "subslide", "fragment", "skip", "notes", "-"), f"slide_type is {kind!r}:\n{cell.source}"


def test_widgets_have_their_state(lesson):
    stored = lesson.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    for data in bundles(lesson):
        if WIDGET_VIEW in data:
            assert data[WIDGET_VIEW].model_id in stored


def test_every_picture_has_its_sentence(lesson):
    for data in bundles(lesson):
        if any(kind.startswith("image/") for kind in data):
            text = data.get("text/plain", "")
            assert not text.startswith("<") and len(text.split()) >= 5, f"not a text alternative: {text!r}"


def test_images_in_the_text_have_alt_text(lesson):
    for cell in markdown(lesson):
        assert not re.search(r"!\[\s*\]", cell.source), cell.source
        for tag in re.findall(r"<img\b[^>]*>", cell.source):
            assert re.search(r"""\balt=(["'])\s*\w.*?\1""", tag), tag
