"""One frozen configuration, read once at start: defaults, then a TOML file, then `KALENDS_…` variables.

A wrong value stops the start with its place and a sentence that says what to do (exit 78).
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

EXIT_CONFIG = 78
FILE_VARIABLE = "KALENDS_CONFIG"
_OTHERS = ("KALENDS_SANDBOX_", "KALENDS_TEST_")
"""Beginnings of variables that belong to other programs of this project."""


class ConfigError(Exception):
    """A setting can't be used. The message names the place, the trouble and the fix."""


@dataclass(frozen=True, slots=True)
class Config:
    data_folder: Path = Path("kalends-data")
    """Holds the embedded database and the key; created with mode 0700."""
    database_url: str = ""
    """Empty: SQLite in the data folder. Else `sqlite:///FILE` or `postgresql://USER@HOST/NAME`."""
    secret_key_file: Path | None = None
    """The key that seals credentials. Unset: `secret.key` in the data folder, made at first start."""
    host: str = "127.0.0.1"
    port: int = 8080
    base_url: str = ""
    """How browsers reach Kalends, for links and cookies. Empty: `http://HOST:PORT`."""
    trusted_proxies: str = ""
    """Addresses or networks of reverse proxies, with commas between: what they say about who asks is believed."""
    tls_certificate: Path | None = None
    """PEM chain; with `tls_key` the web side speaks https (TLS 1.2 or newer)."""
    tls_key: Path | None = None
    region: str = "local"
    """Where this installation's data lives; written beside every organization."""
    stale_after_seconds: int = 90
    """A room not proved in step for so long is shown as unknown."""
    turns_at_once: int = 64
    """Pulls one worker process runs side by side."""
    streams_at_once: int = 64
    """Streams one worker process keeps open."""
    log_format: str = "auto"
    """json, text, or auto: text on a terminal."""
    log_level: str = "info"
    clock_start: str = ""
    """For demonstrations only: what the clock shows at `clock_origin`, as 2026-11-23T09:00:00Z."""
    clock_factor: float = 1.0
    clock_origin: float = 0.0
    """Unix seconds."""
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Where each set value came from."""

    @property
    def url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_folder / 'kalends.sqlite3'}"

    @property
    def key_file(self) -> Path:
        return self.secret_key_file or self.data_folder / "secret.key"

    @property
    def public_url(self) -> str:
        scheme = "https" if self.tls_certificate else "http"
        return (self.base_url or f"{scheme}://{self.host}:{self.port}").rstrip("/")

    @property
    def clock_starts_at(self) -> datetime | None:
        return datetime.fromisoformat(self.clock_start).astimezone(UTC) if self.clock_start else None


_KINDS = {"Path": "a path in quotes", "int": "a whole number", "float": "a number", "str": "text in quotes"}
_SETTINGS = {f.name: f for f in fields(Config) if f.name != "sources"}


def load(file: Path | None, environment: Mapping[str, str]) -> Config:
    """The configuration; raises ConfigError."""
    given = _from_file(file) if file else {}
    for variable, text in sorted(environment.items()):
        name = variable.removeprefix("KALENDS_").lower()
        if variable.startswith("KALENDS_") and name in _SETTINGS:
            given[name] = text, variable
    values = {name: _fit(name, value, place) for name, (value, place) in given.items()}
    sources = {name: place for name, (_, place) in given.items()}
    config = Config(**values, sources=sources)  # type: ignore[arg-type]  # _fit made the types right
    _check(config)
    return config


def misspelt(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that looks like a setting and is none."""
    found = []
    for variable in sorted(environment):
        name = variable.removeprefix("KALENDS_").lower()
        if not variable.startswith("KALENDS_") or name in _SETTINGS or variable == FILE_VARIABLE:
            continue
        if not variable.startswith(_OTHERS):
            found.append(f"{variable} is no setting and changes nothing. {_nearest(name, 'KALENDS_{}')}")
    return found


def _from_file(file: Path) -> dict[str, tuple[object, str]]:
    """Each setting's value and place."""
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{file}: there is no such file. Create it, or leave --config away to use the defaults."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: can't be read ({error}). Make it readable UTF-8 text.") from error
    except tomllib.TOMLDecodeError as error:
        last = len(file.read_text(encoding="utf-8").splitlines())
        trouble = str(error).replace("at end of document", f"at line {last}, the end of the file")
        raise ConfigError(f"{file}: not valid TOML: {trouble}. Mend that line; strings need quotes.") from error
    given = {name: (value, f"{file}, line {_line_of(file, name)}") for name, value in values.items()}
    for name, (_, place) in given.items():
        if name not in _SETTINGS:
            raise ConfigError(f"{place}: unknown setting “{name}”. {_nearest(name)}")
    return given


def _line_of(file: Path, name: str) -> int:
    lines = file.read_text(encoding="utf-8").splitlines()
    key = re.compile(rf"[\s\[\"']*{re.escape(name)}\b")
    return next((n for n, line in enumerate(lines, 1) if key.match(line)), 1)


def _nearest(name: str, written: str = "{}") -> str:
    """`written` is how a setting's name is written there."""
    from difflib import get_close_matches

    close = get_close_matches(name, _SETTINGS, n=1)
    if close:
        return f"Did you mean “{_written(close[0], written)}”?"
    return f"Known settings: {', '.join(sorted(_written(known, written) for known in _SETTINGS))}."


def _written(name: str, written: str) -> str:
    return written.format(name if written == "{}" else name.upper())


def _fit(name: str, value: object, place: str) -> object:
    """The value in its setting's type; text from the environment is converted."""
    kind = str(_SETTINGS[name].type)
    try:
        if "Path" in kind and isinstance(value, str):
            return Path(value)
        if "int" in kind and isinstance(value, int | str) and not isinstance(value, bool):
            return int(value)
        if "float" in kind and isinstance(value, int | float | str) and not isinstance(value, bool):
            return float(value)
        if "str" in kind and isinstance(value, str):
            return value
    except ValueError:
        pass
    wanted = next(words for part, words in _KINDS.items() if part in kind)
    raise ConfigError(f"{place}: {value!r} does not fit setting “{name}”: it must be {wanted}.")


def _check(config: Config) -> None:
    scheme = urlsplit(config.url).scheme
    rules = [
        (scheme in ("sqlite", "postgresql"), "database_url", "must begin with sqlite:/// or postgresql://"),
        (0 <= config.port <= 65535, "port", "must be between 0 and 65535"),
        (
            config.stale_after_seconds >= 60,
            "stale_after_seconds",
            "must be at least 60: streams prove themselves every 45 s",
        ),
        (1 <= config.turns_at_once <= 1000, "turns_at_once", "must be between 1 and 1000"),
        (1 <= config.streams_at_once <= 1000, "streams_at_once", "must be between 1 and 1000"),
        (config.log_format in ("auto", "json", "text"), "log_format", "must be json, text or auto"),
        (
            config.log_level in ("debug", "info", "warning", "error"),
            "log_level",
            "must be debug, info, warning or error",
        ),
        (0 < config.clock_factor <= 100_000, "clock_factor", "must be above 0 and at most 100000"),
        (
            (config.tls_certificate is None) == (config.tls_key is None),
            "tls_key",
            "and tls_certificate belong together: set both",
        ),
        (urlsplit(config.public_url).scheme in ("http", "https"), "base_url", "must begin with http:// or https://"),
        (
            _are_networks(config.trusted_proxies),
            "trusted_proxies",
            "must be addresses or networks, as 10.0.0.5, fd00::/8",
        ),
        (_is_instant(config.clock_start), "clock_start", "must be an instant with zone, as 2026-11-23T09:00:00Z"),
    ]
    for holds, name, rule in rules:
        if not holds:
            place = config.sources.get(name, "the defaults")
            raise ConfigError(f"{place}: setting “{name}” {rule}.")


def _are_networks(text: str) -> bool:
    try:
        return all(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())
    except ValueError:
        return False


def _is_instant(text: str) -> bool:
    if not text:
        return True
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
