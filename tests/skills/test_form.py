"""Every skill has the form that its readers rely on, and each fault of form is found."""

import re
import tempfile
import unittest
from pathlib import Path

from form import ROOT, SKILLS, VERSIONS, faults

OFFERED = ROOT / "worker/src/assist/skills/table.rs"

GOOD = f"""---
name: sample
description: Shows what a good skill looks like, so that each of its faults can be made one by one here.
---

# Sample

For p5.js {VERSIONS["p5"]}.

## One

Look at `example/index.html`.

## Two

```js
const answer = 42;
```

## Three

Words.
"""
PAGE = "<!doctype html>\n<script>\nconst answer = 42;\n</script>\n"

# What is changed, into what, and a word of the fault that this makes.
SPOILED = [
    ("name: sample", "name: other", "its folder sample"),
    ("name: sample\n", "", "does not begin"),
    ("Shows what a good skill looks like, so that each of its faults can be made one by one here.", "x", "1 characters"),
    ("Words.", "Words. " * 1000, "characters"),
    ("Words.", "Words. " * 500, "too long to be cut"),
    ("# Sample\n", "Sample\n", "no title"),
    ("## Three\n\nWords.\n", "", "2 sections"),
    ("```js\nconst answer = 42;\n```", "```js\nconst answer = 42;", "within code"),
    ("const answer = 42;", "## no heading", "looks like a heading"),
    ("```js", "```", "does not say its language"),
    ("const answer = 42;", "const answer = 43;", "no file that is played"),
    ("`example/index.html`", "`example/none.html`", "which is not there"),
    ("`example/index.html`", "nothing", "nothing points to"),
    (f"For p5.js {VERSIONS['p5']}.", "For p5.js.", "which version"),
]
SPOILED_CODE = [
    ("window.alert('x');", "a dialog"),
    ("if (confirm('x')) y();", "a dialog"),
    ("location.reload();", "leaving the page"),
    ("window.location = 'x';", "leaving the page"),
    ("location.href = 'x';", "leaving the page"),
    ("image.src = 'data:image/png;base64,AAAA';", "base64"),
    ("title.textContent = 'ロード中…';", "loading screen"),
    ("import 'https://cdn.jsdelivr.net/npm/three@0.100.0/build/three.module.js';", "not the pinned"),
]


class EverySkill(unittest.TestCase):
    def test_has_the_form(self):
        folders = sorted(folder for folder in SKILLS.iterdir())
        self.assertGreater(len(folders), 1)
        for folder in folders:
            with self.subTest(folder.name):
                self.assertEqual(faults(folder), [])

    def test_that_is_offered_exists(self):
        listed = re.search(r"OFFERED: &\[&str\] = &\[(.*?)\];", OFFERED.read_text(), re.S)
        names = re.findall(r'"([\w-]+)"', listed[1])
        self.assertGreater(len(names), 1)
        missing = [name for name in names if not (SKILLS / name / "SKILL.md").is_file()]
        self.assertEqual(missing, [])

    def test_has_a_description_of_its_own(self):
        texts = [(folder / "SKILL.md").read_text().split("\n")[2] for folder in SKILLS.iterdir()]
        self.assertEqual(len(texts), len(set(texts)))


class TheForm(unittest.TestCase):
    def faults(self, text, page=PAGE):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "sample"
            (folder / "example").mkdir(parents=True)
            (folder / "SKILL.md").write_text(text)
            (folder / "example/index.html").write_text(page)
            return faults(folder)

    def test_accepts_a_good_skill(self):
        self.assertEqual(self.faults(GOOD), [])

    def test_finds_each_fault(self):
        for old, new, word in SPOILED:
            with self.subTest(word):
                self.assertIn(old, GOOD)
                found = self.faults(GOOD.replace(old, new))
                self.assertTrue(any(word in fault for fault in found), found)

    def test_finds_prohibited_code_in_examples_and_in_the_text(self):
        for code, word in SPOILED_CODE:
            with self.subTest(code):
                found = self.faults(GOOD, PAGE.replace("const", f"{code}\nconst"))
                self.assertTrue(any(word in fault for fault in found), found)
                spoiled = GOOD.replace("const", f"{code}\nconst")
                found = self.faults(spoiled, PAGE.replace("const", f"{code}\nconst"))
                self.assertTrue(any(word in fault and "SKILL.md" in fault for fault in found), found)

    def test_needs_a_complete_example(self):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "sample"
            folder.mkdir()
            self.assertEqual(faults(folder), ["there is no SKILL.md"])
            (folder / "SKILL.md").write_text(GOOD)
            self.assertIn("it has no complete example", faults(folder))


if __name__ == "__main__":
    unittest.main()
