"""The complete examples of the skills: folders with an index.html, and whole pages within a SKILL.md."""

from dataclasses import dataclass
from pathlib import Path

from form import SKILLS, whole_pages


@dataclass
class Example:
    """A game to judge. `page` is its text if it stands within a SKILL.md, else `folder` holds it."""

    name: str
    skill: str
    folder: Path | None = None
    page: str | None = None

    def place(self, temporary):
        """The folder of the game; a page is written into a new one below `temporary`."""
        if self.folder:
            return self.folder
        folder = Path(temporary) / self.name
        folder.mkdir(parents=True)
        (folder / "index.html").write_text(self.page)
        return folder


def examples():
    found = []
    for skill in sorted(SKILLS.iterdir()):
        for index in sorted(skill.rglob("index.html")):
            inner = index.parent.relative_to(skill).as_posix().replace("/", "-")
            name = skill.name if inner == "example" else f"{skill.name}-{inner}"
            found.append(Example(name, skill.name, folder=index.parent))
        text = (skill / "SKILL.md").read_text()
        for number, page in enumerate(whole_pages(text), 1):
            found.append(Example(f"{skill.name}-page{number}", skill.name, page=page))
    return found
