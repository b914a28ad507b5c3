"""What `modal deploy modal_app.py` sends, and what an operator reads when it cannot."""

import json
import re

import pytest
from conftest import deploy, functions
from container import ROOT
from local_modal import LocalModal

# Endpoints without a host of their own: the checks that need no secret, and the document.
WITHOUT_A_HOST = {"health/live", "health/ready", "version", "openapi.json"}


def labels(function) -> dict:
    return {name: method.webhook_config.requested_suffix for name, method in function.method_definitions.items()}


def test_every_endpoint_of_the_worker_has_a_host(deployed):
    table = json.loads((ROOT / "openapi/dreamcore-worker.json").read_text())["paths"]
    expected = {path.lstrip("/") for path in table} - WITHOUT_A_HOST
    pools = [labels(function) for function in functions(deployed).values()]
    together = {name: label for pool in pools for name, label in pool.items()}
    assert set(together) == expected
    assert sum(len(pool) for pool in pools) == len(together), "an endpoint is in both pools"
    for name, label in together.items():
        assert label == "dreamcore-" + name.replace("_", "-")
    assert set(labels(functions(deployed)["Generation"])) <= {"generate_game", "generate_gemini"}


def test_each_pool_is_one_function_with_the_same_port(deployed):
    for function in functions(deployed).values():
        assert function.is_class
        for method in function.method_definitions.values():
            assert method.webhook_config.web_server_port == 8000
            assert method.webhook_config.web_server_startup_timeout == 60


def test_volumes_are_mounted_and_the_global_one_is_read_only(deployed):
    for function in functions(deployed).values():
        mounts = {mount.mount_path: (mount.volume_id, mount.read_only) for mount in function.volume_mounts}
        assert mounts == {"/data": ("vo-dreamcore-data", False), "/global": ("vo-dreamcore-global", True)}
    assert {call.version for call in deployed.calls["VolumeGetOrCreate"]} == {2}


def test_secrets_are_asked_for_with_their_keys(deployed):
    asked = {call.deployment_name: list(call.required_keys) for call in deployed.calls["SecretGetOrCreate"]}
    assert asked == {
        "modal-internal-secret": ["MODAL_INTERNAL_SECRET"],
        "anthropic-api-key": ["ANTHROPIC_API_KEY"],
        "gemini-api-key": ["GEMINI_API_KEY"],
    }
    for function in functions(deployed).values():
        assert len(function.secret_ids) == 3


def test_limits_of_a_generation(deployed):
    function = functions(deployed)["Generation"]
    resources = function.resources
    assert (resources.memory_mb, resources.memory_mb_max) == (1024, 2048)
    assert (resources.milli_cpu, resources.milli_cpu_max) == (1000, 2000)
    assert function.timeout_secs == 600
    assert function.single_use_containers
    assert function.max_concurrent_inputs in (0, 1)
    scaling = function.autoscaler_settings
    assert (scaling.min_containers, scaling.buffer_containers, scaling.max_containers) == (1, 1, 100)
    assert not function.HasField("retry_policy"), "a run that failed is not begun again by Modal"


def test_limits_of_everything_else(deployed):
    function = functions(deployed)["Quick"]
    assert (function.resources.memory_mb, function.resources.memory_mb_max) == (512, 1024)
    assert function.max_concurrent_inputs == 50
    assert not function.single_use_containers
    assert function.autoscaler_settings.min_containers == 1


def test_the_image_is_made_of_the_dockerfile(deployed):
    sent = [line for call in deployed.calls["ImageGetOrCreate"] for line in call.image.dockerfile_commands]
    own = (ROOT / "image/Dockerfile").read_text()
    for line in own.splitlines():
        if re.match(r"(RUN|COPY|ENV|LABEL|HEALTHCHECK|CMD|ARG) ", line):
            assert line.rstrip(" \\") in "\n".join(sent), line
    assert any("COPY /python/. /usr/local" in line for line in sent), "Modal adds its Python"


def test_only_sources_are_uploaded(deployed):
    files = [file.filename for call in deployed.calls["MountGetOrCreate"] for file in call.files]
    assert "/Cargo.lock" in files and "/worker/src/main.rs" in files and "/openapi/dreamcore-worker.json" in files
    for name in files:
        assert not re.search(r"/(target|\.git|\.tools|\.run|__pycache__|seeds)/|\.env$", name), name
    assert sum(name.endswith("/modal_app.py") for name in files) == 1


def test_options_change_what_is_deployed_and_reach_the_container(tmp_path):
    servicer = LocalModal(volumes={"staging-data": 1, "staging-global": 1}, secrets={
        "other": ["MODAL_INTERNAL_SECRET"], "vertex": ["DREAMCORE_VERTEX_PROJECT"],
    })
    options = {
        "DEPLOY_NAME": "staging", "DEPLOY_VOLUME_VERSION": "1", "DEPLOY_REGION": "us-west",
        "DEPLOY_INTERNAL_SECRET": "other", "DEPLOY_ANTHROPIC_SECRET": "-", "DEPLOY_GEMINI_SECRET": "-",
        "DEPLOY_VERTEX_SECRET": "vertex", "DEPLOY_GENERATION_MAX": "7", "DEPLOY_GENERATION_WARM": "0",
        "DEPLOY_GENERATION_SINGLE_USE": "0", "DEPLOY_NONPREEMPTIBLE": "1",
    }
    done = deploy(servicer, tmp_path, options)
    assert done.returncode == 0, done.stdout
    function = functions(servicer)["Generation"]
    assert labels(function) == {"generate_game": "staging-generate-game"}
    assert list(function.scheduler_placement.regions) == ["us-west"]
    assert function.scheduler_placement.nonpreemptible
    assert function.autoscaler_settings.max_containers == 7
    assert not function.single_use_containers
    variables = [dict(call.env_dict) for call in servicer.calls["SecretGetOrCreate"] if call.env_dict]
    assert variables and all(found == options for found in variables)


@pytest.mark.parametrize("workspace, options, says", [
    ({"secrets": {}}, {}, "Secret 'modal-internal-secret' not found"),
    ({"secrets": {"modal-internal-secret": ["MODAL_INTERNAL_SECRET"], "anthropic-api-key": ["KEY"],
                  "gemini-api-key": ["GEMINI_API_KEY"]}}, {}, "missing key(s): ANTHROPIC_API_KEY"),
    ({"volumes": {}}, {}, "Volume 'dreamcore-data' not found"),
    ({"volumes": {"dreamcore-data": 1, "dreamcore-global": 1}}, {}, "has version v1, not v2"),
    ({}, {"DEPLOY_REGION": "atlantis"}, "Invalid region 'atlantis'"),
    ({}, {"DEPLOY_QUICK_MAX": "many"}, "DEPLOY_QUICK_MAX: 'many' is not a number"),
])
def test_what_is_wrong_is_named(tmp_path, workspace, options, says):
    done = deploy(LocalModal(**workspace), tmp_path, options)
    assert done.returncode != 0
    assert says in " ".join(done.stdout.replace("│", " ").split()), done.stdout
