"""A container's life: generations through Modal's own entry point, clients that leave, kills, ends."""

import json
import signal
import subprocess

import time
from pathlib import Path

import pytest
from conftest import needs_root
from container import KEY, SECRET, command_line, descendants, ids

pytestmark = needs_root


def claude_runs(container) -> bool:
    return any("claude" in command_line(pid).split(" ")[0] for pid in descendants(container.process.pid))


def until(condition, patience_s=10):
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def script(folder: Path, *commands: str) -> str:
    """A script for the model: each command by the Bash tool, one turn each."""
    turns = [{"blocks": [{"type": "tool_use", "name": "Bash", "input": {"command": command, "timeout": 60000}}]}
             for command in commands]
    turns.append({"blocks": [{"type": "text", "text": "できました。"}]})
    file = folder / "script.json"
    file.write_text(json.dumps({"default": "commands", "scripts": {"commands": {"turns": turns}}}))
    return f"--script {file}"


def versions(data: Path, project: dict) -> list[str]:
    folder = data / "users" / project["user_id"] / "projects" / project["project_id"]
    listed = subprocess.run(["git", "-c", "safe.directory=*", "-C", folder, "log", "--format=%s"],
                            capture_output=True, text=True)
    return listed.stdout.splitlines()


def test_a_generation_is_streamed_saved_and_committed(start, tmp_path):
    container = start("Generation")
    project = ids()
    answer = container.post("generate_game", project | {"prompt": "[script:small] 一ページ"})
    assert answer.step(30)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    answer.until(":", 1)
    answer.until('"type":"result"')
    assert ("commit", "vo-dreamcore-data", "ends") in container.modal.volume_calls, "committed before the end is told"
    answer.whole()
    kinds = [event["type"] for event in answer.events()]
    assert kinds[-1] == "done" and kinds.count("done") == 1 and "result" in kinds
    assert versions(tmp_path / "data", project)
    # One use for each container: it ends by itself, and its worker before the last commits.
    assert container.wait() == 0
    assert "stopped" in container.log()
    commits = [call[1] for call in container.modal.volume_calls if call[::2] == ("commit", "ends")]
    # The worker's, that of the exit hook, and Modal's own of both volumes.
    assert len(commits) == 4 and commits[-3:].count("vo-dreamcore-data") == 2 and "vo-dreamcore-global" in commits[-2:]


def test_no_secret_can_be_read_in_a_container(start, tmp_path):
    container = start("Generation", scripts=script(
        tmp_path, "cat /proc/*/environ /proc/*/cmdline > environ.txt 2> errors.txt; env > env.txt; ls /run /proc > ls.txt"
    ))
    project = ids()
    events = container.post("generate_game", project | {"prompt": "look around"}).whole().events()
    assert events[-1]["type"] == "done", events
    folder = tmp_path / "data/users" / project["user_id"] / "projects" / project["project_id"]
    seen = b"".join(file.read_bytes() for file in folder.glob("*.txt"))
    assert b"ANTHROPIC_BASE_URL" in seen, "what is allowed is seen"
    for secret in (SECRET, KEY, "an-identity-token-of-modal", "a-gemini-key", "m.sock"):
        assert secret.encode() not in seen
    assert b"dreamcore" not in (folder / "ls.txt").read_bytes()


def test_the_worker_gets_no_variable_of_modals_and_forgets_its_secrets(start):
    container = start("Quick")
    container.send("list_files").whole()
    names = {}
    for entry in Path(f"/proc/{container.find('dreamcore-worker')}/environ").read_bytes().split(b"\0"):
        name, _, value = entry.decode().partition("=")
        names[name] = value
    assert names["DREAMCORE_SHUTDOWN_GRACE_S"] == "5", "other variables are there as they were"
    of_modal = {name for name in names if name.startswith("MODAL_")}
    assert of_modal == {"MODAL_INTERNAL_SECRET", "MODAL_IDENTITY_TOKEN"}
    for name in ("MODAL_INTERNAL_SECRET", "MODAL_IDENTITY_TOKEN", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        assert set(names[name]) == {"x"}, name
    # The Python program beside it keeps them, and is root's: the sandbox's user may not look.
    environ = f"/proc/{container.python()}/environ"
    assert SECRET.encode() in Path(environ).read_bytes()
    as_user = subprocess.run(["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "cat", environ],
                             capture_output=True, text=True)
    assert as_user.stdout == "" and "Permission denied" in as_user.stderr


def test_a_client_that_leaves_cancels_its_run(start, tmp_path):
    container = start("Generation", scripts=script(tmp_path, "echo half > half.txt; sleep 50"))
    project = ids()
    answer = container.post("generate_game", project | {"prompt": "slowly"}).until("[Bash]")
    assert claude_runs(container)
    container.leave(answer)
    until(lambda: not claude_runs(container), 4)
    assert "half" not in "".join(versions(tmp_path / "data", project))
    assert container.wait() == 0


def test_an_input_that_modal_cancels_ends_its_run(start, tmp_path):
    container = start("Generation", scripts=script(tmp_path, "sleep 50"), variables={"MODAL_HEARTBEAT_INTERVAL": "1"})
    container.post("generate_game", ids() | {"prompt": "slowly"}).until("[Bash]")
    container.modal.cancelled.append("in-1")
    until(lambda: not claude_runs(container), 15)
    assert container.wait() == 0


def test_killed_in_the_middle_and_asked_again(start, tmp_path):
    project = ids()
    request = project | {"prompt": "a game"}
    commands = ("echo one > one.txt", "sleep 3", "echo two > two.txt")
    first = start("Generation", scripts=script(tmp_path, *commands))
    first.post("generate_game", request).until("sleep 3")
    first.process.kill()
    first.wait()
    assert not versions(tmp_path / "data", project)
    second = start("Generation", scripts=script(tmp_path, *commands))
    events = second.post("generate_game", request).whole().events()
    assert events[-1]["type"] == "done", events
    result = next(event for event in events if event["type"] == "result")
    assert {file["path"] for file in result["files"]} == {"one.txt", "two.txt"}
    assert len(versions(tmp_path / "data", project)) == 1


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_cancels_ends_the_worker_and_commits_last(start, tmp_path, which):
    container = start("Generation", scripts=script(tmp_path, "sleep 50"))
    answer = container.post("generate_game", ids() | {"prompt": "slowly"}).until("[Bash]")
    begin = time.monotonic()
    container.signal(which)
    container.wait(25)
    assert time.monotonic() - begin < 25, "Modal kills a container after 30 s"
    assert '"stopping"' in container.log() and '"stopped"' in container.log()
    assert not any(event["type"] == "done" for event in answer.events())
    assert [call[0] for call in container.modal.volume_calls if call[2] == "ends"] == ["commit"] * 3


def test_a_worker_that_dies_takes_its_container_along(start):
    container = start("Quick")
    container.send("list_files").whole()
    subprocess.run(["kill", "-9", str(container.find("dreamcore-worker"))], check=True)
    container.wait(30)
    assert "the worker ended with code -9; the container ends too" in container.log()


def test_one_worker_serves_all_endpoints_of_a_pool_and_ends_after_the_last_request(start):
    container = start("Quick")
    answers = [container.send(name, query="user_id=x").whole() for name in ("get_file", "list_files", "list_assets")]
    assert [answer.status for answer in answers] == [400, 400, 400]
    workers = [pid for pid in descendants(container.process.pid) if "dreamcore-worker" in command_line(pid)]
    assert len(workers) == 1
    container.drain()
    assert container.wait() == 0
    assert '"stopped"' in container.log()


