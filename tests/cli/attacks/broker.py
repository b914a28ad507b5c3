"""A process in the sandbox that has the run's token and means ill: `broker.py ATTACK`.

It speaks to the broker over plain sockets, so that it can send what no HTTP library would, and
prints how often it got which answer, as JSON. `None` is a connection that was closed on it.
"""

import collections
import json
import os
import select
import socket
import sys
import threading
import time

HOST, PORT = os.environ["ANTHROPIC_BASE_URL"].removeprefix("http://").split(":")
KEY = os.environ["ANTHROPIC_API_KEY"]
MIB = 1 << 20
MESSAGES = "/v1/messages?beta=true"
COUNT = "/v1/messages/count_tokens?beta=true"

answers = collections.Counter()


def head(path, length, extra=""):
    return (
        f"POST {path} HTTP/1.1\r\nhost: broker\r\nx-api-key: {KEY}\r\n"
        f"content-type: application/json\r\nanthropic-version: 2023-06-01\r\n"
        f"{extra}content-length: {length}\r\n\r\n"
    ).encode()


def connect():
    return socket.create_connection((HOST, int(PORT)), timeout=30)


def status(connection):
    """The status of the next answer; None if the broker closes the connection instead."""
    text = b""
    while b"\r\n" not in text:
        piece = connection.recv(4096)
        if not piece:
            return None
        text += piece
    return int(text.split()[1])


def post(path, body, length=None, extra="", wait=True):
    """One request on a connection of its own, and its status."""
    try:
        with connect() as connection:
            connection.sendall(head(path, len(body) if length is None else length, extra))
            connection.sendall(body)
            answer = status(connection) if wait else None
    except OSError:
        answer = None
    answers[answer] += 1
    return answer


def at_once(count, work):
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def padded(before, unit, after, size=31 * MIB):
    """A body of this size, most of which is one text again and again."""
    count = (size - len(before) - len(after)) // len(unit)
    return before + unit * count + after


def message(prompt, **more):
    """What a well-behaved client would ask; a tool makes it a turn of the script."""
    return json.dumps({
        "model": "claude-x",
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": prompt}],
        "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
        **more,
    }).encode()


def bombs():
    """Bodies that become a hundred times as large when they are read into values."""
    start = b'{"model":"claude-x","max_tokens":1,'
    bodies = [
        padded(start + b'"container":[', b'{"":0},', b"{}]}"),
        padded(start + b'"metadata":[', b"[],", b"[]]}"),
        padded(start + b'"messages":[', b'{"":0},', b"{}]}"),
        padded(start + b'"tools":[', b"{},", b"{}]}"),
        padded(start + b'"system":[', b"0,", b"0]}"),
    ]
    for body in bodies:
        at_once(2, lambda: post(COUNT, body))


def stalled():
    """Bodies that are promised, nearly sent, and then not finished."""
    body = b" " * (32 * MIB - 100_000)
    until = time.monotonic() + 25

    def hold():
        try:
            with connect() as connection:
                connection.sendall(head(MESSAGES, 32 * MIB))
                connection.sendall(body)
                connection.settimeout(max(0.1, until - time.monotonic()))
                answers[status(connection)] += 1
        except OSError:
            answers[None] += 1

    at_once(31, hold)


def refused():
    """Bodies that are refused only when most of them has been read, as many as possible."""
    body = padded(b'{"model":"claude-x","max_tokens":1,"messages":[', b"0,", b"oops]}")
    until = time.monotonic() + 12

    def again():
        while time.monotonic() < until:
            if post(MESSAGES, body) is None:
                time.sleep(0.05)

    at_once(8, again)


def crumbs():
    """Bodies in pieces of one byte, each of which costs the reader more than the sender."""
    chunks = b"1\r\n \r\n" * 200_000
    until = time.monotonic() + 12

    def chunked():
        while time.monotonic() < until:
            try:
                with connect() as connection:
                    start = head(MESSAGES, 0).replace(b"content-length: 0", b"transfer-encoding: chunked")
                    connection.sendall(start)
                    for _ in range(20):
                        connection.sendall(chunks)
                    answers[status(connection)] += 1
            except OSError:
                answers[None] += 1
                time.sleep(0.05)

    def single():
        while time.monotonic() < until:
            try:
                with connect() as connection:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    connection.sendall(head(MESSAGES, MIB))
                    for _ in range(MIB - 1):
                        connection.send(b" ")
                    answers[status(connection)] += 1
            except OSError:
                answers[None] += 1
                time.sleep(0.05)

    at_once(4, lambda: (chunked if threading.current_thread().name.endswith(("1", "3")) else single)())


def parallel():
    """As many messages at the same time as there are connections."""
    at_once(28, lambda: post(MESSAGES, message("[script:slow]", stream=True, max_tokens=50_000)))


def crowd():
    """More messages at the same time than a run may have, each waited for to its end."""

    def whole():
        body = message("[script:slow]", stream=True)
        with connect() as connection:
            connection.sendall(head(MESSAGES, len(body), "connection: close\r\n") + body)
            answers[status(connection)] += 1
            while connection.recv(65536):
                pass

    at_once(12, whole)


def held():
    """The largest messages, of a model that is silent, as many as possible."""
    body = message("[case:silent]", stream=True)
    body = padded(body[:-1] + b',"system":"', b"word ", b'"}')
    at_once(8, lambda: post(MESSAGES, body))


def hang_ups():
    """Messages that nobody waits for: the model has been asked, and no answer says what it cost."""
    for _ in range(40):
        try:
            with connect() as connection:
                body = message("[script:slow]", stream=True)
                connection.sendall(head(MESSAGES, len(body)) + body)
                time.sleep(0.3)
        except OSError:
            pass


def flood():
    """Requests that cost next to nothing, without end."""
    until = time.monotonic() + 15

    def again():
        while time.monotonic() < until:
            try:
                with connect() as connection:
                    connection.sendall(b"HEAD /api/hello HTTP/1.1\r\nhost: broker\r\n\r\n" * 100)
                    while connection.recv(65536):
                        connection.sendall(b"HEAD /api/hello HTTP/1.1\r\nhost: broker\r\n\r\n" * 10)
                        answers[200] += 10
            except OSError:
                answers[None] += 1
                time.sleep(0.05)

    at_once(8, again)


def deaf():
    """Long answers that are asked for and not read."""
    body = message("[script:long]", stream=True)
    connections = []
    for _ in range(30):
        connection = connect()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(head(MESSAGES, len(body)) + body)
        connections.append(connection)
    time.sleep(15)
    begun, _, _ = select.select(connections, [], [], 0)
    answers["begun"] = len(begun)
    answers["waiting"] = len(connections) - len(begun)


globals()[sys.argv[1]]()
print(json.dumps({str(answer): count for answer, count in answers.items()}, sort_keys=True))
