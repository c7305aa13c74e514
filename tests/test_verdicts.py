"""All claims of the sources are answered, each by one experiment, and the table says so."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import mbcore as mb
from mbcore.experiments.verdict import LABELS
from mbcore.verdicts import LESSONS, claims, judging, modules, stated

ROOT = Path(__file__).parents[1]
IDS = [f"{source}{k}" for source, count in (("T", 11), ("Q", 9), ("N", 7), ("F", 4), ("B", 6)) for k in range(1, count + 1)]


def test_every_claim_has_one_experiment():
    assert list(claims()) == IDS
    assert sorted((claim, name) for name, module in modules().items() for claim in module.CLAIMS) == sorted(claims().items())


def test_every_claim_says_something():
    texts = [stated(claim) for claim in IDS]
    assert len(set(texts)) == len(IDS) and all(text.endswith(".") and "|" not in text and len(text) < 125 for text in texts)


def test_a_verdict_imports_its_own_experiment_alone():
    code = "import sys, mbcore as mb; mb.verdicts('Q7'); print([n for n in sys.modules if n == 'scipy.stats' or n.endswith('flat_minima')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_experiment_is_listed():
    files = [path for path in (ROOT / "mbcore" / "experiments").glob("*.py")]
    with_claims = {path.stem for path in files if re.search(r"^CLAIMS = ", path.read_text(encoding="utf-8"), re.M)}
    assert with_claims == set(LESSONS)


def test_lessons_are_named_as_in_the_readme():
    table = re.findall(r"^\| (\d\d) \| ", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert {lesson[:2] for lesson in LESSONS.values()} <= set(table)


@pytest.fixture(scope="module")
def found():
    return mb.verdicts("T4", "T1", "Q7")


def test_verdicts_come_in_the_sources_order(found):
    assert list(found) == ["T1", "T4", "Q7"] and len(found) == 3
    assert str(found) == "\n".join(str(found[claim]) for claim in found)
    assert all(found[claim].label in LABELS for claim in found)


def test_verdicts_link_to_their_lessons(found):
    rows = found._repr_markdown_().splitlines()
    assert len(rows) == 5 and "| T4 | Every input" in rows[3] and all(row.endswith("| [01](01_the_batch_index.ipynb) |") for row in rows[2:])


def test_each_experiment_is_run_once(monkeypatch):
    from mbcore.experiments import batch_index
    runs, run = [], batch_index.run
    monkeypatch.setattr(batch_index, "run", lambda config: runs.append(config) or run(config))
    steps = list(judging("T1", "T4", "T5"))
    assert runs == [batch_index.SMALL] and steps[-1][0] == 1 and list(steps[-1][1]) == ["T1", "T4", "T5"]


def test_an_unknown_claim_is_refused():
    with pytest.raises(ValueError, match="^claim: expected one of T1, T2.*, got 'T99'"):
        mb.verdicts("T99")


@pytest.mark.parametrize("claim", [None, 3, ["T1"], "t1", ""])
def test_what_is_no_claim_is_refused_at_the_call(claim):
    for call in (judging, stated):
        with pytest.raises(ValueError, match="^claim: expected one of T1"):
            call(claim)
