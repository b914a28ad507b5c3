"""What a game gets when it asks for something: its own files, the libraries in node_modules, or nothing.

The page believes that it is at https://game.invalid/, where modules and import maps work as they do when a game is
served. No request leaves the machine.
"""

import base64
import mimetypes
import re
import struct
import zlib
from pathlib import Path
from urllib.parse import unquote, urlsplit

ORIGIN = "https://game.invalid"

# p5 and three at the CDNs that games name: …/npm/p5@1.11.3/lib/p5.min.js, …/three@0.170.0/build/three.module.js,
# …/ajax/libs/p5.js/1.11.3/p5.min.js. The version may be missing.
NPM = re.compile(r"^/(?:npm/)?(?P<name>p5|three)(?:@(?P<version>[^/]+))?/(?P<file>.+)$")
CDNJS = re.compile(r"^/ajax/libs/(?P<name>p5|three)\.js/(?P<version>[^/]+)/(?P<file>.+)$")
CDN_HOSTS = ("cdn.jsdelivr.net", "unpkg.com", "cdnjs.cloudflare.com", "esm.sh")

TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".html": "text/html; charset=utf-8"}


def checkered_png(size=64):
    """A picture for what only the relay has: assets of users."""
    rows = b"".join(
        b"\0" + b"".join(b"\xe8\x8c\xb4\xff" if (x // 8 + y // 8) % 2 else b"\x5a\x7f\xc4\xff" for x in range(size))
        for y in range(size)
    )

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Network:
    """The files of one game and of the libraries. `missing` and `outside` say what could not be answered."""

    def __init__(self, folder, libraries):
        self.folder = Path(folder).resolve()
        self.libraries = Path(libraries)
        self.missing = []
        self.outside = []
        self.libraries_used = set()

    def answer(self, url):
        """The status, media type and body for a URL."""
        parts = urlsplit(url)
        path = unquote(parts.path)
        if f"{parts.scheme}://{parts.netloc}" == ORIGIN:
            return self._own(path)
        if parts.netloc in CDN_HOSTS:
            found = NPM.match(path) or CDNJS.match(path)
            if found and (file := self._library(**found.groupdict())):
                return self._file(file)
        self.outside.append(url)
        return 404, "text/plain", b""

    def _own(self, path):
        if path.startswith("/user-assets/"):
            return 200, "image/png", checkered_png()
        if path == "/favicon.ico":
            return 204, "image/x-icon", b""
        file = (self.folder / path.lstrip("/")).resolve()
        if file == self.folder:
            file = self.folder / "index.html"
        if self.folder not in file.parents or not file.is_file():
            self.missing.append(path)
            return 404, "text/plain", b"not found"
        return self._file(file)

    def _library(self, name, version, file):
        # Games of p5's first major version call functions that the second no longer has.
        major = (version or "").split(".")[0]
        package = "p5-1" if name == "p5" and major in ("0", "1") else name
        root = (self.libraries / package).resolve()
        places = (root / file, root / "lib" / file, root / "build" / file)
        found = next((place for place in places if place.is_file() and root in place.resolve().parents), None)
        if found:
            self.libraries_used.add(f"{name}@{version or ''}")
        return found

    @staticmethod
    def _file(path):
        kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return 200, kind, path.read_bytes()

    def fulfil(self, browser, session, params):
        """Answers a paused request of the page."""
        status, kind, body = self.answer(params["request"]["url"])
        headers = {"Content-Type": kind, "Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}
        answer = {
            "requestId": params["requestId"],
            "responseCode": status,
            "responseHeaders": [{"name": name, "value": value} for name, value in headers.items()],
            "body": base64.b64encode(body).decode(),
        }
        browser.forget(browser.begin("Fetch.fulfillRequest", answer, session))
