"""The judge finds every defect that it looks for: one good game is spoiled in one way at a time."""

import os
import tempfile
import time
import unittest
from pathlib import Path

from form import VERSIONS
from judge.cdp import Browser, BrowserError
from judge.judging import STAGES, Judge
from judge.pictures import Pictures
from tools import LIBRARIES

GOOD = """<!doctype html>
<html><head><meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body style="margin:0;overflow:hidden;background:#123;touch-action:none"><canvas></canvas><p id="over">A good game</p>
<style>#over { position: fixed; top: 0; color: white }</style>
<script>
const canvas = document.querySelector('canvas'), pen = canvas.getContext('2d');
let state = 'title', x = 100, time = 0;
const fit = () => { canvas.width = innerWidth; canvas.height = innerHeight; };
fit();
addEventListener('resize', fit);
const start = () => { if (state === 'title') state = 'play'; /*start*/ };
addEventListener('pointerdown', start);
addEventListener('keydown', (event) => { if (event.key === 'Enter') start(); });
addEventListener('pointermove', (event) => { x = event.clientX; });
addEventListener('keydown', (event) => { if (event.key === 'ArrowRight') x += 60; if (event.key === 'ArrowLeft') x -= 40; });
addEventListener('visibilitychange', () => { /*shown*/ });
function frame() {
  time += 1;
  /*frame*/
  pen.fillStyle = state === 'title' ? '#246' : '#264';
  pen.fillRect(0, 0, canvas.width, canvas.height);
  if (state === 'play') {
    pen.fillStyle = '#fd5';
    pen.fillRect(x - 30, 300 + 50 * Math.sin(time / 9), 60, 60);
  } else pen.clearRect(40, 40, 100, 100);
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);
</script></body></html>
"""

# What is changed, into what, and the words that the report must contain.
DEFECTS = {
    "an exception": ("/*frame*/", "if (state === 'play') nothing();", "exception: ReferenceError"),
    "an exception after two seconds": ("/*frame*/", "if (time === 60) nothing();", "exception: ReferenceError"),
    "an exception once it is turned": ("/*frame*/", "if (innerWidth > innerHeight) nothing();", "exception:"),
    "a rejected promise": ("/*start*/", "Promise.reject(new Error('lost'));", "exception: Error: lost"),
    "an error on the console": ("/*start*/", "console.error('bad', 7);", "console_error: bad 7"),
    "a syntax error": ("let state", "let let state", "exception: SyntaxError"),
    "a missing script": ("<script>", "<script src='js/none.js'></script><script>", "missing: /js/none.js"),
    "a missing picture": ("/*start*/", "new Image().src = 'assets/none.png';", "missing: /assets/none.png"),
    "a file outside of the game": ("<script>", "<script src='../../../etc/passwd'></script><script>", "missing: /etc/passwd"),
    "a script of a stranger": ("<script>", "<script src='https://example.com/x.js'></script><script>", "outside: https://example.com"),
    "a version that there is not": (
        "<script>", "<script src='https://cdn.jsdelivr.net/npm/p5@2.0.0/lib/none.js'></script><script>", "outside: https://cdn"
    ),
    "nothing painted": ("requestAnimationFrame(frame);\n</script>", "over.remove();</script>", "one colour"),
    "nothing painted under a text": ("  if (state === 'play') {", "  if (false) {", "the canvas has one colour"),
    "a dialog": ("/*start*/", "alert('start');", "dialog: alert: start"),
    "a question": ("/*start*/", "confirm('really?');", "dialog: confirm: really?"),
    "leaving the page": ("/*start*/", "location.href = 'other.html';", "navigation:"),
    "a hang after the start": ("/*start*/", "while (true) x += 1;", "hang:"),
}
HINTS = {
    "nothing happens on a tap": ("addEventListener('pointerdown', start);", "", "a tap does not start it"),
    "no key starts it": ("if (event.key === 'Enter') start();", "", "no key starts it"),
    "it cannot be touched": ("x = event.clientX;", "", "touching changes nothing"),
    "it has no keys": ("x += 60;", "x += 0;", "keys change nothing"),
    "it stops once it is turned": ("resize', fit);", "resize', () => { if (innerWidth > 500) stop = 1; });", "does not go on after rotate"),
    "it stops once it is hidden": ("/*shown*/", "stop = 1;", "does not go on after hide"),
}
# Where a defect shows that does not show to a user who only starts the game.
STAGE = {
    "an exception after two seconds": "twins",
    "an exception once it is turned": "disturbed",
    "nothing painted": "twins",
    "nothing painted under a text": "twins",
}
ALSO = {
    "it has no keys": [("x -= 40;", "x -= 0;")],
    "it stops once it is turned": [("/*frame*/", "if (window.stop === 1) return;")],
    "it stops once it is hidden": [("/*frame*/", "if (window.stop === 1) return;")],
    "nothing painted under a text": [("} else pen.clearRect(40, 40, 100, 100);", "}"), ("'#246' : '#264'", "'#246' : '#246'")],
}

THREE = """<!doctype html>
<body style="margin:0"><script type="importmap">{ "imports": {
"three": "https://cdn.jsdelivr.net/npm/three@VERSION/build/three.module.js" } }</script>
<script type="module">
import * as THREE from 'three';
const renderer = new THREE.WebGLRenderer(), camera = new THREE.PerspectiveCamera(50, 0.5);
document.body.append(renderer.domElement);
camera.position.z = 6;
const scene = new THREE.Scene();
const cube = new THREE.Mesh(new THREE.BoxGeometry(), new THREE.MeshNormalMaterial());
scene.add(cube);
renderer.setSize(innerWidth, innerHeight);
renderer.domElement.addEventListener('webglcontextlost', (event) => { /*lost*/ });
renderer.setAnimationLoop((time) => { cube.rotation.set(time / 900, time / 700, 0); renderer.render(scene, camera); });
</script>
""".replace("VERSION", VERSIONS["three"])


class TheJudge(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = cls.enterClassContext(Browser())
        cls.pictures = cls.enterClassContext(Pictures(cls.browser))
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.judge = Judge(cls.browser, cls.pictures, LIBRARIES, cls.folder / "pictures")

    def report(self, page, quick=True, stages=STAGES):
        (self.folder / "index.html").write_text(page)
        return self.judge.judge(self.folder, "game", quick, stages)

    def spoiled(self, name, old, new, **how):
        page = GOOD
        for before, after in [(old, new), *ALSO.get(name, [])]:
            self.assertIn(before, page)
            page = page.replace(before, after)
        return self.report(page, **how)

    def test_finds_nothing_in_a_good_game(self):
        report = self.report(GOOD, quick=False)
        self.assertEqual((report.defects(), report.hints()), ([], []), report)
        self.assertEqual(report.noise, 0)
        self.assertEqual(set(report.reacts), {"start", "touch", "keys", "key_start"})
        self.assertGreater(min(report.reacts.values()), report.proof())
        self.assertEqual(set(report.goes_on), {"rotate", "hide"})
        for name in ("title", "play"):
            picture = (self.folder / "pictures" / report.screenshots[name]).read_bytes()
            self.assertTrue(picture.startswith(b"\x89PNG"))
        self.assertGreater(report.frame["mean_ms"], 0)

    def test_finds_each_defect(self):
        for name, (old, new, words) in DEFECTS.items():
            with self.subTest(name):
                found = self.spoiled(name, old, new, stages=(STAGE.get(name, "user"),)).defects()
                self.assertTrue(any(words in defect for defect in found), found)

    def test_hints_at_what_seems_wrong(self):
        for name, (old, new, words) in HINTS.items():
            with self.subTest(name):
                report = self.spoiled(name, old, new, quick="key starts" not in words, stages=STAGES[1:])
                self.assertEqual(report.problems, [])
                self.assertTrue(any(words in hint for hint in report.hints()), report.hints())

    def test_says_where_a_game_hangs(self):
        page = GOOD.replace("/*start*/", "while (true) x += 1;")
        (hang,) = [problem for problem in self.report(page, stages=("user",)).problems if problem["kind"] == "hang"]
        line = 1 + page[: page.index("while (true)")].count("\n")
        self.assertEqual(hang["where"], f"index.html:{line}")

    def test_measures_the_time_that_the_code_of_a_game_takes(self):
        slow = "for (let i = 0; i < 4e6 && state === 'play'; i++) window.sum = (window.sum ?? 0) + Math.sin(i);"
        quick = self.report(GOOD, stages=("user",))
        slow = self.report(GOOD.replace("/*frame*/", slow), stages=("user",))
        self.assertGreater(slow.frame["script_ms"], 5 * quick.frame["script_ms"])
        self.assertTrue(any("ms in each frame" in hint for hint in slow.hints()), slow)

    def test_takes_the_graphics_context_away(self):
        report = self.report(THREE, stages=("disturbed",))
        self.assertEqual(report.defects(), [])
        self.assertEqual(report.libraries, [f"three@{VERSIONS['three']}"])
        self.assertGreater(report.goes_on["context"], report.proof())
        report = self.report(THREE.replace("/*lost*/", "renderer.setAnimationLoop(null);"), stages=("disturbed",))
        self.assertIn("it does not go on after context", report.hints())

    def test_serves_the_assets_of_users_and_older_libraries(self):
        scripts = "<script src='https://cdn.jsdelivr.net/npm/p5@1.11.3/lib/p5.min.js'></script>"
        check = f"{scripts}<img src='/user-assets/u/cat.png'><script>if (p5.VERSION[0] !== '1') throw 1;"
        self.assertEqual(self.report(GOOD.replace("<script>", check, 1), stages=("user",)).defects(), [])

    def test_says_that_a_folder_holds_no_game(self):
        with tempfile.TemporaryDirectory() as empty:
            self.assertEqual(self.judge.judge(empty).defects(), ["missing: index.html"])


def group_exists(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


class TheBrowser(unittest.TestCase):
    def test_leaves_nothing(self):
        with Browser() as browser:
            process, profile = browser._process.pid, browser._profile
            self.assertTrue(Path(profile).exists())
        self.assertFalse(Path(profile).exists())
        # Its helpers are reaped by init, which may take a moment.
        for _ in range(100):
            if not group_exists(process):
                return
            time.sleep(0.1)
        self.fail("processes of the browser are left")

    def test_says_that_it_is_gone(self):
        with Browser() as browser:
            os.killpg(browser._process.pid, 9)
            with self.assertRaises(BrowserError):
                browser.call("Browser.getVersion", timeout=10)


if __name__ == "__main__":
    unittest.main()
