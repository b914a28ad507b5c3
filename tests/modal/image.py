#!/usr/bin/env python3
"""Runs a whole generation in the built image, inside a real gVisor, and shows sizes and times.

Root, and an image `dreamcore-worker` that buildah built (`make image`). The image gets nothing but the scripted
model API, which is mounted beside it; bash in the image is the client.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNSC = ROOT / ".tools/gvisor/newer/runsc"
SECRET = "a-secret-that-only-this-test-knows-0123456789"
IDS = "11111111-1111-4111-8111-111111111111"

# The client, in the image's own bash. Times are milliseconds since the start of the container.
INSIDE = r"""
begin=${EPOCHREALTIME/./}
since() { echo "$1 $(( (${EPOCHREALTIME/./} - begin) / 1000 ))" >> /test/out/times; }
ask() { # METHOD PATH BODY
    exec 3<>/dev/tcp/127.0.0.1/8000 || return 1
    printf '%s %s HTTP/1.1\r\nHost: image\r\nConnection: close\r\nX-Modal-Secret: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' \
        "$1" "$2" "$MODAL_INTERNAL_SECRET" "${#3}" "$3" >&3
}
/test/scripted-api --listen 127.0.0.1:8001 > /test/out/api 2>&1 &
dreamcore-worker serve 2> /test/out/log &
until ask GET /health/live "" 2>/dev/null; do sleep 0.02; done
since listening
until ask GET /health/ready "" && grep -q '"status":"ready"' <&3; do sleep 0.05; done
since ready
grep VmRSS "/proc/$!/status" > /test/out/memory
ask POST /generate_game "{\"user_id\":\"$ID\",\"project_id\":\"$ID\",\"prompt\":\"[script:small] A page.\"}"
while IFS= read -r line <&3; do
    echo "$line" >> /test/out/stream
    case "$line" in *'"type":"stream"'*) [ -n "$text" ] || { text=1; since first_text; };; esac
done
since done
ask GET "/get_file?user_id=$ID&project_id=$ID" ""; cat <&3 > /test/out/file
claude --version > /test/out/claude
kill -TERM %2; wait %2; echo "$?" > /test/out/code
find / -xdev -perm /6000 -type f > /test/out/setuid
for tool in node npm gcc cc cargo; do command -v "$tool"; done > /test/out/unwanted
for tool in bash ls find grep sed jq tar diff; do command -v "$tool" >/dev/null || echo "$tool"; done > /test/out/missing
id -u claude > /test/out/user
"""


def buildah(*arguments) -> str:
    environment = os.environ | {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}
    return subprocess.run(["buildah", *arguments], env=environment, text=True, check=True, stdout=subprocess.PIPE).stdout.strip()


def configuration(root: str, test: str) -> dict:
    capabilities = ["CAP_" + name for name in (
        "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP SYS_ADMIN SYS_CHROOT SYS_PTRACE NET_ADMIN "
        "NET_BIND_SERVICE NET_RAW MKNOD SETFCAP AUDIT_WRITE").split()]
    variables = {
        "PATH": "/opt/dreamcore:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8",
        "MODAL_INTERNAL_SECRET": SECRET, "ANTHROPIC_API_KEY": "offline", "ID": IDS,
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:8001",
    }
    return {
        "ociVersion": "1.0.0", "hostname": "image", "root": {"path": root},
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": ["bash", "/test/inside"], "cwd": "/",
            "env": [f"{name}={value}" for name, value in variables.items()],
            "capabilities": {kind: capabilities for kind in ("bounding", "effective", "inheritable", "permitted")},
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/test", "type": "bind", "source": test, "options": ["rbind", "rw"]},
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
    }


def size_mib(path: Path) -> float:
    listed = subprocess.run(["du", "-sx", "--block-size=1K", path], text=True, stdout=subprocess.PIPE).stdout
    return int(listed.split()[0]) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=Path, default=ROOT / "target/debug")
    programs = parser.parse_args().programs.resolve()
    if os.geteuid() != 0 or not RUNSC.is_file():
        print("SKIPPED: root and `make gvisor` are needed")
        return 0
    try:
        container = buildah("from", "--pull-never", "dreamcore-worker")
    except (OSError, subprocess.CalledProcessError):
        print("the image is not there: run `make image` (and before it `make image-bases`, without a registry)")
        return 1
    mounted = buildah("mount", container)
    try:
        with tempfile.TemporaryDirectory() as folder:
            test, out = Path(folder) / "test", Path(folder) / "test/out"
            out.mkdir(parents=True)
            (test / "inside").write_text(INSIDE)
            subprocess.run(["cp", programs / "scripted-api", test], check=True)
            (Path(folder) / "config.json").write_text(json.dumps(configuration(mounted, str(test))))
            with open(Path(folder) / "runsc", "w", encoding="utf-8") as said:
                subprocess.run(
                    [RUNSC, "--platform=systrap", "--network=none", "--ignore-cgroups", "--overlay2=root:memory",
                     f"--root={folder}/state", "run", f"--bundle={folder}", "dreamcore-image-test"],
                    stdout=said, stderr=said, timeout=300, check=False,
                )
            seen = {file.name: file.read_text(errors="replace") for file in out.iterdir()}
            seen["runsc"] = (Path(folder) / "runsc").read_text(errors="replace")
        sizes = [(part, size_mib(Path(mounted) / part)) for part in (".", "usr/local/bin/claude", "opt/dreamcore", "usr/lib", "usr/bin", "usr/share", "var")]
    finally:
        buildah("umount", container)
        buildah("rm", container)
    return report(seen, sizes)


def report(seen: dict, sizes: list) -> int:
    version = next(line.split(":= ")[1] for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("CLAUDE_VERSION"))
    wanted = {
        "the generation is done": '"type":"done"' in seen.get("stream", ""),
        "the file is served": "200 OK" in seen.get("file", "") and "<" in seen.get("file", ""),
        f"the CLI is {version}": seen.get("claude", "").startswith(version + " "),
        "the worker ended with 0": seen.get("code", "").strip() == "0",
        "no file has a setuid bit": seen.get("setuid", "-") == "",
        "no Node and no compiler": seen.get("unwanted", "-") == "",
        "the assistant's tools are there": seen.get("missing", "-") == "",
        "the user claude has UID 1000": seen.get("user", "").strip() == "1000",
    }
    for what, holds in wanted.items():
        print("ok  " if holds else "FAIL", what)
    for line in seen.get("times", "").splitlines():
        print("    {} after {} ms".format(*line.split()))
    print("    worker, idle:", " ".join(seen.get("memory", "").split()))
    for part, mib in sizes:
        print(f"    {mib:7.1f} MiB  {'the whole image' if part == '.' else part}")
    if not all(wanted.values()):
        print(*(f"--- {name}\n{text}" for name, text in seen.items()), sep="\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
