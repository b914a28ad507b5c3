"""Every complete example of every skill is a game: it starts, is painted, obeys touch and keys, and goes on."""

import json
import shutil
import tempfile
import unittest
from pathlib import Path

from examples import examples
from judge.cdp import Browser
from judge.judging import Judge
from judge.pictures import Pictures
from tools import LIBRARIES, OUTPUT, QUICK


class Examples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = cls.enterClassContext(Browser())
        cls.pictures = cls.enterClassContext(Pictures(cls.browser))
        cls.temporary = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.judge = Judge(cls.browser, cls.pictures, LIBRARIES, OUTPUT)
        OUTPUT.mkdir(parents=True, exist_ok=True)

    def good(self, example):
        report = self.judge.judge(example.place(self.temporary), example.name, QUICK)
        (OUTPUT / f"{example.name}.json").write_text(json.dumps(report.as_dict(), ensure_ascii=False, indent=2))
        self.assertEqual((report.defects(), report.hints()), ([], []), report)
        for way in ("start", "touch", "keys"):
            self.assertGreater(report.reacts[way], report.proof(), way)
        for disturbance in ("rotate", "hide"):
            self.assertGreater(report.goes_on[disturbance], report.proof(), disturbance)
        if any(library.startswith("three") for library in report.libraries):
            self.assertGreater(report.goes_on["context"], report.proof())
        print(f"{example.name}: {report.frame} {report.seconds} s", flush=True)

    def test_without_its_pictures_image_generation_is_drawn(self):
        (example,) = [one for one in examples() if one.name == "image-generation"]
        folder = Path(self.temporary) / "without-pictures"
        shutil.copytree(example.folder, folder, ignore=shutil.ignore_patterns("assets"))
        report = self.judge.judge(folder, "image-generation-without-pictures", QUICK, stages=("user", "twins"))
        self.assertEqual({problem["kind"] for problem in report.problems}, {"missing"}, report)
        self.assertEqual(report.hints(), [])
        self.assertGreater(report.reacts["touch"], report.proof())


def _add(example):
    setattr(Examples, f"test_{example.name.replace('-', '_')}", lambda self: self.good(example))


for _example in examples():
    _add(_example)


if __name__ == "__main__":
    unittest.main()
