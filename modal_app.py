"""The worker on Modal: image, volumes, secrets, how many containers, and the start and end of one.

Two pools of containers. In each container one `dreamcore-worker` serves every endpoint of its pool on
one port, and Modal gives each endpoint a host of its own: WORKSPACE--dreamcore-get-file.modal.run.
The worker tells them apart by the Host header. What the product does is in the worker alone; this file
starts it, commits and reloads the volume when it asks, and ends it. `docs/operations.md` explains how to
deploy.
"""

import http.client
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import modal

# What an operator may change, each by an environment variable of `make deploy` that is called DEPLOY_
# and the name below. The same variables are set in the containers, so both see the same values.
DEPLOYED = {name: value for name, value in os.environ.items() if name.startswith("DEPLOY_")}


def option(name: str, default):
    """The value of DEPLOY_name, in the type of the default."""
    text = DEPLOYED.get(f"DEPLOY_{name}", "").strip()
    try:
        return type(default)(text) if text else default
    except ValueError:
        raise SystemExit(f"DEPLOY_{name}: {text!r} is not a number") from None


# Names: of the app, of the volumes (NAME-data, NAME-global), and the beginning of every host's label.
NAME = option("NAME", "dreamcore")
# The kind of volume. 2 has no limit on files; an existing volume keeps the kind that it was made with.
VOLUME_VERSION = option("VOLUME_VERSION", 2)
# Where containers run, for example us-west or ap; empty lets Modal choose, which is the cheapest.
REGION = option("REGION", "")
# Containers that Modal does not interrupt, for three times the price: 1 or 0. A run that is
# interrupted is begun again.
NONPREEMPTIBLE = option("NONPREEMPTIBLE", 0)

# The secrets of the workspace, and what must be in them. "-" leaves one out.
INTERNAL_SECRET = option("INTERNAL_SECRET", "modal-internal-secret")
ANTHROPIC_SECRET = option("ANTHROPIC_SECRET", "anthropic-api-key")
GEMINI_SECRET = option("GEMINI_SECRET", "gemini-api-key")
# For Claude on Vertex AI; with federation there is no key in it, and Modal's identity token is used.
VERTEX_SECRET = option("VERTEX_SECRET", "-")
# One more, for example with DREAMCORE_MODEL in it: any setting of the worker (docs/configuration.md).
SETTINGS_SECRET = option("SETTINGS_SECRET", "-")

# Generation: one run for each container, because a run executes what its prompt asks for.
GENERATION_CPU = option("GENERATION_CPU", 1.0)  # cores that are reserved; a container may use twice as many
GENERATION_MEMORY_MIB = option("GENERATION_MEMORY_MIB", 2048)  # the most; half of it is reserved
GENERATION_WARM = option("GENERATION_WARM", 1)  # containers that run though nobody asks for one
GENERATION_SPARE = option("GENERATION_SPARE", 1)  # idle ones beside those at work, for the next request
GENERATION_MAX = option("GENERATION_MAX", 100)  # the most containers, which is the limit on cost
GENERATION_TIMEOUT_S = option("GENERATION_TIMEOUT_S", 600)  # the relay's own; a run ends after 540 s
GENERATION_SINGLE_USE = option("GENERATION_SINGLE_USE", 1)  # 1: a new container for each run; 0: again

# Everything else: short requests, many for each container.
QUICK_CPU = option("QUICK_CPU", 0.5)
QUICK_MEMORY_MIB = option("QUICK_MEMORY_MIB", 1024)
QUICK_WARM = option("QUICK_WARM", 1)
QUICK_SPARE = option("QUICK_SPARE", 0)
QUICK_MAX = option("QUICK_MAX", 20)
QUICK_INPUTS = option("QUICK_INPUTS", 50)  # requests at the same time in one container
QUICK_TIMEOUT_S = option("QUICK_TIMEOUT_S", 180)

# How long an idle container stays, in seconds (2 to 3600).
IDLE_S = option("IDLE_S", 300)
# How long a container may take until it serves, self-test included.
STARTUP_S = option("STARTUP_S", 60)
# How long the worker may take to end. Modal kills a container 30 s after it was told to stop, and the
# last commit needs some of them.
STOP_S = option("STOP_S", 15)

# Fixed by the image and by the worker's defaults.
WORKER = "/opt/dreamcore/dreamcore-worker"
PORT = 8000
SOCKET = "/run/dreamcore/volume.sock"

# Every endpoint of the worker that needs the secret, each in one pool. A test compares the list with
# the worker's own table.
GENERATION = ["generate_game"]
QUICK = [
    "get_file", "list_files", "apply_files", "get_versions", "get_version_diff", "restore_version",
    "create_version_snapshot", "copy_project", "detect_intent", "detect_skills", "chat_haiku",
    "chat_sonnet", "generate_publish_info", "get_skill_content", "prewarm_sandbox", "upload_asset",
    "get_asset", "list_assets", "delete_asset", "restore_asset", "volume_changed",
]

# The variables of a container that the worker gets. None of Modal's but these: whoever has those
# acts as the container towards Modal.
PASSED_ON = ("DREAMCORE_", "ANTHROPIC_", "GEMINI_", "MODAL_INTERNAL_SECRET", "MODAL_IDENTITY_TOKEN")

# What to do about what /health/ready reports.
FIXES = {
    "data_dir": f"the volume {NAME}-data must be mounted there and writable: run `make setup` and `make deploy`",
    "claude_cli": "the image lacks the Claude CLI: build image/Dockerfile as it is, and leave "
    "DREAMCORE_CLAUDE_BIN unset",
    "anthropic_api_key": f"put ANTHROPIC_API_KEY into the secret {ANTHROPIC_SECRET}, or set up Vertex AI",
    "confinement": "the sandbox does not hold here: the attacks that were not denied are in the log "
    "above; docs/operations.md explains DREAMCORE_CONFINEMENT",
}

DATA = modal.Volume.from_name(f"{NAME}-data", version=VOLUME_VERSION)
GLOBAL = modal.Volume.from_name(f"{NAME}-global", version=VOLUME_VERSION)
IMAGE = modal.Image.from_dockerfile("image/Dockerfile", context_dir=".", add_python="3.12")


def secrets() -> list:
    """The secrets that were not left out, each with the keys that it must have."""
    wanted = [
        (INTERNAL_SECRET, ["MODAL_INTERNAL_SECRET"]),
        (ANTHROPIC_SECRET, ["ANTHROPIC_API_KEY"]),
        (GEMINI_SECRET, ["GEMINI_API_KEY"]),
        (VERTEX_SECRET, ["DREAMCORE_VERTEX_PROJECT"]),
        (SETTINGS_SECRET, []),
    ]
    return [modal.Secret.from_name(name, required_keys=keys) for name, keys in wanted if name != "-"]


def log(message: str) -> None:
    print(f"modal_app: {message}", file=sys.stderr, flush=True)


def reason_of(error: BaseException) -> str:
    """What a failed commit or reload was, in the words of the worker's protocol.

    Modal raises a RuntimeError for most of them, so that only its text and its cause tell.
    """
    causes, text = [], str(error).lower()
    while error is not None and error not in causes:
        causes.append(error)
        error = error.__cause__ or error.__context__
    if "open files" in text:
        return "open_files"
    if any(isinstance(cause, modal.exception.NotFoundError) for cause in causes) or "not found" in text:
        return "not_found"
    too_large = modal.exception.ResourceExhaustedError
    if any(isinstance(cause, too_large) for cause in causes) or "too large" in text:
        return "too_large"
    return "failed"


class VolumeSocket(threading.Thread):
    """Commits and reloads the volume for the worker: one connection a request, one line each way.

    It answers one connection after the other, so that there are never two calls at a time. The worker
    has a deadline of its own; a request whose sender has left meanwhile is not carried out.
    """

    LINE_BYTES = 4096
    READ_S = 5

    def __init__(self, volume, path: str = SOCKET):
        super().__init__(name="volume-socket", daemon=True)
        self.volume, self.turn, self.closing = volume, threading.Lock(), False
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        if os.path.exists(path):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        self.listener.bind(path)
        os.umask(before)
        self.listener.listen(64)

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            with connection:
                try:
                    self.serve(connection)
                except OSError as error:
                    log(f"the volume socket lost a request: {error}")

    def serve(self, connection: socket.socket):
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        if struct.unpack("3i", credentials)[1] != 0:
            return
        line, end = b"", time.monotonic() + self.READ_S
        while b"\n" not in line and len(line) <= self.LINE_BYTES:
            connection.settimeout(max(end - time.monotonic(), 0.001))
            piece = connection.recv(self.LINE_BYTES + 1 - len(line))
            if not piece:
                break
            line += piece
        left = select.poll()
        left.register(connection, select.POLLHUP)
        if not left.poll(0):
            connection.sendall(json.dumps(self.answer(line)).encode() + b"\n")

    def answer(self, line: bytes) -> dict:
        """Carries out a request."""
        try:
            if not line.endswith(b"\n") or len(line) > self.LINE_BYTES:
                raise ValueError(f"a request is one line of at most {self.LINE_BYTES} bytes")
            request = json.loads(line)
            if not isinstance(request, dict) or not isinstance(request.get("id"), str):
                raise ValueError("a request is an object with an id")
        except (ValueError, RecursionError) as error:
            return {"v": 1, "id": "", "ok": False, "reason": "failed", "message": str(error)}
        answer = {"v": 1, "id": request["id"], "ok": True}
        calls = {"commit": self.volume.commit, "reload": self.volume.reload}
        operation = request.get("op")
        if request.get("v") != 1 or not isinstance(operation, str) or operation not in calls:
            return answer | {"ok": False, "reason": "unsupported", "message": "version 1 has commit and reload"}
        with self.turn:
            if self.closing:
                return answer | {"ok": False, "reason": "busy", "message": "the container is being stopped"}
            try:
                calls[operation]()
            except Exception as error:
                reason = reason_of(error)
                log(f"{operation} failed: {error}")
                # A commit ends with a reload, and only that is refused for open files: the data is saved.
                if (operation, reason) != ("commit", "open_files"):
                    return answer | {"ok": False, "reason": reason, "message": str(error)[:1000]}
        return answer

    def close(self):
        """From now on every request is answered with busy, and nobody but the caller commits."""
        self.closing = True

    def commit_last(self, patience_s: float):
        """Commits what the worker has left. Modal commits once more afterwards."""
        if not self.turn.acquire(timeout=patience_s):
            return log("the last commit is left to Modal, because another one is still under way")
        try:
            self.volume.commit()
        except Exception as error:
            log(f"the last commit failed: {error}")
        finally:
            self.turn.release()


class Container:
    """What a container of either pool does at its start and at its end."""

    SETTINGS: dict = {}
    # Where the worker must answer with 200 before the container gets requests.
    SERVES_WHEN = "/health/ready"

    @modal.enter()
    def start(self):
        # Modal's own end of a container is SIGINT. SIGTERM would kill Python before the exit hook.
        signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        self.stopping, self.socket = False, VolumeSocket(DATA)
        self.socket.start()
        environment = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        environment = {"DREAMCORE_LOG_FORMAT": "json", **self.SETTINGS, **environment}
        environment |= {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "DREAMCORE_VOLUME_SOCKET": SOCKET}
        data = environment.get("DREAMCORE_DATA_DIR", "/data")
        if not os.access(data, os.W_OK):
            raise RuntimeError(f"{data} is missing or cannot be written: {FIXES['data_dir']}")
        self.worker = subprocess.Popen([WORKER, "serve"], env=environment, stdin=subprocess.DEVNULL)
        try:
            self.wait_until_it_serves()
        except BaseException:
            self.worker.kill()
            raise
        threading.Thread(target=self.end_with_the_worker, name="worker", daemon=True).start()

    def wait_until_it_serves(self):
        problems, end = {"worker": "does not answer"}, time.monotonic() + STARTUP_S
        while time.monotonic() < end:
            if self.worker.poll() is not None:
                raise RuntimeError(
                    f"the worker ended with code {self.worker.returncode} before it served; "
                    "its own message is in the log above and names the setting or secret to put right"
                )
            try:
                connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
                connection.request("GET", self.SERVES_WHEN)
                answer = connection.getresponse()
                body = answer.read()
                if answer.status == 200:
                    return
                problems = json.loads(body)["problems"]
                if "is being tested" not in problems.get("confinement", ""):
                    break
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.05)
        said = [f"{name}: {problem}. {FIXES.get(name, 'See the log above')}" for name, problem in problems.items()]
        raise RuntimeError("the worker is not ready. " + "; ".join(said))

    def end_with_the_worker(self):
        """Without its worker a container would answer every request with nothing."""
        code = self.worker.wait()
        if not self.stopping:
            log(f"the worker ended with code {code}; the container ends too, and Modal starts another")
            os.kill(os.getpid(), signal.SIGINT)

    @modal.exit()
    def stop(self):
        """The worker saves what is under way and ends; then what it wrote is committed."""
        self.stopping = True
        self.socket.close()
        self.worker.terminate()
        try:
            self.worker.wait(STOP_S)
        except subprocess.TimeoutExpired:
            log(f"the worker did not end within {STOP_S} s and is killed")
            self.worker.kill()
            self.worker.wait()
        self.socket.commit_last(patience_s=5)


def serves(endpoints: list):
    """Gives each endpoint a host: one method, whose label Modal makes the host's name of."""

    def add(container: type) -> type:
        for endpoint in endpoints:
            def nothing_to_start(self):
                """The worker serves already."""

            nothing_to_start.__name__ = endpoint
            nothing_to_start.__qualname__ = f"{container.__name__}.{endpoint}"
            label = f"{NAME}-{endpoint.replace('_', '-')}"
            method = modal.web_server(PORT, startup_timeout=STARTUP_S, label=label)(nothing_to_start)
            setattr(container, endpoint, method)
        return container

    return add


app = modal.App(NAME)
SHARED = {
    "image": IMAGE,
    "secrets": secrets(),
    "env": DEPLOYED,
    "volumes": {"/data": DATA, "/global": GLOBAL.with_mount_options(read_only=True)},
    "region": REGION or None,
    "nonpreemptible": bool(NONPREEMPTIBLE),
    "scaledown_window": IDLE_S,
    "startup_timeout": STARTUP_S * 2,
}


@app.cls(
    **SHARED,
    cpu=(GENERATION_CPU, GENERATION_CPU * 2),
    memory=(GENERATION_MEMORY_MIB // 2, GENERATION_MEMORY_MIB),
    min_containers=GENERATION_WARM,
    buffer_containers=GENERATION_SPARE,
    max_containers=GENERATION_MAX,
    timeout=GENERATION_TIMEOUT_S,
    single_use_containers=bool(GENERATION_SINGLE_USE),
)
@serves(GENERATION)
class Generation(Container):
    """Runs of the assistant."""

    # Three quarters of the container's memory for the run; the rest is the worker's and Modal's.
    SETTINGS = {
        "DREAMCORE_RUN_MEMORY_BYTES": str(GENERATION_MEMORY_MIB * 3 // 4 * 1024 * 1024),
        "DREAMCORE_SHUTDOWN_GRACE_S": "5",
    }


@app.cls(
    **SHARED,
    cpu=(QUICK_CPU, QUICK_CPU * 4),
    memory=(QUICK_MEMORY_MIB // 2, QUICK_MEMORY_MIB),
    min_containers=QUICK_WARM,
    buffer_containers=QUICK_SPARE,
    max_containers=QUICK_MAX,
    timeout=QUICK_TIMEOUT_S,
)
@modal.concurrent(max_inputs=QUICK_INPUTS)
@serves(QUICK)
class Quick(Container):
    """Files, versions, assets and short questions."""

    SETTINGS = {"DREAMCORE_SHUTDOWN_GRACE_S": "5"}
    # Files are served whether games can be generated or not.
    SERVES_WHEN = "/health/live"
