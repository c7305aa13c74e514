"""The files that install the project agree with one another."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def lines(name):
    bare = [line.split("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    return [line for line in bare if line]


def name_of(requirement):
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-").replace(".", "-")


def test_constraints_are_exact_and_free_of_addresses():
    for line in lines("constraints.txt"):
        assert re.fullmatch(r"[\w.-]+==[\w.]+", line), line


def test_every_requirement_has_its_version_but_cupy():
    pinned = {name_of(line) for line in lines("constraints.txt")}
    extras = PROJECT["project"]["optional-dependencies"]
    asked = [line for line in lines("requirements.txt") if not line.startswith("-")] + PROJECT["project"]["dependencies"]
    asked += [line for name, extra in extras.items() if name != "gpu" for line in extra]
    assert {name_of(line) for line in asked} <= pinned


def test_cupy_is_only_in_the_extra_gpu():
    base = lines("requirements.txt") + lines("constraints.txt") + PROJECT["project"]["dependencies"]
    assert not [line for line in base if "cupy" in line.lower() or "cuda" in line.lower()]
    assert [name_of(line) for line in PROJECT["project"]["optional-dependencies"]["gpu"]] == ["cupy-cuda12x"]


def test_every_package_is_installed():
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in ROOT.glob("mbcore/**/__init__.py")}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found


def test_ci_runs_the_commands_of_the_readme():
    """The test command stands in the README twice: for Linux and macOS, and for Windows."""
    commands = re.findall(r"^python3? -m venv \.venv.*pytest$", README, re.M)
    unix, windows = commands
    assert lines(".ci/run")[-1] == unix
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert all(f"- run: {command}\n" in workflow for command in commands) and "- run: .ci/run\n" in workflow
