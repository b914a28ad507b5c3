"""What the tests share: one real deployment to a local server, and containers of its definitions."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from container import PROGRAMS, ROOT, Container
from local_modal import LocalModal, Running

MODAL = Path(sys.executable).parent / "modal"
NEEDED = ["dreamcore-worker", "dreamcore-confine", "dreamcore-probe", "dreamcore-import", "scripted-api"]


def pytest_configure(config):
    missing = [name for name in NEEDED if not (PROGRAMS / name).is_file()]
    if missing or not (ROOT / ".tools/claude").is_file():
        pytest.exit(f"run `make build tools` first; missing: {missing or '.tools/claude'}", returncode=1)


def deploy(servicer: LocalModal, folder: Path, variables=None, *arguments):
    """`modal deploy modal_app.py` against a local server. The process, with its output."""
    server = Running(servicer, str(folder / "deploy.sock"))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MODAL_", "DEPLOY_"))}
    environment = inherited | {
        "MODAL_SERVER_URL": f"http://127.0.0.1:{server.port}", "MODAL_TOKEN_ID": "ak-test",
        "MODAL_TOKEN_SECRET": "as-test", "MODAL_CONFIG_PATH": str(folder / "modal.toml"),
    } | (variables or {})
    try:
        return subprocess.run(
            [MODAL, "deploy", "modal_app.py", *arguments], cwd=ROOT, env=environment, text=True, timeout=60,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
    finally:
        server.close()


def functions(servicer: LocalModal) -> dict:
    """The definitions that were sent, by the name of the class."""
    return {call.function.function_name.removesuffix(".*"): call.function for call in servicer.calls["FunctionCreate"]}


@pytest.fixture(scope="session")
def deployed(tmp_path_factory):
    servicer = LocalModal()
    done = deploy(servicer, tmp_path_factory.mktemp("deploy"))
    assert done.returncode == 0, done.stdout
    servicer.output = done.stdout
    return servicer


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="SKIPPED: containers need namespaces, so root")


@pytest.fixture
def start(deployed, tmp_path):
    """Starts containers of a pool on one pair of volumes, and ends them after the test."""
    data, global_ = tmp_path / "data", tmp_path / "global"
    data.mkdir()
    shutil.copytree(ROOT / "skills", global_ / ".claude/skills")
    started = []

    def start_one(pool: str, **more) -> Container:
        more.setdefault("data", data)
        container = Container(functions(deployed)[pool], tmp_path / f"c{len(started)}", global_=global_, **more)
        started.append(container)
        return container

    yield start_one
    for container in started:
        container.close()
