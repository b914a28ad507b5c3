#!/usr/bin/env python3
"""Fetches two versions of gVisor's runsc, as Debian packages them, into .tools/gvisor.

A package is checked against its SHA256 before it is opened. What cannot be had is said and left
out; the tests that need it then say so too.
"""

import hashlib
import io
import lzma
import os
import platform
import sys
import tarfile
import urllib.request

POOL = "http://deb.debian.org/debian/pool/main/g/golang-gvisor-gvisor/"
# By SHA1, because that is how the archive of everything that Debian ever had names its files.
ARCHIVE = "https://snapshot.debian.org/file/"
VERSIONS = {
    "newer": (
        "runsc_0.0~20240729.0-4+b7_amd64.deb",
        "3c25a5130dfac2f71237d5baad56ac86a255de87a0400f11b36a555156dc325a",
        "483c7092ec39891177faa91ef68bf98ec347c542",
    ),
    "older": (
        "runsc_0.0~20221219.0-2+b3_amd64.deb",
        "7183537aca11632026e71d4b2140f463c8e9a433e6cf8ea81e73f82710aabcd8",
        "20208f507039ec30362a9930101db82ff4dc6255",
    ),
}


def download(name, sha256, sha1):
    reasons = []
    for url in (POOL + name, ARCHIVE + sha1):
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                package = answer.read()
        except OSError as error:
            reasons.append(f"{url}: {error}")
            continue
        if hashlib.sha256(package).hexdigest() == sha256:
            return package
        reasons.append(f"{url}: is not the package that is expected")
    raise OSError("; ".join(reasons))


def program_in(package):
    """The program in a package: an ar archive with, among others, data.tar.xz."""
    place = 8
    while place < len(package):
        name = package[place : place + 16].rstrip(b" /")
        size = int(package[place + 48 : place + 58])
        place += 60
        if name == b"data.tar.xz":
            data = lzma.decompress(package[place : place + size])
            with tarfile.open(fileobj=io.BytesIO(data)) as files:
                return files.extractfile("./usr/bin/runsc").read()
        place += size + size % 2
    raise OSError("the package has no data.tar.xz")


def main(folder):
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        print("SKIPPED: gVisor is not fetched, its tests run on Linux on x86-64 only")
        return
    for version, (name, sha256, sha1) in VERSIONS.items():
        program = os.path.join(folder, version, "runsc")
        stamp = os.path.join(folder, version, name + ".stamp")
        if os.path.exists(program) and os.path.exists(stamp):
            continue
        try:
            content = program_in(download(name, sha256, sha1))
        except (OSError, KeyError, ValueError, lzma.LZMAError) as error:
            print(f"SKIPPED: gVisor ({version}) cannot be fetched, and nothing is tested in it: {error}")
            continue
        os.makedirs(os.path.dirname(program), exist_ok=True)
        with open(program + ".new", "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o755)
        os.replace(program + ".new", program)
        with open(stamp, "w"):
            pass


if __name__ == "__main__":
    main(sys.argv[1])
