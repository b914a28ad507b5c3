"""Writes the sheet of screenshots from what `test_examples.py` left: a page, and one picture of it."""

import base64
import html
import json
import time

from judge.cdp import Browser
from tools import OUTPUT

STYLE = """
body { margin: 16px; background: #20222c; color: #eee; font: 13px/1.4 sans-serif; width: 1568px }
div { display: inline-block; width: 304px; margin: 0 8px 16px 0; vertical-align: top }
img { width: 148px; border-radius: 6px } b { font-size: 15px } .bad { color: #ff8a8a }
"""

LOADED = """
location.protocol === 'file:' && document.readyState === 'complete'
  && [...document.images].every((image) => image.complete && image.naturalWidth > 0)
"""


def entry(report):
    pictures = "".join(f'<img src="{html.escape(name)}"> ' for name in report["screenshots"].values() if name)
    frame, reacts = report["frame"], report["reacts"]
    changed = ", ".join(f"{way} {100 * share:.1f} %" for way, share in reacts.items())
    wrong = "; ".join(report["defects"] + report["hints"])
    return (
        f"<div><b>{html.escape(report['game'])}</b><br>{pictures}<br>"
        f"frame {frame.get('mean_ms')} ms, code {frame.get('script_ms')} ms<br>changed by {changed}"
        f'<br><span class="bad">{html.escape(wrong)}</span></div>'
    )


def main():
    reports = [json.loads(path.read_text()) for path in sorted(OUTPUT.glob("*.json"))]
    if not reports:
        raise SystemExit("there are no reports: run test_examples.py first")
    page = OUTPUT / "sheet.html"
    body = "".join(map(entry, reports))
    page.write_text(f'<!doctype html><meta charset="utf-8"><title>Skills</title><style>{STYLE}</style>{body}')
    with Browser() as browser:
        target = browser.call("Target.createTarget", {"url": page.as_uri(), "width": 1600, "height": 900})["targetId"]
        session = browser.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        # The first answers may come from the blank page that was there before.
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = browser.call("Runtime.evaluate", {"expression": LOADED, "returnByValue": True}, session)
            if found["result"].get("value"):
                break
            time.sleep(0.1)
        size = browser.call("Page.getLayoutMetrics", session=session)["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        wanted = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        data = browser.call("Page.captureScreenshot", wanted, session, timeout=60)["data"]
    picture = OUTPUT / "sheet.png"
    picture.write_bytes(base64.b64decode(data))
    print(f"{len(reports)} games on {picture} and {page}")


if __name__ == "__main__":
    main()
