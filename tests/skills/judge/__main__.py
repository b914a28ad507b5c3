"""Judges the games of the given folders: `python3 -m judge [--screenshots FOLDER] GAME…` prints a report for each, and
fails if one has a defect."""

import argparse
import json
import sys
from pathlib import Path

from .cdp import Browser
from .judging import Judge
from .pictures import Pictures

LIBRARIES = Path(__file__).resolve().parents[3] / ".tools/skills/node_modules"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("games", nargs="+", help="folders with an index.html")
    parser.add_argument("--screenshots", help="a folder for pictures of each game")
    parser.add_argument("--libraries", default=LIBRARIES, help="node_modules with p5 and three")
    parser.add_argument("--quick", action="store_true", help="leave out the noise and the start by keys")
    given = parser.parse_args()
    bad = False
    with Browser() as browser, Pictures(browser) as pictures:
        judge = Judge(browser, pictures, given.libraries, given.screenshots)
        for game in given.games:
            report = judge.judge(game, quick=given.quick)
            bad = bad or bool(report.defects())
            print(json.dumps(report.as_dict(), ensure_ascii=False, indent=2), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
