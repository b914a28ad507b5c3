#!/usr/bin/env python3
"""Starts a worker, generates a game with the real Claude CLI before your eyes, and stays.

Without ANTHROPIC_API_KEY the model is played by tests/scripted-api, and this program says so. With
a key the real API is asked, and the game is what the model makes of the prompt.

Only Python's standard library is used. Everything that is written lies below .run/.
"""

import argparse
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / ".run"
PROMPT = "空から降ってくる星を集めるゲームを作ってください。"
USER = "11111111-1111-4111-8111-111111111111"

COLOUR = sys.stdout.isatty()


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def say(text):
    print(text, flush=True)


def free_port(preferred):
    """The preferred port if nobody has it, else any free one."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise SystemExit("no free port on 127.0.0.1")


def programs(folder):
    """The programs that `make build` and `make tools` made."""
    found = {
        "worker": folder / "dreamcore-worker",
        "confine": folder / "dreamcore-confine",
        "scripted": folder / "scripted-api",
        "claude": ROOT / ".tools/claude",
    }
    missing = [str(path) for path in found.values() if not path.is_file()]
    if missing:
        raise SystemExit("missing (run `make build tools` first): " + ", ".join(missing))
    return found


def start_scripted_api(program):
    process = subprocess.Popen(
        [program, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if "http://127.0.0.1:" in line:
            return process, "http://127.0.0.1:" + line.split("http://127.0.0.1:")[1].split()[0]
    raise SystemExit("the scripted API did not start")


def install_skills():
    """Puts the project's skills where the worker expects the shared ones."""
    target = RUN / "global/.claude/skills"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "skills", target)


def start_worker(found, port, secret, api_url):
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": os.environ.get("HOME", "/"),
        "MODAL_INTERNAL_SECRET": secret,
        "DREAMCORE_LISTEN": f"127.0.0.1:{port}",
        "DREAMCORE_DATA_DIR": str(RUN / "data"),
        "DREAMCORE_GLOBAL_DIR": str(RUN / "global"),
        "DREAMCORE_SCRATCH_DIR": str(RUN / "scratch"),
        "DREAMCORE_CLAUDE_BIN": str(found["claude"]),
        "ANTHROPIC_API_KEY": os.environ.get("ANTHROPIC_API_KEY") or "offline",
    }
    if api_url:
        environment["ANTHROPIC_BASE_URL"] = api_url
    # Settings that are given by hand win, so that anything can be tried.
    environment.update({k: v for k, v in os.environ.items() if k.startswith("DREAMCORE_")})
    log = open(RUN / "worker.log", "w", encoding="utf-8")
    return subprocess.Popen([found["worker"], "serve"], env=environment, stderr=log)


def wait_until_ready(worker, port):
    """Waits until the worker is ready, or says why it is not."""
    status, ready = 0, {}
    for _ in range(200):
        if worker.poll() is not None:
            raise SystemExit((RUN / "worker.log").read_text())
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/health/ready")
            answer = connection.getresponse()
            status, ready = answer.status, json.loads(answer.read())
        except OSError:
            status = 0
        if status == 200 or ready.get("problems", {}).get("confinement") != "is being tested":
            if status:
                return status, ready
        time.sleep(0.05)
    raise SystemExit("the worker did not come up; see .run/worker.log")


def show(event, state):
    kind = event.get("type")
    if kind == "stream":
        state["text"] = True
        print(event["content"], end="", flush=True)
        return
    if state.pop("text", False):
        say("")
    if kind == "status":
        say(paint(36, f"● {event['message']}"))
    elif kind == "log":
        say(paint(33, f"  {event['content']}"))
    elif kind == "warning":
        say(paint(35, f"! {event['message']}"))
    elif kind == "result":
        say(paint(1, "Saved:"))
        for file in event["files"]:
            say(f"  {file['action']:<7}{file['size']:>8} bytes  {file['path']}")
        say(f"  version {event.get('git_commit', '-')}")
    elif kind == "debug":
        say(paint(2, "  " + json.dumps(event, ensure_ascii=False)))
    elif kind == "done":
        say(paint(32, f"✔ done in {event['duration_ms'] / 1000:.1f} s"))
    elif kind == "error":
        say(paint(31, f"✘ {event['code']}: {event['message']}\n  {event['userMessage']}"))


def generate(port, secret, project, prompt):
    """One generation; whether it ended with `done`."""
    body = json.dumps({"user_id": USER, "project_id": project, "prompt": prompt})
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"X-Modal-Secret": secret, "Content-Type": "application/json"}
    connection.request("POST", "/generate_game", body.encode(), headers)
    answer = connection.getresponse()
    if answer.status != 200:
        say(paint(31, f"✘ HTTP {answer.status}: {answer.read().decode()}"))
        return False
    state, last = {}, {}
    for line in answer:
        if line.startswith(b"data: "):
            last = json.loads(line[6:])
            show(last, state)
    return last.get("type") == "done"


def print_commands(port, project, offline):
    base = f"http://127.0.0.1:{port}"
    ids = f"user_id={USER}&project_id={project}"
    # Offline, the marker chooses the script that edits a game that is there.
    prompt = ("[script:edit] " if offline else "") + "タイトルを変えてください。"
    body = json.dumps({"user_id": USER, "project_id": project, "prompt": prompt},
                      ensure_ascii=False)
    say(paint(1, "\nThe worker is serving. Paste these into another terminal, in this folder:\n"))
    say('  SECRET="X-Modal-Secret: $(cat .run/secret)"')
    say(f"  curl -s {base}/health/live; curl -s {base}/health/ready; curl -s {base}/version")
    say(f"  curl -s -H \"$SECRET\" '{base}/list_files?{ids}'")
    say(f"  curl -s -H \"$SECRET\" '{base}/get_file?{ids}&path=index.html'")
    say(f"  curl -sN -H \"$SECRET\" -H 'Content-Type: application/json' {base}/generate_game \\\n"
        f"    -d '{body}'")
    say(f"\n  The game's folder: .run/data/users/{USER}/projects/{project}")
    say("  The worker's log:  .run/worker.log")


def stop(process):
    if process and process.poll() is None:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=Path, default=ROOT / "target/debug")
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--once", action="store_true", help="stop after the generation")
    arguments = parser.parse_args()
    found = programs(arguments.programs.resolve())
    for name in ("data", "scratch"):
        (RUN / name).mkdir(parents=True, exist_ok=True)
    install_skills()
    secret = secrets.token_hex(32)
    (RUN / "secret").write_text(secret)
    (RUN / "secret").chmod(0o600)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    scripted = worker = None
    try:
        api_url = os.environ.get("ANTHROPIC_BASE_URL")
        if os.environ.get("ANTHROPIC_API_KEY"):
            say(paint(1, "ANTHROPIC_API_KEY is set: the real model API is used."))
        else:
            scripted, api_url = start_scripted_api(found["scripted"])
            say(paint(1, "Offline: the model is played by a script (tests/scripted-api), and its "
                         "answers are fixed.\nThe Claude CLI, the sandbox and everything else are "
                         "real. Set ANTHROPIC_API_KEY to use the real API."))
        port = free_port(8000)
        worker = start_worker(found, port, secret, api_url)
        status, ready = wait_until_ready(worker, port)
        missing = ((ready.get("confinement") or {}).get("missing")) or []
        say(f"Worker up at http://127.0.0.1:{port}, "
            + ("ready" if status == 200 else f"not ready: {ready['problems']}"))
        for protection in missing:
            say(paint(35, f"! protection missing: {protection['mechanism']}: "
                          f"{protection['reason']}"))
        project = str(uuid.uuid4())
        say(f"\n{paint(1, 'Prompt:')} {arguments.prompt}\n")
        done = generate(port, secret, project, arguments.prompt)
        print_commands(port, project, scripted is not None)
        if arguments.once or not done:
            return 0 if done else 1
        say(paint(2, "\nCtrl-C stops it."))
        worker.wait()
        return worker.returncode
    except KeyboardInterrupt:
        say("")
        return 0
    finally:
        stop(worker)
        stop(scripted)


if __name__ == "__main__":
    sys.exit(main())
