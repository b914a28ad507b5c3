"""A server of the same files with the same checks, to measure the worker against."""

import hmac
import mimetypes
import os
import re
from pathlib import Path

from fastapi import FastAPI, Header, HTTPException
from fastapi.responses import FileResponse

DATA = Path(os.environ["PEER_DATA"])
SECRET = os.environ["PEER_SECRET"].encode()
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

app = FastAPI()


@app.get("/get_file")
async def get_file(
    user_id: str,
    project_id: str,
    path: str = "index.html",
    x_modal_secret: str = Header(""),
) -> FileResponse:
    if not hmac.compare_digest(x_modal_secret.encode(), SECRET):
        raise HTTPException(401, "Unauthorized")
    if not UUID.fullmatch(user_id) or not UUID.fullmatch(project_id):
        raise HTTPException(400, "not a UUID")
    if any(part == "" or part.startswith(".") for part in path.split("/")) or "\0" in path:
        raise HTTPException(400, "not a path")
    project = DATA / "users" / user_id.lower() / "projects" / project_id.lower()
    place = project / path
    if not place.resolve().is_relative_to(project.resolve()) or not place.is_file():
        raise HTTPException(404, "File not found")
    kind = mimetypes.guess_type(place.name)[0] or "application/octet-stream"
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return FileResponse(place, media_type=kind, headers=headers)
