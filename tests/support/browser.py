"""A browser without a window, driven over a pipe by the DevTools protocol: real pages, with their policies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
#: The protocol's pipes are file descriptors 3 and 4 of the browser; by way of high numbers, so that none is lost.
PLACE = (
    "import os, sys; [os.dup2(int(sys.argv[k]), 100 + k) for k in (1, 2)];"
    "[os.dup2(100 + k, 2 + k) for k in (1, 2)]; os.execv(sys.argv[3], sys.argv[3:])"
)


class Browser:
    """One page; ``with Browser(folder) as page``, where ``folder`` takes the profile and what is downloaded."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0

    def __enter__(self) -> Browser:
        (here, theirs), (back, mine) = os.pipe(), os.pipe()
        command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        command += [f"--user-data-dir={self.folder / 'profile'}", "--remote-debugging-pipe", "about:blank"]

        self.process = subprocess.Popen(
            [sys.executable, "-c", PLACE, str(back), str(theirs), *command],
            pass_fds=(back, theirs),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(back)
        os.close(theirs)
        self.read, self.write, self.session = os.fdopen(here, "rb"), os.fdopen(mine, "wb"), ""
        (target,) = (t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self.session = attached["sessionId"]
        self.call("Page.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.read.close()
        self.write.close()
        self.process.kill()
        self.process.wait()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command; return its result, and let events pass by."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        self.write.write(json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        self.write.flush()
        while True:
            answer = self._receive()
            if answer.get("id") == self.count:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def _receive(self) -> dict[str, Any]:
        found = bytearray()
        while (byte := self.read.read(1)) != b"\0":
            assert byte, "the browser has ended"
            found += byte
        return dict(json.loads(found))

    def open(self, page: Path, width: int = 1200, height: int = 800, scripts: bool = True, link: str = "") -> None:
        """Show a page in a window of this size, from its top or at a link into it."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=page.as_uri() + link)
        self.wait("document.readyState === 'complete'")

    def wait(self, expression: str) -> None:
        """Wait up to ten seconds until a JavaScript expression on the page is true."""
        end = time.monotonic() + 10
        while not self.run(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.02)

    def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression on the page; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def mouse(self, kind: str, x: float, y: float) -> None:
        """Send ``mouseMoved``, ``mousePressed`` or ``mouseReleased`` at a place of the window."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
