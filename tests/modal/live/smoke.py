"""`make smoke URL=…`: checks a live deployment from outside, with the standard library alone.

URL is what the relay has as MODAL_ENDPOINT; the secret comes from MODAL_INTERNAL_SECRET. It makes a project of
its own under a user of its own and says for each check what was seen and how long it took.
"""

import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

TIMEOUT_S = 620


class Failed(Exception):
    """A check that was not met; its text says what to do."""


class Deployment:
    def __init__(self, url: str, secret: str):
        self.url, self.secret = url.rstrip("/"), secret
        self.ids = {"user_id": str(uuid.uuid4()), "project_id": str(uuid.uuid4())}

    def address(self, endpoint: str) -> str:
        """The relay's own rule: the first generate-game or generate_game becomes the other name."""
        return re.sub("generate[-_]game", endpoint.replace("_", "-"), self.url, count=1)

    def ask(self, endpoint, *, query=None, body=None, secret=None, path="") -> tuple[int, dict, bytes]:
        address = self.address(endpoint) + path + ("?" + urllib.parse.urlencode(query) if query else "")
        request = urllib.request.Request(address, data=None if body is None else json.dumps(body).encode())
        request.add_header("X-Modal-Secret", self.secret if secret is None else secret)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def events(self, endpoint, body) -> list[tuple[float, dict]]:
        request = urllib.request.Request(self.address(endpoint), data=json.dumps(self.ids | body).encode())
        request.add_header("X-Modal-Secret", self.secret)
        request.add_header("Content-Type", "application/json")
        begin, seen = time.monotonic(), []
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            for line in answer:
                if line.startswith(b"data: "):
                    seen.append((time.monotonic() - begin, json.loads(line[6:])))
        return seen


def expect(found, wanted, advice: str):
    if found != wanted:
        raise Failed(f"expected {wanted!r}, found {found!r}. {advice}")


def version(to: Deployment) -> str:
    root = urllib.parse.urlsplit(to.address("get_file"))
    with urllib.request.urlopen(f"{root.scheme}://{root.netloc}/version", timeout=TIMEOUT_S) as answer:
        return json.loads(answer.read())["version"]


def sandbox(to: Deployment) -> str:
    root = urllib.parse.urlsplit(to.url)
    address = f"{root.scheme}://{root.netloc}/health/ready"
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:
            report = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        report = json.loads(error.read())
    if report.get("problems"):
        raise Failed(f"{report['problems']}. The log (`make logs`) says what to do.")
    held = report["confinement"]
    missing = ", ".join(one["mechanism"] for one in held["missing"]) or "nothing"
    return f"{held['attacks']} attacks, not denied: {held['not_denied'] or 'none'}; missing: {missing}"


def secret(to: Deployment) -> str:
    wrong = to.ask("list_files", query=to.ids, secret="wrong" * 10)
    none = to.ask("list_files", query=to.ids, secret="")
    expect((wrong[0], none[0]), (401, 401), "Anybody could read projects: is this the worker?")
    expect(wrong[2], none[2], "A wrong and a missing secret must look alike.")
    right = to.ask("list_files", query=to.ids)[0]
    expect(right, 404, "MODAL_INTERNAL_SECRET here is not the one of the deployment.")
    return "refused without it, accepted with it"


def validation(to: Deployment) -> str:
    expect(to.ask("list_files", query={"user_id": "x", "project_id": "y"})[0], 400, "Ids are not checked.")
    path = to.ids | {"path": "../../etc/passwd"}
    expect(to.ask("get_file", query=path)[0], 400, "Paths are not checked.")
    return "bad ids and paths are refused"


def files(to: Deployment) -> str:
    content = f"<p>{uuid.uuid4()}"
    saved = to.events("apply_files", {"files": [{"path": "index.html", "content": content}]})
    expect(saved[-1][1]["type"], "done", f"Saving failed: {saved[-1][1]}")
    # Asked often, so that more than one container answers if there is more than one.
    for _ in range(5):
        status, _, found = to.ask("get_file", query=to.ids)
        expect((status, found.decode()), (200, content), "A container does not see what another has saved.")
    return "saved, and read back five times"


def versions(to: Deployment) -> str:
    answer = to.ask("apply_files", body=to.ids | {"action": "git_log"})
    expect(answer[0], 200, answer[2].decode())
    commits = json.loads(answer[2])["commits"]
    if not commits:
        raise Failed("The save made no version.")
    restored = to.ask("apply_files", body=to.ids | {"action": "git_restore", "commit": commits[0]["hash"]})
    expect(restored[0], 200, restored[2].decode())
    return f"{len(commits)} listed, the newest restored"


def skills(to: Deployment) -> str:
    answer = to.ask("get_skill_content", body={"skill_names": ["p5js-setup", "threejs-setup"]})
    names = sorted(json.loads(answer[2])["skills"])
    expect(names, ["p5js-setup", "threejs-setup"], "The global volume lacks them: run `make skills`.")
    return "the setup skills are there"


def intent(to: Deployment) -> str:
    answer = json.loads(to.ask("detect_intent", body={"message": "背景を青くして"})[2])
    if answer.get("fallback"):
        raise Failed("The model did not answer in time: check the key, then `dreamcore-worker doctor --live`.")
    return answer["intent"]


def generation(to: Deployment) -> str:
    seen = to.events("generate_game", {"prompt": "[script:small] Write index.html with one heading. Nothing else."})
    last = seen[-1][1] if seen else {}
    expect(last.get("type"), "done", f"{last.get('code')}: {last.get('message')}")
    first = next((at for at, event in seen if event["type"] == "stream"), seen[-1][0])
    return f"first text after {first:.1f} s, done after {seen[-1][0]:.1f} s"


CHECKS = [version, sandbox, secret, validation, files, versions, skills, intent, generation]


def main() -> int:
    if len(sys.argv) != 2 or not re.search("generate[-_]game", sys.argv[1]):
        print("usage: make smoke URL=https://WORKSPACE--dreamcore-generate-game.modal.run", file=sys.stderr)
        return 2
    if not os.environ.get("MODAL_INTERNAL_SECRET"):
        print("set MODAL_INTERNAL_SECRET to the deployment's secret", file=sys.stderr)
        return 2
    to, failed = Deployment(sys.argv[1], os.environ["MODAL_INTERNAL_SECRET"]), 0
    for check in CHECKS:
        begin = time.monotonic()
        try:
            said, mark = check(to), "ok  "
        except (Failed, OSError, ValueError, KeyError) as error:
            said, mark, failed = str(error) or type(error).__name__, "FAIL", failed + 1
        print(f"{mark} {check.__name__:<11} {time.monotonic() - begin:6.2f} s  {said}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
