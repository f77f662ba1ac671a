"""A headless Chromium, driven through its debugging pipe: no further package is needed."""

import base64
import json
import os
import shutil
import subprocess
import sys

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio")
FLAGS += ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe")
# The browser reads descriptor 3 and writes descriptor 4; a fork of this process with threads would be unsafe.
LAUNCH = (
    "import os, sys\nr, w = int(sys.argv[1]), int(sys.argv[2])\nr, w = os.dup(r), os.dup(w)\n"
    "r, w = (os.dup(os.dup(f)) if f < 5 else f for f in (r, w))\nos.dup2(r, 3)\nos.dup2(w, 4)\n"
    "os.execv(sys.argv[3], sys.argv[3:])\n"
)


class Browser:
    """One tab; commands of the DevTools protocol one after the other."""

    def __init__(self, program, folder):
        into, out = os.pipe(), os.pipe()
        command = [sys.executable, "-c", LAUNCH, str(into[0]), str(out[1]), program, *FLAGS]
        command += [f"--user-data-dir={folder}", "about:blank"]
        self.process = subprocess.Popen(
            command, pass_fds=(into[0], out[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(into[0])
        os.close(out[1])
        self.writer, self.reader = os.fdopen(into[1], "wb", 0), os.fdopen(out[0], "rb", 0)
        self.rest, self.number, self.session, self.events = b"", 0, None, []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def _message(self):
        while b"\0" not in self.rest:
            part = self.reader.read(1 << 20)
            if not part:
                raise RuntimeError("The browser has ended.")
            self.rest += part
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def send(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.writer.write(json.dumps(message).encode() + b"\0")
        while True:
            found = self._message()
            if found.get("id") == self.number:
                assert "error" not in found, (method, found.get("error"))
                return found["result"]
            self.events.append(found)

    def open(self, path, width=1200, height=900, **features):
        """Loads a file and waits until its script has run, if it may run."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        self.send(
            "Emulation.setEmulatedMedia", media="", features=[{"name": k, "value": v} for k, v in features.items()]
        )
        self.events.clear()
        self.send("Page.navigate", url=path.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._message())

    def run(self, code):
        """The value of an expression in the page; promises are awaited."""
        found = self.send("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def settle(self):
        """Waits for two frames, so that what was scheduled for the next one is there."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def press(self, key, **more):
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if len(key) == 1 and kind == "keyDown" else {}
            code = 9 if key == "Tab" else 13 if key == "Enter" else 0
            extra = {"windowsVirtualKeyCode": code} if code else {}
            if key == "Enter" and kind == "keyDown":
                text = {"text": "\r"}
            self.send("Input.dispatchKeyEvent", type=kind, key=key, **text, **extra, **more)
        self.settle()

    def mouse(self, kind, x, y, **more):
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def troubles(self):
        """What the page complained of: exceptions, refusals by its policy, requests to anything but itself."""
        found = []
        for event in self.events:
            method, details = event.get("method"), event.get("params", {})
            if method in ("Runtime.exceptionThrown", "Log.entryAdded"):
                found.append(details)
            elif method == "Network.requestWillBeSent":
                url = details["request"]["url"]
                if not url.startswith(("data:", "file:")):
                    found.append(url)
        return found

    def picture(self, whole=False):
        return base64.b64decode(self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"])

    def printed(self):
        return base64.b64decode(self.send("Page.printToPDF", printBackground=False)["data"])

    def close(self):
        self.session = None
        try:
            self.send("Browser.close")
        except (OSError, RuntimeError):
            self.process.terminate()
        self.process.wait(20)
        self.writer.close()
        self.reader.close()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser is on PATH: none of {', '.join(PROGRAMS)}")
    made = Browser(program, tmp_path_factory.mktemp("browser"))
    yield made
    made.close()
