"""The sandbox's command line: `serve` opens one, the other verbs talk to one that is open through its control API.

Exit codes: 0 done, 1 refused or failed with a sentence, 2 wrong usage, 78 broken world file.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NoReturn, get_args
from urllib.parse import urlencode

import click

from kalends_sandbox.exchange import Settings as ExchangeSettings
from kalends_sandbox.exchange.door import METHODS, Method
from kalends_sandbox.exchange.ntlm import Protection
from kalends_sandbox.exchange.releases import RELEASES, ReleaseName
from kalends_sandbox.sandbox import Plan, Sandbox, opened
from kalends_sandbox.verbs import VERBS
from kalends_sandbox.worldfile import SHIPPED, WorldFileBroken

_BROKEN_WORLD = 78  # EX_CONFIG
_PATIENCE_S = 30.0
_LISTS = ("rooms", "required", "optional")


@click.group()
def main() -> None:
    """Simulated calendar systems on this machine: real servers over one invented organisation."""


@main.command()
@click.option("--world", default="demo", show_default=True, help=f"A world file, or one of: {', '.join(SHIPPED)}.")
@click.option("--exchange-port", type=click.IntRange(0, 65535), default=0, help="Port of Exchange; 0 takes a free one.")
@click.option(
    "--control-port", type=click.IntRange(0, 65535), default=0, help="Port of the control API; 0 takes a free one."
)
@click.option(
    "--tls",
    type=click.Choice(["self-signed", "tls-1.0"]),
    help="Serve Exchange over https with a certificate made now; tls-1.0 offers that version only.",
)
@click.option(
    "--tls-folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the certificate.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="The same seed gives the same world and the same chances."
)
@click.option("--clock-start", help="Sandbox time at the start, such as 2026-11-20T09:00Z. Default: now.")
@click.option(
    "--clock-factor",
    type=click.FloatRange(0, 1_000_000),
    default=1.0,
    show_default=True,
    help="Sandbox seconds per real second.",
)
@click.option(
    "--clock-origin",
    type=float,
    help="Epoch seconds of the start, to share the clock.",
)
@click.option(
    "--story", is_flag=True, help="Let people book, move and cancel all the time; tells it on the error stream."
)
@click.option(
    "--story-pace", type=(float, float), default=(2.0, 6.0), show_default=True, help="Seconds between two events."
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the ready line here.",
)
@click.option(
    "--heartbeat",
    type=click.FloatRange(0.1, 45),
    default=45.0,
    show_default=True,
    help="Seconds between the heartbeats of a stream; Exchange takes up to 45.",
)
@click.option(
    "--sign-in",
    default="basic",
    show_default=True,
    callback=lambda context, option, value: _methods(value),
    help=f"How to sign in to Exchange; any of {', '.join(METHODS)}, separated by commas.",
)
@click.option(
    "--extended-protection",
    type=click.Choice(get_args(Protection)),
    default="none",
    show_default=True,
    help="What NTLM's channel binding must be: not looked at, right if there is one, or there and right.",
)
@click.option(
    "--identity-port", type=click.IntRange(0, 65535), default=0, help="Port of the token endpoint, if oauth is offered."
)
@click.option(
    "--redirect-port", type=click.IntRange(0, 65535), help="Port of plain http that sends Autodiscover on to https."
)
@click.option(
    "--server-version",
    type=click.Choice(list(RELEASES)),
    default="2019",
    show_default=True,
    help="Which release of Exchange Server this is.",
)
@click.option("--until-input-ends", is_flag=True, help="Also end when standard input does: a child whose parent died.")
def serve(
    world: str, exchange_port: int, control_port: int, tls: str | None, tls_folder: Path | None, seed: int,
    clock_start: str | None, clock_factor: float, clock_origin: float | None, story: bool,
    story_pace: tuple[float, float], ready_file: Path | None, heartbeat: float,
    sign_in: tuple[Method, ...], extended_protection: Protection, identity_port: int, redirect_port: int | None,
    server_version: ReleaseName, until_input_ends: bool,
) -> None:  # fmt: skip
    """Open a sandbox until SIGINT or SIGTERM. When it is open, one line of JSON says where."""
    if not 0 < story_pace[0] <= story_pace[1]:
        raise click.UsageError("--story-pace takes two numbers of seconds above 0, the smaller one first.")
    settings = ExchangeSettings(sign_in=sign_in, extended_protection=extended_protection, heartbeat_s=heartbeat)
    with _certificate_folder(tls is not None, tls_folder) as folder:
        plan = Plan(
            world, exchange_port, control_port, folder, seed, _start(clock_start), clock_factor, clock_origin,
            story, story_pace, settings.as_release(server_version), identity_port, tls == "tls-1.0", redirect_port,
        )  # fmt: skip
        try:
            asyncio.run(_serve(plan, lambda sandbox: _announce(sandbox, ready_file), until_input_ends))
        except WorldFileBroken as broken:
            _fail(str(broken), _BROKEN_WORLD)
        except OSError as error:
            _fail(f"The sandbox cannot open: {error.strerror or error}. Is the port taken, or the folder not writable?")
        finally:
            if ready_file is not None:
                ready_file.unlink(missing_ok=True)


@main.command(name="act")
@click.argument("verb", type=click.Choice(VERBS))
@click.argument("words", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--control", envvar="KALENDS_SANDBOX_CONTROL", required=True, help="The control API's address.")
def act_command(verb: str, words: tuple[str, ...], control: str) -> None:
    """Act as a person in Outlook would.

    Keys are those of docs/sandbox.md; lists are separated by commas, JSON is possible.

    act create mailbox=ada.moreau@one.example subject="Call" start=2026-11-20T14:00 rooms=study@one.example
    """
    body: dict[str, object] = {"verb": verb}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise click.UsageError(f"{word!r} is not KEY=VALUE.")
        body[key] = _value(key, value)
    _show(_ask("POST", f"{control}/act", body))


@main.command()
@click.option("--mailbox", help="An address; * and ? stand for anything.")
@click.option("--from", "since", help="With --to: also every occurrence in between.")
@click.option("--to", "until")
@click.option("--control", envvar="KALENDS_SANDBOX_CONTROL", required=True, help="The control API's address.")
def truth(mailbox: str | None, since: str | None, until: str | None, control: str) -> None:
    """What really stands in the calendars."""
    said = {"mailbox": mailbox, "from": since, "to": until}
    _show(_ask("GET", f"{control}/truth?{urlencode({key: value for key, value in said.items() if value})}"))


@main.command()
@click.argument("method", type=click.Choice(["GET", "POST", "DELETE"]))
@click.argument("path")
@click.argument("body", required=False)
@click.option("--control", envvar="KALENDS_SANDBOX_CONTROL", required=True, help="The control API's address.")
def call(method: str, path: str, body: str | None, control: str) -> None:
    """Any other call of the control API, such as: call POST /clock '{"advance_s": 600}'."""
    try:
        said = None if body is None else json.loads(body)
    except ValueError as error:
        raise click.UsageError(f"The body is not JSON: {error}.") from error
    _show(_ask(method, f"{control}/{path.lstrip('/')}", said))


async def _serve(plan: Plan, announce: Callable[[Sandbox], None], until_input_ends: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    if until_input_ends:
        loop.add_reader(sys.stdin.fileno(), _watch_input, stop)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with opened(plan, tell=lambda line: click.echo(line, err=True)) as sandbox:
        announce(sandbox)
        stopped = loop.create_task(stop.wait(), name="the signal to stop")
        try:
            await asyncio.wait((stopped, *sandbox.background), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        for task in sandbox.background:
            if task.done():
                task.result()


def _watch_input(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


def _announce(sandbox: Sandbox, ready_file: Path | None) -> None:
    line = json.dumps(sandbox.ready(), ensure_ascii=False)
    if ready_file is not None:
        complete = ready_file.with_name(f"{ready_file.name}.part")
        complete.write_text(line + "\n", "utf-8")
        complete.replace(ready_file)
    click.echo(line)
    sys.stdout.flush()


@contextmanager
def _certificate_folder(wanted: bool, folder: Path | None) -> Iterator[Path | None]:
    if not wanted:
        yield None
    elif folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    else:
        with tempfile.TemporaryDirectory(prefix="kalends-sandbox-") as temporary:
            yield Path(temporary)


def _methods(text: str) -> tuple[Method, ...]:
    wanted = [part.strip().lower() for part in text.split(",") if part.strip()]
    unknown = [part for part in wanted if part not in METHODS]
    if unknown or not wanted:
        raise click.BadParameter(f"{text!r} is no list of methods; there are {', '.join(METHODS)}.")
    return tuple(method for method in METHODS if method in wanted)


def _start(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(
            f"--clock-start {text!r} is not a date and time; write it like 2026-11-20T09:00Z."
        ) from None
    if at.tzinfo is None:
        raise click.UsageError("--clock-start needs a time zone: add Z or an offset such as +01:00.")
    return at


def _value(key: str, text: str) -> object:
    """Lists by commas, JSON where it looks like JSON (numbers, true, false, tables), else the text itself."""
    if key in _LISTS and not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    if key in ("subject", "body", "location"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _ask(method: str, url: str, body: object = None) -> object:
    data = None if body is None else json.dumps(body).encode()
    if not url.startswith("http://"):
        raise click.UsageError("--control takes the control API's address, such as http://127.0.0.1:40123.")
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310
    # Loopback only, so no proxy of this machine may get in between.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_PATIENCE_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        _fail(str(json.load(refused).get("error", refused)))
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        _fail(f"No sandbox answers at {url.partition('?')[0]}: {why}. Is it open, and is --control right?")


def _show(facts: object) -> None:
    click.echo(json.dumps(facts, ensure_ascii=False, indent=2))


def _fail(sentence: str, code: int = 1) -> NoReturn:
    click.echo(sentence, err=True)
    sys.stdout.flush()
    raise SystemExit(code)
