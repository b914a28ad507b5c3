"""Judges a browser game by playing it in a headless Chromium without a network.

`python3 -m judge FOLDER` prints what it found as JSON. The parts: `cdp` speaks with the browser, `network` answers
its requests from folders, `page` is one open game on a clock that only moves when it is told to, `plays` are the
ways in which a game is played, `judging` compares them, and `report` holds what came out.
"""
