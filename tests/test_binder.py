"""What repo2docker, and so Binder, would do with this repository. Nothing is built and no Docker is needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BINDER = ROOT / "binder"


@pytest.fixture(scope="module")
def plan():
    """The lines that repo2docker prints: its notes, then the Dockerfile."""
    pytest.importorskip("repo2docker", reason="repo2docker does not run on Windows")
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines() + done.stdout.splitlines()


def test_python_is_3_12(plan):
    assert "Building conda environment for python=3.12" in plan


def test_our_requirements_are_installed_after_the_repository_is_copied(plan):
    (install,) = [k for k, line in enumerate(plan) if "pip install" in line]
    assert plan[install].endswith('-r "binder/requirements.txt"')
    assert plan.index("WORKDIR ${REPO_DIR}") < plan.index("COPY --chown=0:0 src/ ${REPO_DIR}/") < install


def test_post_build_and_start_run(plan):
    assert "RUN ./binder/postBuild" in plan
    assert 'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in plan


def test_requirements_are_the_repositorys():
    lines = [line for line in (BINDER / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines == ["-r ../requirements.txt"]
    assert (BINDER / lines[0].removeprefix("-r ")).resolve() == ROOT / "requirements.txt"


@pytest.mark.parametrize("path", ["binder/postBuild", "binder/start", ".ci/run"])
def test_scripts_are_executable_and_strict(path):
    lines = (ROOT / path).read_text().splitlines()
    assert os.access(ROOT / path, os.X_OK)
    assert lines[0] == "#!/usr/bin/env bash" and "set -euo pipefail" in lines


@pytest.mark.skipif(sys.platform == "win32", reason="the scripts of binder/ run on Linux")
def test_start_hands_over_with_one_blas_thread():
    show = [sys.executable, "-c", "import os, sys; print(os.environ['OPENBLAS_NUM_THREADS'], *sys.argv[1:])", "a b", "c"]
    done = subprocess.run([BINDER / "start", *show], capture_output=True, text=True, check=True)
    assert done.stdout == "1 a b c\n"
    assert subprocess.run([BINDER / "start", "false"]).returncode == 1


@pytest.mark.skipif(sys.platform == "win32", reason="the scripts of binder/ run on Linux")
def test_post_build_imports_the_package():
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run([BINDER / "postBuild"], cwd=ROOT, env={**os.environ, "PATH": path}, check=True)
