"""ews-javascript-api, unpatched, asked from Python: one Node process per question, so that nothing is kept between two."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.exchange.stage import PASSWORD, USER, Stage

FOLDER = Path(__file__).resolve().parents[2] / "judges"
SECONDS = 60.0

_missing = not (FOLDER / "node_modules").is_dir() or shutil.which("node") is None
if _missing and os.environ.get("CI"):
    raise RuntimeError("ews-javascript-api is not installed: `./run test` does it where npm is there.")
needed = pytest.mark.skipif(
    _missing, reason="ews-javascript-api is not installed: `./run test` does it where npm is there"
)


class Judged(Exception):
    """What the client made of an error: its code, by the client's own number or name."""


async def asked(
    stage: Stage,
    task: str,
    mailbox: str | None = None,
    *,
    began: Callable[[], None] | None = None,
    connection: dict[str, Any] | None = None,
    **args: Any,
) -> Any:
    """What `task` of ews.cjs answers for `mailbox`. `began` is called once the client listens."""
    who = {"url": stage.url, "user": USER, "password": PASSWORD, **(connection or {})}
    given = json.dumps({**who, **({"as": mailbox} if mailbox else {}), "task": task, "args": args})
    process = await asyncio.create_subprocess_exec(
        "node",
        str(FOLDER / "ews.cjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE if began else None,
        env={**os.environ, "TZ": "Asia/Tokyo", **((connection or {}).get("environment", {}))},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(SECONDS):
            process.stdin.write(given.encode())
            process.stdin.close()
            if began is not None:
                assert process.stderr is not None
                assert await process.stderr.readline() == b"listening\n"
                began()
            line = await process.stdout.read()
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    answer = json.loads(line)
    if "error" in answer:
        raise Judged(f"{answer['error']}: {answer['message']}")
    return answer["result"]
