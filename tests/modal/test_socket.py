"""The socket by which the worker asks for commits and reloads, in a real container, with Modal's own calls."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest
from conftest import needs_root
from grpclib import GRPCError, Status

pytestmark = needs_root
SOCKET = "/run/dreamcore/volume.sock"


class Client:
    """Asks as the worker does."""

    def __init__(self, container):
        self.container, self.path = container, f"/proc/{container.python()}/root{SOCKET}"

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        connection.connect(self.path)
        return connection

    def raw(self, line: bytes) -> dict:
        with self.connect() as connection:
            connection.sendall(line)
            return json.loads(connection.makefile("rb").readline())

    def ask(self, operation, **more) -> dict:
        request = {"v": 1, "id": "11111111-1111-4111-8111-111111111111", "op": operation} | more
        return self.raw(json.dumps(request).encode() + b"\n")


@pytest.fixture
def client(start):
    container = start("Quick")
    container.send("list_files", query="user_id=x").whole()
    return Client(container)


def test_commit_and_reload_reach_the_data_volume(client):
    for operation in ("commit", "reload"):
        assert client.ask(operation) == {"v": 1, "id": "11111111-1111-4111-8111-111111111111", "ok": True}
    calls = client.container.modal.volume_calls
    assert [call for call in calls if call[2] == "begins"] == [
        ("commit", "vo-dreamcore-data", "begins"), ("reload", "vo-dreamcore-data", "begins"),
    ]


@pytest.mark.parametrize("status, text, reason", [
    (Status.FAILED_PRECONDITION, "there are open files preventing the operation", "open_files"),
    (Status.NOT_FOUND, "no volume with this id", "not_found"),
    (Status.RESOURCE_EXHAUSTED, "more than the volume may hold", "too_large"),
    (Status.ABORTED, "somebody else was faster", "failed"),
    (Status.PERMISSION_DENIED, "not yours", "failed"),
])
@pytest.mark.parametrize("operation", ["commit", "reload"])
def test_errors_are_passed_on_as_what_they_are(client, status, text, reason, operation):
    client.container.modal.volume_errors[operation] = GRPCError(status, text)
    answer = client.ask(operation)
    if (operation, reason) == ("commit", "open_files"):
        # The reload at the end of a commit was refused, and the commit itself was not.
        assert answer["ok"] and text in client.container.log()
        return
    assert (answer["ok"], answer["reason"]) == (False, reason), answer
    assert text in answer["message"]


def test_nonsense_is_answered_and_the_next_request_works(client):
    for line, reason in [
        (b"\n", "failed"), (b"{}\n", "failed"), (b"[1]\n", "failed"), (b'{"v":1,"id":7,"op":"commit"}\n', "failed"),
        (b"\xff\xfe\n", "failed"), (b"[" * 4000 + b"\n", "failed"), (b"x" * 5000, "failed"),
    ]:
        answer = client.raw(line)
        assert (answer["id"], answer["ok"], answer["reason"]) == ("", False, reason), line
    for more in [{"v": 2}, {"v": "1"}, {"op": "format"}, {"op": ["commit"]}, {"op": None}]:
        answer = client.ask("commit", **more)
        assert (answer["id"][:8], answer["reason"]) == ("11111111", "unsupported"), more
    assert client.container.modal.volume_calls == []
    assert client.ask("commit")["ok"]


def test_who_says_nothing_does_not_block_the_others_for_ever(client):
    with client.connect():
        begin = time.monotonic()
        assert client.ask("commit")["ok"]
        assert time.monotonic() - begin < 15
    assert "lost a request" in client.container.log()


def test_there_are_never_two_calls_at_a_time(client):
    client.container.modal.volume_delay_s = 0.2
    asked = [threading.Thread(target=client.ask, args=(operation,)) for operation in ["commit", "reload"] * 3]
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join(30)
    states = [call[2] for call in client.container.modal.volume_calls]
    assert states == ["begins", "ends"] * 6


def test_a_request_whose_sender_has_left_is_not_carried_out(client):
    client.container.modal.volume_delay_s = 1.0
    waiting = threading.Thread(target=client.ask, args=("commit",))
    waiting.start()
    time.sleep(0.3)
    with client.connect() as connection:
        connection.sendall(b'{"v":1,"id":"gone","op":"reload"}\n')
    waiting.join(10)
    assert client.ask("commit")["ok"]
    assert {call[0] for call in client.container.modal.volume_calls} == {"commit"}


def test_only_root_may_ask(client):
    inside = os.path.dirname(client.path)
    assert os.stat(inside).st_mode & 0o777 == 0o700
    assert os.stat(client.path).st_mode & 0o777 == 0o600
    program = (
        "import os, socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(10)\n"
        f"os.chdir({inside!r})\n"
        "os.setgid(1000); os.setuid(1000)\n"
        "s.connect('volume.sock'); s.sendall(b'{\"v\":1,\"id\":\"a\",\"op\":\"commit\"}\\n'); print(s.recv(99))\n"
    )
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "PermissionError" in asked.stderr
    # Were the modes wrong, the peer's user would still be looked at.
    os.chmod(inside, 0o755)
    os.chmod(client.path, 0o666)
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    refused = asked.stdout == "b''\n" or re.search("ConnectionResetError|BrokenPipeError", asked.stderr)
    assert refused, asked
    assert client.container.modal.volume_calls == []
    assert client.ask("commit")["ok"]
