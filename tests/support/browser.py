"""A headless Chromium, driven through its DevTools protocol."""

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import urllib.request
from pathlib import Path

from websockets.sync.client import connect

from tests.support.serving import until

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def program():
    """Path of an installed Chromium, or None."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """One page of a browser of its own; a context manager.

    Parameters
    ----------
    folder : Path
        For the browser's profile.
    microphone : Path, optional
        A wav file that the page hears when it records.
    """

    def __init__(self, folder, microphone=None):
        command = [program(), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--mute-audio"]
        command += ["--remote-debugging-port=0", f"--user-data-dir={folder}", "--disable-dev-shm-usage"]
        command += ["--autoplay-policy=no-user-gesture-required", "--disable-background-networking"]
        command += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--lang=en"]  # as without a network
        if microphone:
            command += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
            command += [f"--use-file-for-fake-audio-capture={microphone}%noloop"]
        self._open = contextlib.ExitStack()
        self._process = subprocess.Popen(
            [*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        port = until(lambda: _port(Path(folder) / "DevToolsActivePort"), "the browser to start", 60)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            page = next(target for target in json.load(answer) if target["type"] == "page")
        connection = connect(page["webSocketDebuggerUrl"], max_size=None, open_timeout=60)
        self._socket = self._open.enter_context(connection)
        self._numbers = itertools.count(1)
        self.events = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        self.call("Emulation.setScrollbarsHidden", hidden=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._open.close()
        self._process.kill()
        self._process.wait()

    def call(self, method, **parameters):
        """The result of a DevTools method; events that come meanwhile are kept in `events`."""
        number = self._send(method, parameters)
        while True:
            message = json.loads(self._socket.recv(60))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            if message.get("method") == "Page.javascriptDialogOpening":  # such as: leave the page, with what is on it?
                self._send("Page.handleJavaScriptDialog", {"accept": True})
            if "method" in message:
                self.events.append(message)

    def _send(self, method, parameters):
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        return number

    def run(self, expression):
        """The value of a JavaScript expression; of a promise, what it becomes."""
        result = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, expression, seconds=60):
        """Wait for a JavaScript expression to be true; returns its value."""
        return until(lambda: self.run(expression), expression, seconds)

    def text(self, selector):
        """What an element says."""
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText.trim()")

    def open(self, url):
        """Go to a page; what happened before is forgotten."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def choose(self, selector, *paths):
        """Give files to an input element."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(Path(path).resolve()) for path in paths], nodeId=node)

    def press(self, key, code=0, text="", held=0):
        """Press a key and let it go, while others are held: 1 Alt, 2 Ctrl, 8 Shift, added."""
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            about = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": held}
            self.call("Input.dispatchKeyEvent", type=kind, **about, **more)

    def drag(self, selector, start, end):
        """Press the mouse on an element and let it go elsewhere: pixels from its left border, at half its height."""
        left, middle = self.run(
            f"(({{ left, top, height }}) => [left, top + height / 2])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        for kind, x in (("mousePressed", start), ("mouseMoved", (start + end) / 2), ("mouseMoved", end)):
            self.call("Input.dispatchMouseEvent", type=kind, x=left + x, y=middle, button="left", clickCount=1)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=left + end, y=middle, button="left", clickCount=1)

    def type(self, text):
        """Type a text where the cursor is."""
        self.call("Input.insertText", text=text)

    def named(self):
        """Role and name, as a screen reader says them, of everything that can be worked with."""
        roles = ("button", "checkbox", "combobox", "link", "slider", "textbox")
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        found = [
            (node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]
        ]
        return [(role, name) for role, name in found if role in roles]

    def saves_to(self, folder):
        """Let downloads go to a folder."""
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def look(self, width, height, dark=False, scale=1):
        """Show the page in a window of another size, or at night."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path):
        """Save what is seen, as PNG."""
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def complaints(self):
        """What the browser has to say against the page: errors of scripts, and of the content security policy."""
        self.run("0")
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded")
        return [event["params"] for event in self.events if event["method"] in kinds]

    def addresses(self):
        """Everything that the page has asked for."""
        sent = (event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent")
        return [request["request"]["url"] for request in sent]


def _port(path):
    return path.is_file() and path.read_text(encoding="utf-8").split("\n")[0]
