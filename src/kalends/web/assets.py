"""Static files: a handful, held in memory, named by their content so that browsers may keep them for ever."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from kalends.web.policy import Policy, allow
from kalends.web.problems import not_found

FOLDER = Path(__file__).parent / "static"
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    url: str
    media_type: str
    body: bytes
    packed: bytes


def _load() -> dict[str, Asset]:
    found = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix not in TYPES:
            continue
        body = path.read_bytes()
        mark = hashlib.sha256(body).hexdigest()[:12]
        url = f"/static/{path.stem}.{mark}{path.suffix}"
        found[path.name] = Asset(url, TYPES[path.suffix], body, gzip.compress(body, mtime=0))
    return found


ASSETS = _load()
BY_URL = {asset.url: asset for asset in ASSETS.values()}


def asset_url(name: str) -> str:
    """The address of a file in `static/`; a name that isn't there is our mistake."""
    return ASSETS[name].url


@allow(Policy.PUBLIC)
async def static(request: Request) -> Response:
    asset = BY_URL.get(request.url.path)
    if asset is None:
        raise not_found()
    headers = {"cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.packed, headers={**headers, "content-encoding": "gzip"}, media_type=asset.media_type)
    return Response(asset.body, headers=headers, media_type=asset.media_type)
