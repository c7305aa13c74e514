"""Mutation testing: change one operator or number of a module, and see whether that module's own tests notice.

    python tests/mutation.py notation optim     test these modules, or go on where an earlier run stopped
    python tests/mutation.py                    test all of TESTS, one after the other
    python tests/mutation.py --report           what was killed, and every survivor as a diff

Needs the extra "mutation" (Cosmic Ray). A session lives in .mutation/: a copy of the tree as it was at its start, and a
database of mutants and outcomes. Delete a module's session to begin anew. A mutant whose tests time out counts as killed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SESSIONS = ROOT / ".mutation"
SAMPLE, SEED = 300, 0       # mutants of a module, at most; which ones is drawn with this seed
TESTS = {                   # module -> the test files that answer for it, the quickest first
    "notation": ["test_notation", "test_equations"],
    "indexing": ["test_scopes", "test_equations", "test_notation"],
    "graph": ["test_equations", "test_reference", "test_scopes", "test_program"],
    "lowering": ["test_scopes", "test_probabilities", "test_notation", "test_equations"],
    "derivatives": ["test_derivatives", "test_reference", "test_gradients_oracle"],
    "contraction": ["test_program", "test_contraction"],
    "kernels": ["test_program", "test_tails", "test_gradients_oracle"],
    "program": ["test_program", "test_program_input", "test_program_whole", "test_equations"],
    "gradients": ["test_gradients"],
    "noise_scale": ["test_gradients"],
    "optim": ["test_optim", "test_optim_whole"],
    "train": ["test_train", "test_train_refused"],
    "schedule": ["test_schedule"],
}
SAME = ("_Eq_Is", "_NotEq_IsNot")     # of small numbers and of names `is` is `==`: no test can tell


def main():
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"     # loading them takes longer than most tests
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", choices=[*TESTS, []], metavar="module")
    parser.add_argument("--report", action="store_true", help="print the outcomes so far")
    given = parser.parse_args()
    for module in given.modules or TESTS:
        if not given.report:
            run(module)
        report(module, survivors=given.report)


def run(module):
    """Test the mutants of one module that have no outcome yet."""
    tree, database = SESSIONS / module, SESSIONS / f"{module}.sqlite"
    original, mutated = tree / f"{module}.original", tree / "mbcore" / f"{module}.py"
    if not database.exists():
        begin(module, tree, original, mutated, database)
    shutil.copy(original, mutated)          # an interrupted run may have left a mutant here
    cosmic_ray(tree, "exec", "mutation.toml", database)


def begin(module, tree, original, mutated, database):
    """Copy the tree, time its tests, and draw the mutants."""
    from cosmic_ray.work_db import WorkDB, use_db

    shutil.rmtree(tree, ignore_errors=True)
    for folder in ("mbcore", "tests"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "README.md", tree)
    shutil.copy(mutated, original)
    files = [f"tests/{name}.py" for name in TESTS[module]]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-o", "addopts=", "-p", "no:cacheprovider", *files]
    start = time.monotonic()
    if subprocess.run(command, cwd=tree).returncode:
        raise SystemExit(f"{module}: its tests fail without any mutant")
    limit = 10 + 3 * (time.monotonic() - start)
    settings = {"module-path": f"mbcore/{module}.py", "timeout": limit, "excluded-modules": []}
    lines = [f"{key} = {value!r}" for key, value in settings.items()]
    text = ["[cosmic-ray]", *lines, f"test-command = {' '.join(command)!r}"]
    text += ["[cosmic-ray.distributor]", 'name = "local"']
    (tree / "mutation.toml").write_text("\n".join(text))
    new = database.with_suffix(".new")
    new.unlink(missing_ok=True)
    cosmic_ray(tree, "init", "mutation.toml", new)
    with use_db(str(new), WorkDB.Mode.open) as db:
        mutants = [m for m in db.work_items if not m.mutations[0].operator_name.endswith(SAME)]
        mutants.sort(key=lambda m: (m.mutations[0].start_pos, m.mutations[0].operator_name))
        drawn = random.Random(SEED).sample(mutants, min(SAMPLE, len(mutants)))
        db.clear()
        db.add_work_items(drawn)
    new.rename(database)
    print(f"{module}: {len(drawn)} of {len(mutants)} mutants, {limit:.0f} s each at most")


def cosmic_ray(tree, *arguments):
    """Run Cosmic Ray in the copy of the tree, whose mbcore then stands before the installed one."""
    command = [sys.executable, "-m", "cosmic_ray.cli", *map(str, arguments)]
    subprocess.run(command, cwd=tree, check=True)


def report(module, survivors=True):
    """Print how many mutants were killed, and the diff of each that was not."""
    from cosmic_ray.work_db import WorkDB, use_db

    database = SESSIONS / f"{module}.sqlite"
    if not database.exists():
        print(f"{module}: not begun")
        return
    with use_db(str(database), WorkDB.Mode.open) as db:
        done = [(item.mutations[0].start_pos, result) for item, result in db.completed_work_items]
        total = db.num_work_items
    alive = sorted((at, result.diff) for at, result in done if not result.is_killed)
    share = 1 - len(alive) / max(1, len(done))
    print(f"{module}: {len(done)} of {total} mutants tested, {share:.1%} killed, {len(alive)} survive")
    for _, diff in alive if survivors else ():
        print("\n".join(line for line in diff.splitlines() if line[:1] in "+-@" and line[:3] not in ("+++", "---")))


if __name__ == "__main__":
    main()
