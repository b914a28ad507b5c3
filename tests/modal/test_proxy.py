"""What Modal's proxy does to requests, and that the worker bears it.

The proxy runs in the container as Modal ships it. It forwards headers of bodies that it does not send,
sends bodies without a length, and knows no host but the one in the header.
"""

import json
import re
import time

import pytest
from conftest import needs_root
from container import ids
from test_container import script

pytestmark = needs_root


@pytest.fixture
def quick(start):
    return start("Quick")


def query(project: dict, **more) -> str:
    return "&".join(f"{name}={value}" for name, value in (project | more).items())


def test_the_body_of_a_get_is_announced_and_never_sent(quick):
    for headers in ({"content-length": "5"}, {"transfer-encoding": "chunked"}):
        begin = time.monotonic()
        answer = quick.send("list_files", query=query(ids()), headers=headers).whole(10)
        assert (answer.status, answer.json()["files"]) == (404, [])
        assert time.monotonic() - begin < 5
    # The same with a secret that is wrong: nothing waits for the body there either.
    answer = quick.send("list_files", query=query(ids()), headers={"content-length": "5"}, secret="wrong" * 10)
    assert answer.whole(10).status == 401


def test_a_post_without_a_length_comes_in_pieces(quick):
    body = json.dumps(ids() | {"files": [{"path": "index.html", "content": "<p>" + "é" * 300_000}]}).encode()
    pieces = [body[at:at + 100_000] for at in range(0, len(body), 100_000)]
    answer = quick.send("apply_files", method="POST", headers={"content-type": "application/json"}, body=pieces)
    assert [event["type"] for event in answer.whole().events()][-2:] == ["result", "done"]


def test_the_host_decides_what_the_root_is_and_paths_work_on_every_host(quick):
    project = ids()
    files = [{"path": "index.html", "content": "<p>hello"}]
    assert quick.post("apply_files", project | {"files": files}).whole().events()[-1]["type"] == "done"
    assert quick.send("list_files", query=query(project)).whole().json() == {"files": ["index.html"]}
    assert quick.send("get_file", query=query(project)).whole().body == b"<p>hello"
    # The method that Modal chose means nothing to the worker; the host does.
    crossed = quick.send("get_file", host="acme--dreamcore-list-files.modal.run", query=query(project))
    assert crossed.whole().json() == {"files": ["index.html"]}
    for path in ("/list_files", "/list-files"):
        assert quick.send("get_file", path=path, query=query(project)).whole().json() == {"files": ["index.html"]}
    assert quick.send("get_file", host="acme--something-else.modal.run").whole().status == 404


def test_ranges_conditions_and_heads_pass(quick):
    project = ids()
    files = [{"path": "a.txt", "content": "0123456789"}]
    assert quick.post("apply_files", project | {"files": files}).whole().events()[-1]["type"] == "done"
    asked = query(project, path="a.txt")
    whole = quick.send("get_file", query=asked).whole()
    assert (whole.status, whole.body) == (200, b"0123456789")
    part = quick.send("get_file", query=asked, headers={"range": "bytes=2-4"}).whole()
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    same = quick.send("get_file", query=asked, headers={"if-none-match": whole.headers["etag"]}).whole()
    assert (same.status, same.body) == (304, b"")
    head = quick.send("get_file", method="HEAD", query=asked).whole()
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "10")


def test_a_stream_begins_at_once_and_is_never_silent_for_long(start, tmp_path):
    container = start("Generation", scripts=script(tmp_path, "sleep 13"))
    begin = time.monotonic()
    answer = container.post("generate_game", ids() | {"prompt": "slowly"})
    answer.until(":", 20)
    assert answer.status == 200 and re.match(rb":|id:|data:", answer.body)
    first = time.monotonic() - begin
    answer.whole(90)
    assert answer.events()[-1]["type"] == "done"
    times = [at for at, _ in answer.pieces]
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    # A comment comes after 10 s; a slow machine adds some.
    assert 9 < max(gaps) < 12, gaps
    assert any(piece.lstrip().startswith(b":") for _, piece in answer.pieces[1:])
    assert first < answer.pieces[-1][0] - begin


def test_many_requests_at_the_same_time_share_one_container(quick):
    project = ids()
    files = [{"path": "index.html", "content": "x" * 200_000}]
    assert quick.post("apply_files", project | {"files": files}).whole().events()[-1]["type"] == "done"
    answers = [quick.send("get_file", query=query(project)) for _ in range(50)]
    assert {(answer.whole().status, len(answer.body)) for answer in answers} == {(200, 200_000)}
