"""One open game: loading it, moving its clock, touching it, turning it, looking at it.

What goes wrong while it is open is kept in `problems`. With `stepped` the page has no clock but ours (`prelude.js`);
without it, it runs as for a user.
"""

import threading
import time
from pathlib import Path

from .cdp import BrowserError, TimedOut
from .network import ORIGIN, Network

PRELUDE = (Path(__file__).parent / "prelude.js").read_text()
# Animations of the style sheet follow the real clock, so twins must not have any.
STILL = """
addEventListener('DOMContentLoaded', () => {
  const style = document.createElement('style');
  style.textContent = '*,*::before,*::after{animation:none!important;transition:none!important}';
  document.head.append(style);
});
"""
ONLY_CANVAS = "body *{visibility:hidden!important} body canvas{visibility:visible!important}"

PORTRAIT = (390, 844)
LANDSCAPE = (844, 390)
# One frame of the stepped clock: a phone that manages 30 frames a second.
FRAME_MS = 1000 / 30
# How long a call may take before the game counts as hung.
ANSWER_S = 15
LOAD_S = 30

KEYS = {
    "ArrowLeft": ("ArrowLeft", 37, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
    "ArrowRight": ("ArrowRight", 39, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
    "Enter": ("Enter", 13, "\r"),
    " ": ("Space", 32, " "),
    "w": ("KeyW", 87, "w"),
    "a": ("KeyA", 65, "a"),
    "s": ("KeyS", 83, "s"),
    "d": ("KeyD", 68, "d"),
}


class Hung(BrowserError):
    """The page's code does not come to an end. The problem is recorded, and the page is of no more use."""


class Page:
    """A game in a page of its own. Use it with `with`."""

    def __init__(self, browser, folder, libraries, stepped, scale=1.0):
        self.browser = browser
        self.network = Network(folder, libraries)
        self.problems = []
        self.stepped = stepped
        self.scale = scale
        self._loaded = threading.Event()
        self._paused = threading.Event()
        self._scripts = {}
        self._place_of_pause = ""
        self._last_request = time.monotonic()

    def __enter__(self):
        browser = self.browser
        self._context = browser.call("Target.createBrowserContext")["browserContextId"]
        target = {"url": "about:blank", "browserContextId": self._context}
        self._target = browser.call("Target.createTarget", target)["targetId"]
        attach = {"targetId": self._target, "flatten": True}
        self.session = browser.call("Target.attachToTarget", attach)["sessionId"]
        browser.on_events(self.session, self._event)
        for domain in ("Page", "Runtime", "Log", "Debugger"):
            self.call(f"{domain}.enable")
        # Time of the processor and not of the clock: other programs must not make a game look slow.
        self.call("Performance.enable", {"timeDomain": "threadTicks"})
        self.call("Fetch.enable", {"patterns": [{"urlPattern": "*"}]})
        self.call("Emulation.setFocusEmulationEnabled", {"enabled": True})
        self.call("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 5})
        if self.stepped:
            self.call("Page.addScriptToEvaluateOnNewDocument", {"source": PRELUDE + STILL})
        self.resize(PORTRAIT)
        return self

    def __exit__(self, *_):
        self.browser.on_events(self.session, None)
        # A hung page cannot be closed by asking it; removing its context ends its process.
        self.browser.call("Target.disposeBrowserContext", {"browserContextId": self._context})

    def call(self, method, params=None, timeout=ANSWER_S):
        try:
            return self.browser.call(method, params, self.session, timeout)
        except TimedOut:
            self._hangs(f"{method} was not answered within {timeout} s")

    def problem(self, kind, text, where=""):
        entry = {"kind": kind, "text": " ".join(str(text).split())[:400], "where": where}
        if entry not in self.problems:
            self.problems.append(entry)

    # What the browser tells.

    def _event(self, method, params):
        known = {
            "Fetch.requestPaused": self._request,
            "Page.loadEventFired": lambda _: self._loaded.set(),
            "Page.javascriptDialogOpening": self._dialog,
            "Page.frameRequestedNavigation": self._navigation,
            "Runtime.exceptionThrown": self._exception,
            "Runtime.consoleAPICalled": self._console,
            "Log.entryAdded": self._log,
            "Debugger.scriptParsed": lambda script: self._scripts.update({script["scriptId"]: script["url"]}),
            "Debugger.paused": self._debugger,
            "Inspector.targetCrashed": lambda _: self.problem("crash", "the page has crashed"),
        }
        handler = known.get(method)
        if handler:
            handler(params)

    def _request(self, params):
        self._last_request = time.monotonic()
        self.network.fulfil(self.browser, self.session, params)

    def _dialog(self, params):
        self.problem("dialog", f"{params['type']}: {params['message']}")
        answer = {"accept": False}
        self.browser.forget(self.browser.begin("Page.handleJavaScriptDialog", answer, self.session))

    def _navigation(self, params):
        self.problem("navigation", f"{params['reason']}: {params['url']}")

    def _exception(self, params):
        details = params["exceptionDetails"]
        text = (details.get("exception") or {}).get("description") or details["text"]
        self.problem("exception", text, self._place(details))

    def _console(self, params):
        if params["type"] in ("error", "assert"):
            values = [str(value.get("value", value.get("description", ""))) for value in params["args"]]
            frames = (params.get("stackTrace") or {}).get("callFrames") or [{}]
            self.problem("console_error", " ".join(values), self._place(frames[0]))

    def _log(self, params):
        entry = params["entry"]
        # The network's own errors are in `Network.missing` and `outside`.
        if entry["level"] == "error" and entry["source"] != "network":
            self.problem("console_error", entry["text"], self._place(entry))

    def _debugger(self, params):
        for frame in params["callFrames"][:1]:
            place = frame["location"]
            self._place_of_pause = self._place({**place, "url": self._scripts.get(place["scriptId"], "")})
        self._paused.set()

    @staticmethod
    def _place(entry):
        url = entry.get("url") or ""
        return f"{url.removeprefix(ORIGIN + '/')}:{entry.get('lineNumber', -1) + 1}" if url else ""

    # What the judge does.

    def load(self):
        """Opens the game and waits until it asks for nothing more."""
        self.call("Page.navigate", {"url": f"{ORIGIN}/index.html"}, timeout=LOAD_S)
        if not self._loaded.wait(LOAD_S):
            self._hangs("the page did not finish loading")
        deadline = time.monotonic() + LOAD_S
        while time.monotonic() < deadline and time.monotonic() - self._last_request < 0.12:
            time.sleep(0.02)

    def finish(self):
        """All problems, with what the game asked for in vain."""
        for path in self.network.missing:
            self.problem("missing", path)
        for url in self.network.outside:
            self.problem("outside", url)
        return self.problems

    def evaluate(self, code, timeout=ANSWER_S):
        wanted = {"expression": code, "awaitPromise": True, "returnByValue": True, "userGesture": False}
        answer = self.call("Runtime.evaluate", wanted, timeout)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError((details.get("exception") or {}).get("description") or details["text"])
        return answer["result"].get("value")

    def step(self, frames, millis=FRAME_MS):
        """Moves the game's clock by frames; without a clock of ours, waits as long."""
        if not self.stepped:
            time.sleep(frames * millis / 1000)
            return
        while frames > 0:
            some = min(frames, 10)
            self.evaluate(f"__judge.step({some}, {millis})")
            frames -= some

    def _hangs(self, text):
        """Stops the page's code, to see where it is."""
        self.browser.forget(self.browser.begin("Debugger.pause", {}, self.session))
        self._paused.wait(5)
        self.problem("hang", text, self._place_of_pause)
        raise Hung(text)

    def resize(self, size):
        width, height = size
        kind = "portraitPrimary" if height > width else "landscapePrimary"
        orientation = {"type": kind, "angle": 0 if height > width else 90}
        metrics = {"width": width, "height": height, "deviceScaleFactor": self.scale, "mobile": True}
        self.call("Emulation.setDeviceMetricsOverride", {**metrics, "screenOrientation": orientation})
        # The page hears of it with its next real frame.
        self.painted()

    def painted(self):
        """Waits for the browser to have painted. A page without our clock, or none yet, has nothing to wait for."""
        if self.stepped:
            self.evaluate("window.__judge?.painted()")

    def screenshot(self, only_canvas=False):
        """A PNG of what a user sees, in base64."""
        if only_canvas:
            self.evaluate(
                "(() => { const style = document.createElement('style'); style.id = 'judge-only';"
                f"style.textContent = '{ONLY_CANVAS}'; document.head.append(style); }})()"
            )
        if self.stepped:
            self.evaluate("__judge.setDrawing(true)")
            self.step(2)
            self.painted()
        data = self.call("Page.captureScreenshot", {"format": "png", "optimizeForSpeed": True})["data"]
        if self.stepped:
            self.evaluate("__judge.setDrawing(false)")
        if only_canvas:
            self.evaluate("document.getElementById('judge-only').remove()")
        return data

    def touch(self, kind, *points):
        fingers = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(points)]
        self.call("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    def tap(self, point):
        self.touch("touchStart", point)
        self.step(2)
        self.touch("touchEnd")
        self.step(1)

    def swipe(self, start, end, moves=4):
        self.touch("touchStart", start)
        for move in range(1, moves + 1):
            share = move / moves
            self.touch("touchMove", tuple(a + (b - a) * share for a, b in zip(start, end)))
            self.step(1)
        self.touch("touchEnd")

    def key(self, key, down):
        code, number, text = KEYS[key]
        event = {"key": key, "code": code, "windowsVirtualKeyCode": number, "type": "keyUp"}
        if down:
            event |= {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
        self.call("Input.dispatchKeyEvent", event)

    def press(self, key, frames=2):
        self.key(key, True)
        self.step(frames)
        self.key(key, False)

    def hide(self, hidden):
        self.evaluate(f"__judge.setHidden({'true' if hidden else 'false'})")

    def metrics(self):
        found = self.call("Performance.getMetrics")["metrics"]
        return {metric["name"]: metric["value"] for metric in found}
