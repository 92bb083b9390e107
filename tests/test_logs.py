"""Logs say what happened and where, and nothing of what a meeting is about."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from kalends import logs

PRIVATE = "Talks about the merger"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    out, before = io.StringIO(), structlog.get_config()
    logs.configure("json", "info", out)
    yield out
    structlog.configure(**before)
    logging.basicConfig(force=True)


def _break() -> None:
    raise ValueError(f"can't use {PRIVATE!r}")


def test_an_exception_of_ours_is_logged_by_type_and_place_only(log: io.StringIO) -> None:
    try:
        _break()
    except ValueError as error:
        structlog.get_logger().error("turn", exc_info=error)

    line = json.loads(log.getvalue())
    assert line["error"] == "ValueError"
    assert line["at"][-1].endswith(" _break")
    assert PRIVATE not in log.getvalue()


def test_so_is_an_exception_that_a_library_logs(log: io.StringIO) -> None:
    """uvicorn logs what an endpoint raised, and pydantic's message repeats the input."""
    try:
        _break()
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")

    assert "Exception in ASGI application" in log.getvalue()
    assert "ValueError" in log.getvalue()
    assert "_break" in log.getvalue()
    assert PRIVATE not in log.getvalue()


def test_a_line_break_in_a_value_begins_no_line_of_its_own(log: io.StringIO) -> None:
    structlog.get_logger().info("turn", reason='busy\n{"event": "forged"}')

    assert len(log.getvalue().splitlines()) == 1
    assert json.loads(log.getvalue())["event"] == "turn"


def test_handlers_that_a_library_brought_along_are_taken_over(log: io.StringIO) -> None:
    """uvicorn's default configuration gives its loggers handlers of their own and stops them from propagating."""
    library, own = logging.getLogger("uvicorn.error"), io.StringIO()
    library.addHandler(logging.StreamHandler(own))
    library.propagate = False

    logs.configure("json", "info", log)
    try:
        _break()
    except ValueError:
        library.exception("Exception in ASGI application")

    assert own.getvalue() == ""
    assert "Exception in ASGI application" in log.getvalue()
    assert PRIVATE not in log.getvalue()
