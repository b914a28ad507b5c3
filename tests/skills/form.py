"""The form of a skill: what a model and the fast path rely on when they read it.

The fast path puts several SKILL.md files into one prompt and cuts them at a section, so sections have to be short and
no code may look like a heading. Code that a skill shows has to stand in a file that the tests play.
"""

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SKILLS = ROOT / "skills"
VERSIONS = {
    name: version
    for name, version in json.loads((Path(__file__).parent / "package.json").read_text())["dependencies"].items()
    if name in ("p5", "three")
}

MAX_CHARACTERS = 6000
MAX_SECTION = 2600
DESCRIPTION = range(60, 400)
CODE_FILES = (".html", ".js", ".css")
FRONT = re.compile(r"\A---\nname: (?P<name>[^\n]+)\ndescription: (?P<description>[^\n]+)\n---\n\n")
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)
POINTER = re.compile(r"`((?:example|more)[^`\s]*)`|\]\((?!https?:)([^)]+)\)")
LIBRARY = re.compile(r"(?:npm/|unpkg\.com/|/libs/)(p5|three)(?:\.js)?[@/]([0-9][^/\"'`\s]*)")

# What takes a game out of its frame, stops it, or makes its code unreadable for the next change.
PROHIBITED = {
    "a dialog": re.compile(r"(?<![\w.])(?:window\.)?(?:alert|confirm|prompt)\s*\("),
    "leaving the page": re.compile(
        r"\blocation\s*=|\blocation\.(?:href\s*=|assign|replace|reload)|\bhistory\.(?:back|go|pushState)|window\.open\s*\("
    ),
    "media in base64": re.compile(r"data:[\w/+.-]+;base64|;base64,"),
    "a pretended loading screen": re.compile(r"loading|ロード中|読み込み中|よみこみちゅう", re.I),
    "document.write": re.compile(r"document\.write"),
}
# Waiting for a real file is not pretending.
HONEST = re.compile(r"loading=|LoadingManager|loadingManager")


def sections(text):
    """The parts of a skill: what stands before the first section, then each section."""
    return re.split(r"^(?=## )", text, flags=re.M)


def lines_of(code):
    return [line.strip() for line in code.split("\n") if line.strip()]


def stands_in(code, files):
    """Whether the lines of a snippet stand in one of the files, one after the other."""
    wanted = lines_of(code)
    for text in files:
        lines = lines_of(text)
        for at in range(len(lines) - len(wanted) + 1):
            if lines[at : at + len(wanted)] == wanted:
                return True
    return False


def whole_pages(text):
    """The complete pages that a SKILL.md contains."""
    codes = (fence["code"] for fence in FENCE.finditer(text) if fence["language"] == "html")
    return [code for code in codes if code.lstrip().lower().startswith("<!doctype html>")]


def code_faults(where, code):
    for name, pattern in PROHIBITED.items():
        found = pattern.search(HONEST.sub("", code))
        if found:
            yield f"{where}: {name}: {found[0]!r}"
    for library, version in LIBRARY.findall(code):
        if version != VERSIONS[library]:
            yield f"{where}: {library} {version} is not the pinned {VERSIONS[library]}"


def text_faults(name, text):
    front = FRONT.match(text)
    if not front:
        yield "it does not begin with name and description, one line each, and an empty line"
        return
    if front["name"] != name:
        yield f"its name is {front['name']}, its folder {name}"
    if len(front["description"]) not in DESCRIPTION:
        yield f"its description has {len(front['description'])} characters"
    if len(text) >= MAX_CHARACTERS:
        yield f"it has {len(text)} characters"
    body = text[front.end() :]
    if not body.startswith("# "):
        yield "it has no title"
    parts = sections(body)
    if len(parts) < 4:
        yield f"it has {len(parts) - 1} sections"
    for part in parts:
        title = part.split("\n", 1)[0]
        if len(part) > MAX_SECTION:
            yield f"{title!r} has {len(part)} characters, which is too long to be cut"
        if part.count("\n```") % 2:
            yield f"{title!r} ends within code"
    for fence in FENCE.finditer(text):
        if re.search(r"^#+ ", fence["code"], re.M):
            yield "a line of its code looks like a heading"
        if not fence["language"]:
            yield "a piece of its code does not say its language"
    named = [library for library, version in VERSIONS.items() if re.search(rf"\b{library}\S* {re.escape(version)}", body)]
    if not named:
        yield "it does not say for which version of p5.js or three it is written"


def faults(folder):
    """Everything that is wrong with the form of the skill in a folder."""
    folder = Path(folder)
    skill = folder / "SKILL.md"
    if not skill.is_file():
        return ["there is no SKILL.md"]
    text = skill.read_text()
    found = list(text_faults(folder.name, text))
    pointed = [first or second for first, second in POINTER.findall(text)]
    found += [f"it points to {path}, which is not there" for path in pointed if not (folder / path).exists()]
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != skill]
    sources = {path: path.read_text() for path in files if path.suffix in CODE_FILES}
    for path in files:
        relative = path.relative_to(folder).as_posix()
        if not any(relative.split("/")[0] == to.split("/")[0] for to in pointed):
            found.append(f"nothing points to {relative}")
    for fence in FENCE.finditer(text):
        found += code_faults("SKILL.md", fence["code"])
        page = fence["code"] in whole_pages(text)
        if fence["language"] in ("js", "css", "html") and not page and not stands_in(fence["code"], sources.values()):
            found.append(f"no file that is played has the code that begins {lines_of(fence['code'])[:1]}")
    for path, code in sources.items():
        relative = path.relative_to(folder).as_posix()
        found += code_faults(relative, code)
        if code.count("\n") > 400:
            found.append(f"{relative} has over 400 lines")
    if not whole_pages(text) and not list(folder.rglob("index.html")):
        found.append("it has no complete example")
    return found
