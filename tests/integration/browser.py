"""A real headless Chromium in tests, by its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from base64 import b64decode
from pathlib import Path
from typing import Any, Self

import websocket

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PATIENCE = 60.0  # seconds
_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    # Whatever a page or the browser itself may want from elsewhere: nobody is there.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def find() -> str:
    """Return the program, "" when there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), "")


def why_none() -> str:
    """Return why no browser can be used, "" when one can."""
    return "" if find() else f"no {' or '.join(NAMES[:2])} on the PATH (Debian: chromium-headless-shell)"


class Browser:
    """One browser with one page. A context manager. `said` and `asked` are what the page said and requested so far."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sent = 0
        self._events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        flags = [*_FLAGS, f"--user-data-dir={self._folder}"]
        if os.geteuid() == 0:  # its sandbox needs a user of its own
            flags.append("--no-sandbox")
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [find(), *flags, "about:blank"], stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._socket = websocket.create_connection(self._page(), timeout=PATIENCE, suppress_origin=True)
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.do(f"{domain}.enable")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._end()

    def _end(self) -> None:
        """End it with all the processes that it has made for itself."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def do(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command; return its result."""
        self._sent += 1
        self._socket.send(json.dumps({"id": self._sent, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == self._sent:
                assert "error" not in answer, answer
                return answer.get("result") or {}
            self._events.append(answer)

    def open(self, url: str) -> None:
        """Open a page, and return when it is there."""
        self._events.clear()
        self.do("Page.navigate", url=url)
        end = time.monotonic() + PATIENCE
        while self.ask("document.readyState") != "complete" or self.ask("location.href") == "about:blank":
            assert time.monotonic() < end, f"{url} does not load"
            time.sleep(0.05)

    def ask(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript: the tests may run scripts, also where the page may not."""
        result = self.do("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def look(self, *, width: int, scheme: str = "light", media: str = "") -> None:
        """Be a screen of this width with this colour scheme; `media` may be `print`."""
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.do("Emulation.setEmulatedMedia", media=media, features=features)

    def picture(self, file: Path) -> None:
        """Write the whole page as a PNG."""
        size = self.do("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self.do("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b64decode(data))

    def said(self) -> list[str]:
        """Return what was written to the console since the page was opened: by it, or about it."""
        told = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self._events if event["method"] in told]

    def asked(self) -> list[str]:
        """Return the URLs that were requested since the page was opened."""
        requests = [event["params"] for event in self._events if event["method"] == "Network.requestWillBeSent"]
        return [request["request"]["url"] for request in requests]

    def _page(self) -> str:
        """Return the address of the page's end of the protocol."""
        file = self._folder / "DevToolsActivePort"
        end = time.monotonic() + PATIENCE
        while not file.exists() or "\n" not in file.read_text():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < end, "the browser does not start"
            time.sleep(0.05)
        port = int(file.read_text().split("\n")[0])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE) as answer:
            pages = [page for page in json.load(answer) if page["type"] == "page"]
        return str(pages[0]["webSocketDebuggerUrl"])
