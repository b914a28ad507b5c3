"""The programs behind `make setup`, `relay-env` and `smoke`, and the examples for other machines."""

import os
import re
import shutil
import socket
import subprocess
import sys

import pytest
import yaml
from conftest import deploy, needs_root
from container import PROGRAMS, ROOT, SECRET
from local_modal import LocalModal, Running

LIVE = ROOT / "tests/modal/live"


def live(program: str, servicer: LocalModal, folder, variables=None):
    server = Running(servicer, str(folder / f"{program}.sock"))
    inherited = {name: value for name, value in os.environ.items()
                 if not name.startswith(("MODAL_", "DEPLOY_", "ANTHROPIC_", "GEMINI_"))}
    environment = inherited | {
        "MODAL_SERVER_URL": f"http://127.0.0.1:{server.port}", "MODAL_TOKEN_ID": "ak-test", "PYTHONPATH": str(ROOT),
        "MODAL_TOKEN_SECRET": "as-test", "MODAL_CONFIG_PATH": str(folder / "modal.toml"),
    } | (variables or {})
    try:
        return subprocess.run([sys.executable, LIVE / f"{program}.py"], cwd=ROOT, env=environment, text=True, timeout=60,
                              capture_output=True)
    finally:
        server.close()


def test_setup_makes_what_is_missing_and_can_be_repeated(tmp_path):
    empty = LocalModal(volumes={}, secrets={})
    done = live("setup", empty, tmp_path)
    assert done.returncode == 1
    assert "set ANTHROPIC_API_KEY in your environment and run `make setup` again" in done.stderr
    assert empty.volumes == {"dreamcore-data": 2, "dreamcore-global": 2}
    secret = re.search(r"MODAL_INTERNAL_SECRET=([0-9a-f]{64})\n", done.stdout)[1]
    assert empty.values["modal-internal-secret"] == {"MODAL_INTERNAL_SECRET": secret}
    done = live("setup", empty, tmp_path, {"ANTHROPIC_API_KEY": "a", "GEMINI_API_KEY": "g"})
    assert done.returncode == 0, done.stderr
    assert "MODAL_INTERNAL_SECRET=" not in done.stdout
    assert empty.values["modal-internal-secret"] == {"MODAL_INTERNAL_SECRET": secret}
    assert empty.values["anthropic-api-key"] == {"ANTHROPIC_API_KEY": "a"}
    # What setup made is what a deployment asks for.
    assert deploy(empty, tmp_path).returncode == 0


def test_setup_names_a_volume_of_another_version_and_a_secret_without_its_key(tmp_path):
    workspace = LocalModal(volumes={"dreamcore-data": 1}, secrets={"anthropic-api-key": ["KEY"]})
    said = live("setup", workspace, tmp_path, {"GEMINI_API_KEY": "g"}).stderr
    assert "volume dreamcore-data: Volume 'dreamcore-data' exists but has version v1, not v2" in said
    assert "secret anthropic-api-key: Secret 'anthropic-api-key' is missing key(s): ANTHROPIC_API_KEY" in said


def test_relay_env_shows_the_address_of_the_deployment(deployed, tmp_path):
    shown = live("relay_env", deployed, tmp_path)
    assert "MODAL_ENDPOINT=https://acme--dreamcore-generate-game.modal.run\n" in shown.stdout, shown.stderr
    shown = live("relay_env", LocalModal(), tmp_path)
    assert (shown.returncode, "make deploy" in shown.stderr) == (1, True), shown


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@needs_root
@pytest.mark.parametrize("with_skills", [True, False])
def test_smoke_checks_a_worker_and_names_what_is_wrong(tmp_path, with_skills):
    port, model = free_port(), free_port()
    for name in ("data", "global"):
        (tmp_path / name).mkdir()
    if with_skills:
        shutil.copytree(ROOT / "skills", tmp_path / "global/.claude/skills")
    environment = {
        "PATH": os.environ["PATH"], "MODAL_INTERNAL_SECRET": SECRET, "ANTHROPIC_API_KEY": "offline",
        "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{model}", "DREAMCORE_LISTEN": f"127.0.0.1:{port}",
        "DREAMCORE_DATA_DIR": str(tmp_path / "data"), "DREAMCORE_GLOBAL_DIR": str(tmp_path / "global"),
        "DREAMCORE_SCRATCH_DIR": str(tmp_path / "scratch"), "DREAMCORE_CLAUDE_BIN": str(ROOT / ".tools/claude"),
    }
    api = subprocess.Popen([PROGRAMS / "scripted-api", "--listen", f"127.0.0.1:{model}"], stdout=subprocess.DEVNULL)
    worker = subprocess.Popen([PROGRAMS / "dreamcore-worker", "serve"], env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        url = f"http://127.0.0.1:{port}/generate_game"
        run = subprocess.run([sys.executable, LIVE / "smoke.py", url], text=True, capture_output=True, timeout=120,
                             env={"MODAL_INTERNAL_SECRET": SECRET, "PATH": os.environ["PATH"]})
    finally:
        worker.terminate()
        api.terminate()
        worker.wait(30)
        api.wait(10)
    lines = {line.split()[1]: line for line in run.stdout.splitlines()}
    good = {name for name, line in lines.items() if line.startswith("ok")}
    wrong = set() if with_skills else {"skills"}
    everything = {"version", "sandbox", "secret", "validation", "files", "versions", "skills", "intent", "generation"}
    assert good == everything - wrong, run.stdout
    assert with_skills or "run `make skills`" in lines["skills"]


def wait_for(port: int):
    import time
    import urllib.request

    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2)
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the worker is not ready")


def test_smoke_wants_its_address_and_secret():
    for arguments, variables, says in [([], {}, "usage"), (["http://x/generate_game"], {}, "set MODAL_INTERNAL_SECRET")]:
        run = subprocess.run([sys.executable, LIVE / "smoke.py", *arguments], env=variables, text=True, capture_output=True)
        assert (run.returncode, says in run.stderr) == (2, True), run


def settings() -> set[str]:
    return set(re.findall(r"^\| `([A-Z_]+)`", (ROOT / "docs/configuration.md").read_text(), re.MULTILINE))


def test_the_compose_file_and_the_manifests_say_what_the_worker_knows():
    compose = yaml.safe_load((ROOT / "docs/examples/compose.yaml").read_text())["services"]["dreamcore-worker"]
    assert set(compose["environment"]) <= settings()
    assert "/global:/global:ro" in compose["volumes"]
    runtime, deployment = yaml.safe_load_all((ROOT / "docs/examples/kubernetes.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    assert pod["runtimeClassName"] == runtime["metadata"]["name"] == "runsc"
    assert deployment["spec"]["selector"]["matchLabels"] == deployment["spec"]["template"]["metadata"]["labels"]
    mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="SKIPPED: systemd-analyze is not here")
def test_the_unit_is_one_that_systemd_understands(tmp_path):
    unit = tmp_path / "dreamcore-worker.service"
    text = (ROOT / "docs/examples/dreamcore-worker.service").read_text()
    assert set(re.findall(r"^Environment=(\w+)=", text, re.MULTILINE)) <= settings()
    # The program that it starts is not on this machine.
    unit.write_text(text.replace("/opt/dreamcore/dreamcore-worker", "/bin/true"))
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], text=True, capture_output=True)
    assert "dreamcore-worker.service" not in checked.stderr, checked.stderr
