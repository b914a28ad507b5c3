"""`make skills`: brings the shared skills on the global volume in step with `skills/`.

Uploads what is new or different, removes what is gone, and reads everything back. Containers that run already
see it when they are replaced, so `make deploy` follows.
"""

import io
import sys
from pathlib import Path

import modal

import modal_app as app

FOLDER = "/.claude/skills"
SKILLS = Path(__file__).resolve().parents[3] / "skills"


def here() -> dict[str, bytes]:
    files = (file for file in sorted(SKILLS.rglob("*")) if file.is_file() and not file.is_symlink())
    return {f"{FOLDER}/{file.relative_to(SKILLS).as_posix()}": file.read_bytes() for file in files}


def there(volume: modal.Volume) -> dict[str, bytes]:
    try:
        entries = volume.listdir(FOLDER, recursive=True)
    except modal.exception.NotFoundError:
        return {}
    files = ("/" + entry.path.lstrip("/") for entry in entries if entry.type.name == "FILE")
    return {path: b"".join(volume.read_file(path)) for path in files}


def main() -> int:
    volume = modal.Volume.from_name(f"{app.NAME}-global", version=app.VOLUME_VERSION)
    wanted, found = here(), there(volume)
    changed = [path for path, content in wanted.items() if found.get(path) != content]
    if changed:
        with volume.batch_upload(force=True) as batch:
            for path in changed:
                batch.put_file(io.BytesIO(wanted[path]), path)
    for path in found.keys() - wanted.keys():
        volume.remove_file(path)
    if there(volume) != wanted:
        print("what is on the volume is not what is in skills/: run `make skills` again", file=sys.stderr)
        return 1
    print(f"{len(wanted)} files; {len(changed)} uploaded, {len(found.keys() - wanted.keys())} removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
