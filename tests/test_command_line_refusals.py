"""Whatever the world does wrong reaches the terminal as one sentence and an exit code, also out of task groups."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kalends.cli.session import CONFLICT, SIGN_IN, UNREACHABLE, fail, run
from kalends.config import EXIT_CONFIG
from kalends.providers.protocol import AuthLost, Unavailable
from sync.processes import config, environment, variables


@pytest.mark.parametrize(("error", "code"), [(AuthLost("Sign in."), SIGN_IN), (Unavailable("Gone."), UNREACHABLE)])
def test_an_error_inside_task_groups_is_still_a_sentence(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """On PostgreSQL every command runs inside the task group of the bus."""

    async def work() -> None:
        raise ExceptionGroup("outer", [ExceptionGroup("inner", [error])])

    with pytest.raises(SystemExit) as ended:
        run(work)

    assert ended.value.code == code
    assert capsys.readouterr().err == f"{error}\n"


def test_a_refusal_inside_a_task_group_keeps_its_exit_code() -> None:
    async def work() -> None:
        async with asyncio.TaskGroup():
            fail(CONFLICT, "There is one already.")

    with pytest.raises(SystemExit) as ended:
        run(work)

    assert ended.value.code == CONFLICT


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_the_demo_says_which_option_helps_when_its_port_is_taken(taken_port: int) -> None:
    done = _kalends(environment(), "demo", "--headless", "--port", str(taken_port))

    assert done.returncode == EXIT_CONFIG
    assert f"127.0.0.1:{taken_port} can't be listened on" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_certificate_that_is_not_there_stops_the_start_with_what_to_do(tmp_path: Path) -> None:
    missing = {"tls_certificate": str(tmp_path / "no.pem"), "tls_key": str(tmp_path / "no.key")}

    done = _kalends(variables(config(tmp_path), **missing), "serve")

    assert done.returncode == EXIT_CONFIG
    assert "no.pem" in done.stderr
    assert "KALENDS_TLS_CERTIFICATE" in done.stderr
    assert "Traceback" not in done.stderr


def _kalends(env: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "kalends", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
