"""A headless Chromium and the Chrome DevTools Protocol over its pipe.

The pipe (NUL-separated JSON on the descriptors 3 and 4) needs no port and no library. One thread reads; calls wait for
their answer, and events go to the handler of their session on the reading thread.
"""

import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading

# Without the first two a software renderer is asked to be a graphics card, and takes five times as long.
FLAGS = """
--disable-gpu --disable-accelerated-2d-canvas --enable-unsafe-swiftshader
--headless --no-sandbox --remote-debugging-pipe --disable-dev-shm-usage --mute-audio --hide-scrollbars
--force-color-profile=srgb --no-first-run --disable-background-networking --disable-component-update --disable-sync
--disable-extensions --disable-breakpad --autoplay-policy=document-user-activation-required
""".split()

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


class BrowserError(Exception):
    """The browser refused a command, or is gone."""


class TimedOut(BrowserError):
    """The browser did not answer in time."""


def program():
    """The browser to start: CHROMIUM if it is set, else the first that is installed."""
    chosen = os.environ.get("CHROMIUM")
    names = (chosen,) if chosen else PROGRAMS
    found = next((path for path in map(shutil.which, names) if path), None)
    if not found:
        raise BrowserError(f"no browser ({', '.join(names)}): `make skills-tools` installs one, CHROMIUM names another")
    return found


class Browser:
    """One browser process. Use it with `with`; nothing of it is left afterwards."""

    def __init__(self):
        self._profile = tempfile.mkdtemp(prefix="judge-")
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        for end in (to_browser, from_browser):
            os.set_inheritable(end, True)
        # A shell puts the pipe on the descriptors 3 and 4, which Chromium expects.
        script = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", script, program(), *FLAGS, f"--user-data-dir={self._profile}", "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._next = 0
        self._lock = threading.Lock()
        self._answers = {}
        self._handlers = {}
        self._gone = False
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        try:
            self.call("Browser.getVersion", timeout=60)
        except BrowserError:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        # `Browser.close` may take seconds; nothing of the profile is kept, so the group is killed.
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        os.close(self._out)
        shutil.rmtree(self._profile, ignore_errors=True)

    def call(self, method, params=None, session=None, timeout=30):
        """Sends a command and waits for its result."""
        waiting = self.begin(method, params, session)
        return self.finish(waiting, method, timeout)

    def begin(self, method, params=None, session=None):
        """Sends a command and does not wait. Handlers of events may only use this."""
        with self._lock:
            if self._gone:
                raise BrowserError("the browser is gone")
            self._next += 1
            number = self._next
            self._answers[number] = queue.Queue()
            message = {"id": number, "method": method, "params": params or {}}
            if session:
                message["sessionId"] = session
            data = json.dumps(message).encode() + b"\0"
            while data:
                data = data[os.write(self._out, data) :]
        return number

    def finish(self, number, method, timeout=30):
        try:
            answer = self._answers[number].get(timeout=timeout)
        except queue.Empty:
            raise TimedOut(f"{method} was not answered within {timeout} s") from None
        finally:
            self._answers.pop(number, None)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error'].get('message')}")
        return answer.get("result", {})

    def forget(self, number):
        """Says that nobody waits for the answer of a command."""
        self._answers.pop(number, None)

    def on_events(self, session, handler):
        """Gives the events of a session to `handler(method, params)`; None ends that."""
        if handler is None:
            self._handlers.pop(session, None)
        else:
            self._handlers[session] = handler

    def _read(self):
        buffer = b""
        while True:
            piece = os.read(self._in, 1 << 20)
            if not piece:
                break
            # Most pieces of a long message hold no end, so they are only joined when one comes.
            buffer += piece
            if b"\0" not in piece:
                continue
            *whole, buffer = buffer.split(b"\0")
            for message in whole:
                self._deliver(json.loads(message))
        os.close(self._in)
        with self._lock:
            self._gone = True
            waiting = list(self._answers.values())
        for answer in waiting:
            answer.put({"error": {"message": "the browser is gone"}})

    def _deliver(self, message):
        if "id" in message:
            answer = self._answers.get(message["id"])
            if answer:
                answer.put(message)
            return
        handler = self._handlers.get(message.get("sessionId"))
        if handler:
            handler(message["method"], message["params"])
