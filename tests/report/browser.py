"""A headless Chromium that opens one page and says what it saw: console, requests, the page after its scripts ran."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import subprocess

import pytest

# The browser's own errands (clock, updates) find no host, so that nothing but the page can matter.
_FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --hide-scrollbars --enable-logging=stderr --virtual-time-budget=6000"""


@dataclasses.dataclass(frozen=True)
class Visit:
    """What a visit left."""

    html: str  # of the page when its scripts had run
    console: list[str]  # all lines, of any level
    requests: list[str]  # addresses that the page itself asked for, its own file not counted
    picture: pathlib.Path


def chromium() -> str:
    """The browser, or the test is skipped."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium here: apt-get install chromium")
    return found


def visit(page: pathlib.Path, folder: pathlib.Path, fragment: str = "", width: int = 1280, height: int = 1600) -> Visit:
    """Open a page twice, for its picture and for its HTML; `folder` takes what the browser writes."""
    address, log = f"{page.resolve().as_uri()}{fragment}", folder / "net.json"
    command = [chromium(), *_FLAGS.split(), "--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={width},{height}"]
    profile, picture = f"--user-data-dir={folder / 'profile'}", folder / "page.png"
    seen = _run([*command, profile, f"--screenshot={picture}", address])
    read = _run([*command, profile, f"--log-net-log={log}", "--dump-dom", address])
    console = [line for line in (seen.stderr + read.stderr).splitlines() if ":CONSOLE" in line]
    return Visit(read.stdout, console, _requests(log, address), picture)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)


def _requests(log: pathlib.Path, address: str) -> list[str]:
    text = log.read_text()
    try:
        record = json.loads(text)
    except json.JSONDecodeError:  # the browser may end before it closes the list
        record = json.loads(text.rstrip().rstrip(",") + "]}")
    start = record["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    jobs = [
        event["params"] for event in record["events"] if event["type"] == start and "url" in event.get("params", {})
    ]
    # Requests of the browser itself have no page as their origin.
    return [job["url"] for job in jobs if job.get("initiator") != "not an origin" and job["url"] != address]
