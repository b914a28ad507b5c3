"""The ways in which a game is played. The twins pass the same frames with different input, so what differs between
their pictures is what the input did."""

from .page import LANDSCAPE, PORTRAIT

MIDDLE = (195, 422)

# The first button that a user could press, else nothing.
BUTTON = """
(() => {
  for (const button of document.querySelectorAll('button, [role=button], a[href="#"], .button, .btn')) {
    const box = button.getBoundingClientRect();
    const style = getComputedStyle(button);
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    const seen = box.width > 30 && box.height > 20 && style.visibility !== 'hidden' && style.opacity !== '0';
    if (seen && x > 0 && y > 0 && x < innerWidth && y < innerHeight) {
      const top = document.elementFromPoint(x, y);
      if (top && (button === top || button.contains(top))) return [x, y];
    }
  }
  return null;
})()
"""


def settle(page):
    """The first half second, in which games finish what they began while loading."""
    page.step(15)


def start_by_touch(page):
    """What a user does to begin: the button if there is one, else somewhere on the picture."""
    button = page.evaluate(BUTTON)
    page.tap(tuple(button) if button else MIDDLE)
    # A game whose own start button is drawn on the canvas has it below the middle as a rule.
    page.tap((195, 560))
    page.step(6)


def start_by_keys(page):
    for key in ("Enter", " "):
        page.press(key)
        page.step(1)
    page.step(6)


def start_by_nothing(page):
    """Passes as many frames as the other starts."""
    page.step(12)


def _nothing(page):
    yield page.step(12)
    yield page.step(17)
    yield page.step(28)


def _touches(page):
    page.touch("touchStart", (195, 600))
    for move in range(1, 7):
        page.touch("touchMove", (195 + 22 * move, 600 - 4 * move))
        page.step(1)
    yield page.step(6)
    page.touch("touchEnd")
    for point in ((70, 640), (320, 640), (195, 300), (110, 460)):
        page.tap(point)
    yield page.step(5)
    for end in ((330, 520), (60, 520), (195, 380), (195, 700)):
        page.swipe((195, 520), end)
    page.touch("touchStart", (80, 700), (310, 700))
    page.step(4)
    page.touch("touchEnd")
    yield page.step(8)


def _keys(page):
    page.key("ArrowRight", True)
    yield page.step(12)
    page.key("ArrowRight", False)
    for key in ("ArrowUp", " ", "ArrowLeft", "ArrowDown"):
        page.press(key, 3)
    yield page.step(5)
    for key in ("w", "a", "s", "d", "Enter", "ArrowLeft"):
        page.press(key, 4)
    yield page.step(4)


def _run(page, start, inputs):
    """Plays once. Gives four pictures: after the start, and at three moments of play."""
    page.load()
    settle(page)
    start(page)
    shots = [page.screenshot()]
    for _ in inputs(page):
        shots.append(page.screenshot())
    return shots


def untouched(page):
    return _run(page, start_by_nothing, _nothing)


def started(page):
    return _run(page, start_by_touch, _nothing)


def touched(page):
    return _run(page, start_by_touch, _touches)


def typed(page):
    return _run(page, start_by_touch, _keys)


def started_by_keys(page):
    return _run(page, start_by_keys, _nothing)


def _some_input(page):
    page.press("ArrowLeft", 3)
    page.press("ArrowRight", 4)
    page.press(" ", 2)
    width, height = page.evaluate("[innerWidth, innerHeight]")
    page.swipe((width * 0.5, height * 0.7), (width * 0.75, height * 0.66))
    page.tap((width * 0.5, height * 0.5))
    page.step(4)


LOSE = """
(() => {
  for (const canvas of document.querySelectorAll('canvas')) {
    const gl = canvas.getContext('webgl2') || canvas.getContext('webgl');
    const lose = gl && gl.getExtension('WEBGL_lose_context');
    if (lose) {
      window.__lost = lose;
      lose.loseContext();
      return true;
    }
  }
  return false;
})()
"""


def disturbed(page):
    """Turns the phone, hides the page for ten seconds, takes the graphics context away. Gives pairs of pictures before
    and after some input, by what happened."""
    page.load()
    settle(page)
    start_by_touch(page)
    pairs = {}

    def look(name):
        page.step(3)
        first = page.screenshot()
        _some_input(page)
        pairs[name] = (first, page.screenshot())

    page.resize(LANDSCAPE)
    look("rotate")
    page.resize(PORTRAIT)
    page.step(3)
    page.hide(True)
    page.step(10, 1000)
    page.hide(False)
    look("hide")
    if page.evaluate(LOSE):
        page.painted()
        page.step(3)
        page.evaluate("__lost.restoreContext()")
        page.painted()
        look("context")
    return pairs
