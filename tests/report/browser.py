"""A headless Chromium that opens pages at any width, light or dark, and says what it saw: console, requests, pixels."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import select
import shutil
import subprocess
from typing import Any, Self

import pytest

_PATIENCE_S = 90
# The browser's own errands (clock, updates) find no host, so that nothing but the page can matter.
_FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --hide-scrollbars --remote-debugging-pipe"""


def chromium() -> str:
    """The browser, or the test is skipped."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium here: apt-get install chromium")
    return found


class Browser:
    """A browser that is told what to do by the DevTools protocol, over two pipes: any width, dark, print, clicks."""

    def __init__(self, folder: pathlib.Path) -> None:
        (theirs, self._send), (self._read, answers) = os.pipe(), os.pipe()
        command = [chromium(), *_FLAGS.split(), "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder}"]
        shell = ["bash", "-c", f'exec "$@" 3<&{theirs} 4>&{answers}', "bash"]
        self._process = subprocess.Popen([*shell, *command], pass_fds=(theirs, answers), stderr=subprocess.DEVNULL)
        os.close(theirs), os.close(answers)
        self._buffer, self._last, self._session = b"", 0, {}
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self._session = {}
        self.call("Browser.close")
        self._process.wait(timeout=30)
        os.close(self._send), os.close(self._read)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """What the browser answers to a command."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params, **self._session}
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._read], [], [], _PATIENCE_S)[0], "the browser does not answer"
            part = os.read(self._read, 1 << 20)
            assert part, "the browser has ended"
            self._buffer += part
        message, self._buffer = self._buffer.split(b"\0", 1)
        return dict(json.loads(message))

    def open(self, page: pathlib.Path, width: int, height: int, *, dark: bool = False, fragment: str = "") -> None:
        """Open a page in a window of that size, and wait for its scripts."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        for address in ("about:blank", f"{page.resolve().as_uri()}{fragment}"):  # a new fragment alone loads nothing
            self.events.clear()
            self.call("Page.navigate", url=address)
            while not any(event["method"] == "Page.loadEventFired" for event in self.events):
                self.events.append(self._next())

    def run(self, script: str) -> Any:
        """The value, plain JSON, that the body of an asynchronous function returns in the page."""
        code = f"(async () => {{ {script} }})()"
        found = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def picture(self, path: pathlib.Path) -> None:
        """What the window shows, as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    @property
    def console(self) -> list[str]:
        """Lines of the console of any level, and errors, since the page was opened."""
        loud = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self.events if event["method"] in loud]

    @property
    def requests(self) -> list[str]:
        """Addresses that the page asked for, itself not counted, since it was opened."""
        asked = [event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        urls = [params["request"]["url"] for params in asked if params["type"] != "Document"]
        return [url for url in urls if not url.startswith(("data:", "blob:"))]
