"""Runs the deployed definition as Modal runs it: by Modal's own container entry point, before the real worker.

Each container has namespaces of its own for processes, mounts and network, so that port 8000, `/run` and
`/opt/dreamcore` are its own, and nothing outlives it. The model is played by `scripted-api` inside.
A request takes Modal's way: an input with its ASGI scope, the body in pieces, the answer in pieces.
"""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

from local_modal import Call, LocalModal, Running
from modal._serialization import deserialize_data_format, serialize_data_format
from modal_proto import api_pb2

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
SECRET = "a-secret-that-only-the-tests-know-0123456789"
KEY = "sk-key-that-only-the-broker-may-know"
ASGI = api_pb2.DATA_FORMAT_ASGI

BOOT = """
set -e
ip link set lo up
ip link add eth0 type bridge
ip addr add 10.11.12.13/24 dev eth0
ip link set eth0 up
mount -t tmpfs none /run
mount -t tmpfs none /opt
mkdir /opt/dreamcore
for name in worker confine probe import; do ln -s "$PROGRAMS/dreamcore-$name" /opt/dreamcore/; done
$BEFORE
"$PROGRAMS/scripted-api" --listen 127.0.0.1:8001 $SCRIPTS > "$FOLDER/api.log" 2>&1 &
# A shell's background jobs ignore SIGINT, and with them all that the tests start there.
env --default-signal=INT "$PYTHON" -m modal._container_entrypoint
"""


class Answer:
    """The answer to one request, as it comes."""

    def __init__(self, call: Call):
        self.call, self.status, self.headers, self.body, self.ended = call, None, {}, b"", None
        self.pieces: list[tuple[float, bytes]] = []

    def step(self, patience_s: float) -> bool:
        """Takes the next piece. False at the end of the input."""
        if self.ended is not None:
            return False
        kind, item = self.call.outgoing.get(timeout=patience_s)
        if kind == "end":
            self.ended = item.result.status
            return False
        message = deserialize_data_format(item.data, item.data_format, None)
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode().lower(): value.decode() for name, value in message.get("headers", [])}
        elif message.get("body"):
            self.body += message["body"]
            self.pieces.append((time.monotonic(), message["body"]))
        return True

    def until(self, text: str, patience_s: float = 30):
        """Reads until the body contains a text."""
        end = time.monotonic() + patience_s
        while text.encode() not in self.body:
            assert self.step(max(end - time.monotonic(), 0.01)), f"ended without {text!r}: {self.body!r}"
        return self

    def whole(self, patience_s: float = 60):
        end = time.monotonic() + patience_s
        while self.step(max(end - time.monotonic(), 0.01)):
            pass
        return self

    def json(self):
        return json.loads(self.body)

    def events(self) -> list[dict]:
        lines = self.body.decode().splitlines()
        return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


class Container:
    """One container of a pool. `data` and `global_` are its mounts; containers may share them."""

    def __init__(self, definition: api_pb2.Function, folder: Path, data: Path, global_: Path, *, variables=None,
                 before="", scripts=""):
        folder.mkdir(parents=True)
        self.folder, self.data, self.number = folder, data, 0
        self.modal = LocalModal()
        self.server = Running(self.modal, str(folder / "m.sock"))
        # In a container there is nothing but this file.
        shutil.copy(ROOT / "modal_app.py", folder)
        (folder / "arguments").write_bytes(arguments(definition))
        environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "HOME": str(folder), "PROGRAMS": str(PROGRAMS),
            "FOLDER": str(folder), "PYTHON": sys.executable, "BEFORE": "", "SCRIPTS": scripts,
            "MODAL_CONTAINER_ARGUMENTS_PATH": str(folder / "arguments"), "MODAL_IS_REMOTE": "1",
            "MODAL_SERVER_URL": f"unix://{folder / 'm.sock'}", "MODAL_TASK_ID": "ta-1",
            "MODAL_IDENTITY_TOKEN": "an-identity-token-of-modal",
            "MODAL_INTERNAL_SECRET": SECRET, "ANTHROPIC_API_KEY": KEY, "GEMINI_API_KEY": "a-gemini-key",
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:8001",
            "DREAMCORE_CLAUDE_BIN": str(ROOT / ".tools/claude"),
            "DREAMCORE_DATA_DIR": str(data), "DREAMCORE_GLOBAL_DIR": str(global_),
            "DREAMCORE_SCRATCH_DIR": str(folder / "scratch"),
        } | (variables or {})
        environment = {name: value for name, value in environment.items() if value is not None}
        self.log_path = folder / "log"
        (folder / "boot").write_text(BOOT.replace("$BEFORE", before))
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", folder / "boot"],
                env=environment, cwd=folder, stdout=log, stderr=log,
            )

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def find(self, word: str) -> int:
        """The process of this container whose command line contains a word."""
        for pid in descendants(self.process.pid):
            if word in command_line(pid):
                return pid
        raise AssertionError(f"no {word} in the container: {self.log()}")

    def python(self) -> int:
        return self.find("modal._container_entrypoint")

    def signal(self, which: signal.Signals):
        os.kill(self.python(), which)

    def send(self, method_name: str, *, method="GET", path="/", query="", headers=None, body=(b"",), host=None,
             secret=SECRET) -> Answer:
        """Hands in a request. `body` is what is sent of it; None in it stands for silence from there on."""
        self.number += 1
        label = method_name.replace("_", "-")
        fields = {"host": host or f"acme--dreamcore-{label}.modal.run", **(headers or {})}
        if secret:
            fields["x-modal-secret"] = secret
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "https",
            "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
            "client": ("203.0.113.7", 4711), "server": ("acme.modal.run", 443),
        }
        call = Call(self.number, method_name, scope)
        self.modal.live[call.id] = call
        pieces = list(body)
        silent = bool(pieces) and pieces[-1] is None
        pieces = [piece for piece in pieces if piece is not None]
        for index, piece in enumerate(pieces, 1):
            more = silent or index < len(pieces)
            self.server.soon(call.incoming.put_nowait, chunk(index, http_request(piece, more)))
        call.sent = len(pieces)
        arguments = serialize_data_format(((scope,), {}), api_pb2.DATA_FORMAT_PICKLE)
        given = api_pb2.FunctionInput(args=arguments, data_format=api_pb2.DATA_FORMAT_PICKLE, method_name=method_name)
        item = api_pb2.FunctionGetInputsItem(
            input_id=f"in-{self.number}", function_call_id=call.id, input=given,
            function_call_invocation_type=api_pb2.FUNCTION_CALL_INVOCATION_TYPE_SYNC,
        )
        self.server.soon(self.modal.inputs.put_nowait, item)
        return Answer(call)

    def post(self, method_name: str, body: dict, **more) -> Answer:
        text = json.dumps(body, ensure_ascii=False).encode()
        headers = {"content-type": "application/json", "content-length": str(len(text)), **more.pop("headers", {})}
        return self.send(method_name, method="POST", headers=headers, body=[text], **more)

    def leave(self, answer: Answer):
        """The client closes its connection."""
        call = answer.call
        call.sent += 1
        self.server.soon(call.incoming.put_nowait, chunk(call.sent, {"type": "http.disconnect"}))

    def drain(self):
        """No more inputs: the container ends by itself."""
        self.server.soon(self.modal.inputs.put_nowait, None)

    def wait(self, patience_s: float = 45) -> int:
        return self.process.wait(patience_s)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.server.close()


def chunk(index: int, message: dict) -> api_pb2.DataChunk:
    return api_pb2.DataChunk(index=index, data_format=ASGI, data=serialize_data_format(message, ASGI))


def http_request(body: bytes, more: bool) -> dict:
    return {"type": "http.request", "body": body, "more_body": more}


def arguments(definition: api_pb2.Function) -> bytes:
    """What Modal writes for the entry point: the deployed function, and the names of all objects."""
    name = definition.function_name
    layout = api_pb2.AppLayout()
    layout.function_ids[name] = "fu-1"
    layout.class_ids[name.removesuffix(".*")] = "cs-1"
    metadata = api_pb2.FunctionHandleMetadata(function_name=name, is_method=False)
    for method, defined in definition.method_definitions.items():
        metadata.method_handle_metadata[method].function_name = defined.function_name
    layout.objects.add(object_id="fu-1", function_handle_metadata=metadata)
    layout.objects.add(object_id="cs-1", class_handle_metadata=api_pb2.ClassHandleMetadata())
    for dependency in definition.object_dependencies:
        if dependency.object_id.startswith("vo-"):
            metadata = api_pb2.VolumeMetadata(version=2)
            layout.objects.add(object_id=dependency.object_id, volume_metadata=metadata)
        else:
            layout.objects.add(object_id=dependency.object_id)
    told = api_pb2.ContainerArguments(
        task_id="ta-1", function_id="fu-1", app_id="ap-1", function_def=definition, app_layout=layout,
        environment_name="main",
    )
    return told.SerializeToString()


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def descendants(pid: int) -> list[int]:
    found, waiting = [], [pid]
    while waiting:
        parent = waiting.pop()
        found.append(parent)
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def ids() -> dict:
    return {"user_id": str(uuid.uuid4()), "project_id": str(uuid.uuid4())}


__all__ = ["Answer", "Container", "KEY", "PROGRAMS", "ROOT", "SECRET", "descendants", "ids", "queue"]
