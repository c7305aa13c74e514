"""Every lesson in a real JupyterLab in headless Chromium, as a student meets it: open, Run All, move a slider by keyboard."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
LESSONS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
SECOND = 1000

NOT_OURS = [    # console errors that JupyterLab makes with any notebook
    "Could not restore the debugger state",    # its debugger panel, when a kernel is still starting
]
PANEL = ".mb-panel:has(.noUi-handle)"

FAILED = ", ".join(f'.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.{kind}"]' for kind in ("error", "stderr"))
RUN_ALL = """async () => {
    const notebook = jupyterapp.shell.currentWidget;
    await notebook.context.ready;
    await notebook.sessionContext.ready;
    await notebook.sessionContext.session.kernel.info;
    const late = new Promise((_, fail) => setTimeout(fail, 120000, new Error('Run All takes more than 120 s')));
    await Promise.race([jupyterapp.commands.execute('notebook:run-all-cells'), late]);
}"""
SHOWN = f"""() => {{
    const panel = document.querySelector('{PANEL}');
    return {{picture: panel.querySelector('img').src, reading: panel.querySelector('[aria-live]').textContent}};
}}"""


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as play:
        path = shutil.which("chromium") or play.chromium.executable_path
        if not Path(path).exists():
            missing = "Chromium is not installed: `python -m playwright install chromium` or your system's packages"
            pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    """The address of a JupyterLab over a copy of the notebooks; it takes /PATH."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".*"))
    attach_all_cells(folder / "settings")
    port, token = free_port(), secrets.token_hex()
    options = ["--no-browser", "--allow-root", "--expose-app-in-browser", f"--port={port}", "--ServerApp.port_retries=0",
               f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder / 'notebooks'}"]
    own = {"JUPYTERLAB_SETTINGS_DIR": folder / "settings", "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces"}
    with open(folder / "log.txt", "w") as log:
        server = subprocess.Popen([sys.executable, "-m", "jupyter", "lab", *options], stdout=log, stderr=log,
                                  env={**os.environ, **{name: str(path) for name, path in own.items()}})
        try:
            wait_for_server(f"http://127.0.0.1:{port}/api", server, folder / "log.txt")
            yield lambda path: f"http://127.0.0.1:{port}{path}?reset&token={token}"
        finally:
            server.terminate()
            server.wait(30)


def attach_all_cells(settings):
    """By default JupyterLab leaves cells outside the window out of the page, where no test could see them."""
    file = settings / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"windowingMode": "none"}))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_server(address, server, log, seconds=60):
    end = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < end:
        try:
            return urlopen(address, timeout=5)
        except (URLError, TimeoutError):
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}")


@pytest.mark.parametrize("lesson", LESSONS)
def test_lesson_runs_and_its_slider_works(lesson, lab, browser):
    errors = []
    with browser.new_page(viewport={"width": 1280, "height": 900}) as page:
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        run_all(page, lab(f"/lab/tree/{lesson}"))
        assert page.locator(FAILED).all_inner_texts() == []
        move_slider(page)
    assert [error for error in errors if not any(part in error for part in NOT_OURS)] == []


def run_all(page, address):
    """Do what "Run All Cells" in the menu does, once the kernel answers."""
    page.goto(address)
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60 * SECOND)
    page.evaluate(RUN_ALL)


def move_slider(page):
    page.locator(f"{PANEL} img").first.wait_for()
    handle = page.locator(f"{PANEL} .noUi-handle").first
    handle.scroll_into_view_if_needed()
    before = page.evaluate(SHOWN)
    at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
    handle.focus()
    page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
    for what in ("picture", "reading"):
        page.wait_for_function(f"before => ({SHOWN})()['{what}'] !== before", arg=before[what], timeout=10 * SECOND)


def test_there_are_lessons():
    assert LESSONS
