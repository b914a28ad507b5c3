"""Judges one game: plays it in every way, compares the pictures, measures it as a user has it."""

import base64
import time
from contextlib import contextmanager
from pathlib import Path

from . import plays
from .page import Hung, Page
from .report import Report

# Half the pixels in each direction: the twins are compared, not looked at, and a software renderer paints every pixel.
TWIN_SCALE = 0.5
MEASURED_MS = 1000
STAGES = ("user", "twins", "disturbed")

MEASURE = f"""
new Promise((done) => {{
  const times = [];
  const frame = (time) => {{
    times.push(time);
    if (time - times[0] < {MEASURED_MS}) requestAnimationFrame(frame);
    else done(times.slice(1).map((time, i) => time - times[i]));
  }};
  requestAnimationFrame(frame);
}})
"""
HAS_CANVAS = "[...document.querySelectorAll('canvas')].some((canvas) => canvas.getBoundingClientRect().width > 100)"


class Judge:
    """Judges games one after the other in one browser."""

    def __init__(self, browser, pictures, libraries, screenshots=None):
        self._browser = browser
        self._pictures = pictures
        self._libraries = libraries
        self._screenshots = Path(screenshots) if screenshots else None

    def judge(self, folder, name=None, quick=False, stages=STAGES):
        """Plays the game of a folder. `quick` leaves out what needs a run of its own and finds the least: the noise,
        and whether a key starts it. `stages` chooses what is done at all."""
        began = time.monotonic()
        report = Report(game=name or Path(folder).name)
        if not (Path(folder) / "index.html").is_file():
            report.problems.append({"kind": "missing", "text": "index.html", "where": "", "play": ""})
            return report
        try:
            if "user" in stages:
                self._as_a_user(report, folder)
            if "twins" in stages:
                self._twins(report, folder, quick)
            if "disturbed" in stages:
                self._disturbed(report, folder)
        except Hung:
            # It is a problem of the report; a game that hangs in one play would hang in the others.
            pass
        report.seconds = round(time.monotonic() - began, 1)
        return report

    @contextmanager
    def _open(self, report, folder, name, stepped, scale):
        """A page whose problems become those of the report, however it ends."""
        with Page(self._browser, folder, self._libraries, stepped, scale) as page:
            try:
                yield page
            finally:
                for problem in page.finish():
                    if not any(problem["text"] == known["text"] for known in report.problems):
                        report.problems.append(problem | {"play": name})
                report.libraries = sorted(page.network.libraries_used | set(report.libraries))

    def _as_a_user(self, report, folder):
        """With the real clock: pictures to look at, and how long a frame takes."""
        with self._open(report, folder, "as a user", stepped=False, scale=1.0) as page:
            page.load()
            page.step(12)
            report.screenshots["title"] = self._write(report, "title", page.screenshot())
            plays.start_by_touch(page)
            before = page.metrics()
            times = sorted(page.evaluate(MEASURE, timeout=60))
            spent = page.metrics()["ScriptDuration"] - before["ScriptDuration"]
            report.frame = {
                "mean_ms": round(sum(times) / len(times), 1),
                "p95_ms": round(times[int(len(times) * 0.95)], 1),
                "script_ms": round(1000 * spent / len(times), 2),
            }
            report.screenshots["play"] = self._write(report, "play", page.screenshot())

    def _write(self, report, name, data):
        if not self._screenshots:
            return None
        self._screenshots.mkdir(parents=True, exist_ok=True)
        path = self._screenshots / f"{report.game}.{name}.png"
        path.write_bytes(base64.b64decode(data))
        return path.name

    def _play(self, report, folder, play):
        with self._open(report, folder, play.__name__, stepped=True, scale=TWIN_SCALE) as page:
            shots = play(page)
            if play is plays.started and page.evaluate(HAS_CANVAS):
                canvas = page.screenshot(only_canvas=True)
                report.commonest["canvas"] = round(self._pictures.commonest(canvas), 4)
            return shots

    def _twins(self, report, folder, quick):
        names = [plays.untouched, plays.started, plays.touched, plays.typed]
        if not quick:
            names += [plays.untouched, plays.started_by_keys]
        shots = [self._play(report, folder, play) for play in names]
        untouched, started, touched, typed = shots[:4]
        report.commonest["title"] = round(self._pictures.commonest(untouched[0]), 4)
        report.commonest["play"] = round(min(map(self._pictures.commonest, started)), 4)
        if not quick:
            report.noise = self._apart(untouched, shots[4])
            report.reacts["key_start"] = self._apart(untouched, shots[5])
        report.reacts["start"] = self._apart(untouched, started)
        report.reacts["touch"] = self._apart(started[1:], touched[1:])
        report.reacts["keys"] = self._apart(started[1:], typed[1:])

    def _apart(self, one, two):
        return round(max(map(self._pictures.difference, one, two)), 5)

    def _disturbed(self, report, folder):
        with self._open(report, folder, "disturbed", stepped=True, scale=TWIN_SCALE) as page:
            pairs = plays.disturbed(page)
        for name, (first, second) in pairs.items():
            report.commonest[name] = round(self._pictures.commonest(second), 4)
            report.goes_on[name] = round(self._pictures.difference(first, second), 5)
