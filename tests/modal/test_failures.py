"""What an operator reads in the log when a container cannot start, and what works all the same."""

import re

import pytest
from conftest import needs_root
from container import ids
from test_proxy import query

pytestmark = needs_root


def failure(container) -> str:
    """How the container's start failed, as Modal is told."""
    container.wait(60)
    results = container.modal.calls["TaskResult"]
    assert len(results) == 1, container.log()
    return results[0].result.exception + container.log()


@pytest.mark.parametrize("variables, says", [
    ({"MODAL_INTERNAL_SECRET": None}, r"MODAL_INTERNAL_SECRET.*\n(.*\n)*.*before it served.*names the setting or secret"),
    ({"MODAL_INTERNAL_SECRET": "short"}, r"MODAL_INTERNAL_SECRET.*32"),
    ({"DREAMCORE_MAX_RUN": "1"}, r"DREAMCORE_MAX_RUN"),
    ({"ANTHROPIC_API_KEY": None}, r"anthropic_api_key: is not set\. put ANTHROPIC_API_KEY into the secret anthropic"),
    ({"DREAMCORE_CLAUDE_BIN": "/nowhere/claude"}, r"claude_cli: .*not found\. the image lacks the Claude CLI"),
    ({"DREAMCORE_CLAUDE_BIN": "/etc/passwd"}, r"claude_cli: is not an executable file\. the image lacks"),
])
def test_what_is_missing_is_named_with_what_to_do(start, variables, says):
    assert re.search(says, failure(start("Generation", variables=variables)), re.IGNORECASE)


def test_an_incomplete_image_is_named(start):
    container = start("Generation", before="rm /opt/dreamcore/dreamcore-confine; cp --remove-destination "
                      "\"$(readlink /opt/dreamcore/dreamcore-worker)\" /opt/dreamcore/dreamcore-worker")
    said = failure(container)
    assert "confinement: " in said and "nothing can be confined here" in said
    container = start("Generation", before="rm /opt/dreamcore/dreamcore-worker")
    assert "No such file or directory: '/opt/dreamcore/dreamcore-worker'" in failure(container)


def test_a_volume_that_cannot_be_written_is_named(start):
    container = start("Generation", before='mount --bind "$DREAMCORE_DATA_DIR" "$DREAMCORE_DATA_DIR"; '
                      'mount -o remount,bind,ro "$DREAMCORE_DATA_DIR"')
    said = failure(container)
    assert "cannot be written: the volume dreamcore-data must be mounted there and writable: run `make setup`" in said


def test_files_are_served_though_no_game_can_be_made(start):
    container = start("Quick", variables={"DREAMCORE_CLAUDE_BIN": "/nowhere/claude", "ANTHROPIC_API_KEY": None})
    project = ids()
    files = [{"path": "index.html", "content": "<p>"}]
    assert container.post("apply_files", project | {"files": files}).whole().events()[-1]["type"] == "done"
    assert container.send("get_file", query=query(project)).whole().body == b"<p>"


def test_a_full_volume_fails_the_save_and_not_the_container(start):
    container = start("Quick", before='mount -t tmpfs -o size=1m none "$DREAMCORE_DATA_DIR"')
    project = ids()
    large = [{"path": "index.html", "content": "x" * 3_000_000}]
    last = container.post("apply_files", project | {"files": large}).whole().events()[-1]
    assert (last["type"], last["code"]) == ("error", "STORAGE_FULL")
    small = [{"path": "index.html", "content": "x"}]
    assert container.post("apply_files", project | {"files": small}).whole().events()[-1]["type"] == "done"


def test_an_empty_global_volume_has_no_skills_and_does_no_harm(start, tmp_path):
    container = start("Quick", variables={"DREAMCORE_GLOBAL_DIR": str(tmp_path / "empty")}, before='mkdir -p "$DREAMCORE_GLOBAL_DIR"')
    answer = container.post("get_skill_content", {"skill_names": ["p5js-setup"]}).whole()
    assert (answer.status, answer.json()) == (200, {"skills": {}})
