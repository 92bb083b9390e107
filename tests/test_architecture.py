"""The walls of the house (docs/architecture.md): who may import whom, how large things may grow, where time may be read."""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
MODULES = sorted(SOURCE.rglob("*.py"))

# Each room of the house and the rooms it may look into. SEAMS lie beside them.
SEAMS = {"clock", "ids", "bus", "seal", "metrics"}
MAY_IMPORT = {
    "model": set(),
    "providers": {"model"},
    "store": {"model", "providers.protocol", *SEAMS},
    "sync": {"model", "providers.protocol", "store", *SEAMS},
    "features": {"model", "store", *SEAMS},
    "feed": {"model", "store", "features", *SEAMS},
    "web": {"model", "store", "features", "feed", *SEAMS},
}
# The only places that may read a clock, draw randomness or make ids.
SEAM_FILES = {
    "kalends/clock.py",
    "kalends/ids.py",
    "kalends_sandbox/clock.py",
    "kalends_sandbox/tls.py",  # makes certificates: keys and serial numbers need the system's randomness
}
FORBIDDEN_CALLS = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.datetime.now",
    "date.today",
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.sleep",
    "uuid.uuid1",
    "uuid.uuid4",
    "uuid4",
    "os.urandom",
    "secrets.token_bytes",
    "secrets.token_hex",
    "secrets.token_urlsafe",
    "random.random",
    "random.randint",
    "random.choice",
    "random.uniform",
    "random.shuffle",
}


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(imported: str, allowed: str) -> bool:
    return imported == allowed or imported.startswith(allowed + ".")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_in_one_direction(path: Path) -> None:
    parts = path.relative_to(SOURCE).parts
    room = parts[1] if parts[0] == "kalends" and len(parts) > 2 else None
    if room not in MAY_IMPORT:
        return  # app, cli, demo and the seams wire everything

    allowed = {f"kalends.{name}" for name in {room, *MAY_IMPORT[room]}}
    strays = [i for i in imports(path) if i.startswith("kalends.") and not any(is_within(i, a) for a in allowed)]

    assert strays == [], f"{name_of(path)}: {room} may not import {strays}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_hub_and_sandbox_meet_only_on_the_wire(path: Path) -> None:
    package = path.relative_to(SOURCE).parts[0]
    others = {"kalends": ["kalends_sandbox", "kalends_sim"], "kalends_sandbox": ["kalends", "kalends_sim"]}.get(
        package, []
    )

    strays = [i for i in imports(path) if any(is_within(i, other) for other in others)]

    assert strays == [], f"{name_of(path)} imports {strays}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_vendors_are_known_only_to_their_provider(path: Path) -> None:
    parts = path.relative_to(SOURCE).parts
    if parts[0] != "kalends" or parts[1] == "providers":
        return

    strays = [
        i
        for i in imports(path)
        if (i.startswith("kalends.providers.") and not is_within(i, "kalends.providers.protocol"))
        or i.split(".")[0] in {"httpx2", "lxml"}
    ]
    wires = {"kalends/app.py", "kalends/demo/check.py"}  # the second asks our own API, as a stranger would

    assert strays == [] or name_of(path) in wires, f"{name_of(path)} imports {strays}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_sql_lives_in_the_store(path: Path) -> None:
    parts = path.relative_to(SOURCE).parts
    if parts[0] != "kalends" or parts[1] == "store":
        return

    strays = [i for i in imports(path) if i.split(".")[0] in {"sqlalchemy", "alembic", "sqlite3", "asyncpg"}]

    assert strays == [], f"{name_of(path)} imports {strays}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_and_modules_stay_small(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    functions = [n for n in ast.walk(tree_of(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [
        f"{n.name} ({n.end_lineno - n.lineno + 1})" for n in functions if n.end_lineno and n.end_lineno - n.lineno >= 60
    ]

    assert lines <= 400, f"{name_of(path)} has {lines} lines: which two things does it do?"
    assert long == [], f"{name_of(path)}: functions over 60 lines: {long}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_time_and_randomness_come_through_the_seams(path: Path) -> None:
    if name_of(path) in SEAM_FILES:
        return

    calls = [n.func for n in ast.walk(tree_of(path)) if isinstance(n, ast.Call)]
    strays = [f"{ast.unparse(f)} (line {f.lineno})" for f in calls if ast.unparse(f) in FORBIDDEN_CALLS]

    assert strays == [], f"{name_of(path)} reads {strays}: pass it in"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_task_runs_loose(path: Path) -> None:
    calls = [n for n in ast.walk(tree_of(path)) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call)]
    loose = [
        n.lineno for n in calls if ast.unparse(n.value).startswith(("asyncio.create_task", "asyncio.ensure_future"))
    ]

    assert loose == [], f"{name_of(path)}: tasks nobody keeps at lines {loose}: use a task group"


def test_the_package_that_replaces_urllib3_is_not_installed() -> None:
    assert importlib.util.find_spec("urllib3_future") is None
    assert importlib.util.find_spec("niquests") is None
