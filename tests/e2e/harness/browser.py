"""Headless Chromium, driven over its debugging pipe: scripts, screenshots, complaints."""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time

from . import procfs
from .wait import wait_until

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")

OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
           "--disable-background-networking", "--disable-component-update",
           "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server",
           "--hide-scrollbars", "--remote-debugging-pipe"]


def _high(descriptors):
    """The same under numbers that are out of the way."""
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in descriptors]
    for fd in descriptors:
        os.close(fd)
    return moved


class Browser:
    """One page.  `complaints` holds errors of its console, its script and its policy."""

    def __init__(self, folder, patience):
        self.complaints = []
        self._patience = patience
        self._number = 0
        self._rest = b""
        to_browser, self._out = _high(os.pipe())
        self._in, from_browser = _high(os.pipe())

        def place():  # it reads commands from its descriptor 3 and answers on 4
            os.dup2(to_browser, 3)
            os.dup2(from_browser, 4)

        self._profile = folder / "browser"
        command = [BROWSER, *OPTIONS, f"--user-data-dir={self._profile}", "about:blank"]
        self._process = subprocess.Popen(
            command, env={**os.environ, "HOME": str(folder)}, preexec_fn=place,
            pass_fds=(3, 4), stdin=subprocess.DEVNULL, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self._session = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target,
                                   flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def open(self, url):
        self._call("Page.navigate", url=url)

    def evaluate(self, expression):
        done = self._call("Runtime.evaluate", expression=expression, returnByValue=True,
                          awaitPromise=True)
        return done["result"].get("value")

    def look(self, width, height, scheme):
        """Sets the window's size and whether it is light or dark."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                   deviceScaleFactor=1, mobile=False)
        self._call("Emulation.setEmulatedMedia",
                   features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        shot = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        os.close(self._out)
        os.close(self._in)
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # Its helpers write to its folder as long as they live.
        wait_until(lambda: not self._helpers(), "the browser's processes to end")

    def _helpers(self):
        """Whatever runs on its folder."""
        profile = str(self._profile)
        return [pid for pid in procfs.all_pids() if procfs.is_running(pid) and
                any(profile in argument for argument in procfs.arguments_of(pid))]

    def _call(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + self._patience
        while True:
            answer = self._receive(end, method)
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._note(answer)

    def _receive(self, end, method):
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0, end - time.monotonic()))
            assert ready, f"the browser does not answer {method}"
            got = os.read(self._in, 1 << 16)
            assert got, f"the browser has ended during {method}"
            self._rest += got
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event):
        parameters = event.get("params", {})
        if event.get("method") == "Log.entryAdded":
            entry = parameters["entry"]
            if entry["level"] in ("error", "warning"):
                self.complaints.append(entry["text"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(parameters["exceptionDetails"]["text"])
        elif event.get("method") == "Runtime.consoleAPICalled" and \
                parameters["type"] in ("error", "warning"):
            self.complaints.append(str(parameters["args"]))
