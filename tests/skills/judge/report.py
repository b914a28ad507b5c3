"""What the judge found out about a game, and what of it is a defect."""

from dataclasses import asdict, dataclass, field

# A picture in which so many pixels have one colour shows nothing.
BLANK = 0.998
# The share of changed pixels that proves a reaction. Two runs without input differ by less: see `noise`.
REACTION = 0.0008
# A frame at 60 a second has 16.7 ms, of which the browser needs some, and a phone is slower than the judge's machine.
SLOW_SCRIPT_MS = 12


@dataclass
class Report:
    """Facts (`defects`) hold for any game. `hints` may be wrong for a game whose controls the judge does not guess."""

    game: str
    problems: list = field(default_factory=list)
    # The share of the commonest colour: of the whole picture before and after the start, of the canvas alone, and after
    # each disturbance. None if there is no canvas.
    commonest: dict = field(default_factory=dict)
    # The share of pixels that differ between two runs without input.
    noise: float = 0.0
    # The share of pixels that an input changed: start, touch, keys, key_start.
    reacts: dict = field(default_factory=dict)
    # The share of pixels that changed after each disturbance: rotate, hide, context.
    goes_on: dict = field(default_factory=dict)
    # Milliseconds: between frames (mean, 95th percentile), and of the game's own code in each.
    frame: dict = field(default_factory=dict)
    libraries: list = field(default_factory=list)
    # Names of files, if a folder for them was given.
    screenshots: dict = field(default_factory=dict)
    seconds: float = 0.0

    def proof(self):
        """The share of changed pixels from which a reaction is proven in this game."""
        return max(REACTION, 3 * self.noise)

    def defects(self):
        found = [f"{problem['kind']}: {problem['text']} {problem['where']}".strip() for problem in self.problems]
        names = {
            "title": "the picture has one colour before the start",
            "play": "the picture has one colour after the start",
            "canvas": "the canvas has one colour",
        }
        for name, share in self.commonest.items():
            if share is not None and share >= BLANK:
                found.append(f"blank: {names.get(name, f'the picture has one colour after {name}')}")
        return found

    def hints(self):
        texts = {
            "start": "a tap does not start it",
            "touch": "touching changes nothing",
            "keys": "keys change nothing",
            "key_start": "no key starts it",
        }
        found = [text for name, text in texts.items() if name in self.reacts and self.reacts[name] < self.proof()]
        for name, share in self.goes_on.items():
            if share < self.proof():
                found.append(f"it does not go on after {name}")
        if self.frame.get("script_ms", 0) > SLOW_SCRIPT_MS:
            found.append(f"its code takes {self.frame['script_ms']} ms in each frame")
        return found

    def as_dict(self):
        return asdict(self) | {"defects": self.defects(), "hints": self.hints()}
