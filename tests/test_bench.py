"""The benchmark runs, small and short: its figures have the shape that readers rely on, and are sane. Never their speed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def figures(*names: str) -> Iterator[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "bench", *names, "--quick", "--json"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    yield from (json.loads(line) for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def panel() -> dict[str, Any]:
    [figure] = figures("change_to_panel")
    return figure


def test_a_change_reaches_its_panel_and_is_measured_beside_the_floor(panel: dict[str, Any]) -> None:
    assert panel["name"] == "change_to_panel_p99"
    assert panel["seen"] > 0
    assert panel["floor_seen"] > 0
    assert 0 < panel["p50_ms"] <= panel["p95_ms"] <= panel["value"] <= panel["max_ms"]
    assert panel["ratio"] == pytest.approx(panel["value"] / panel["peer_value"], rel=0.01)
    assert panel["met"] is (panel["value"] <= 300)


def test_every_figure_names_its_machine_and_versions(panel: dict[str, Any]) -> None:
    assert panel["quick"] is True
    assert panel["cores"] >= 1
    assert panel["python"].startswith("3.")
    assert "sqlalchemy" in panel["versions"]


def test_both_exchange_clients_read_the_same_and_are_compared() -> None:
    lean, whole = figures("ews_read")

    assert (lean["name"], whole["name"]) == ("ews_read", "ews_read_all_fields")
    for figure in (lean, whole):
        assert figure["items"] == 20
        assert figure["times"] == pytest.approx(figure["peer_value"] / figure["value"], rel=0.01)


def test_the_first_read_of_many_rooms_is_measured_beside_another_client() -> None:
    [figure] = figures("sync_beside")

    assert figure["events"] == 30
    assert figure["peer_cpu_s"] > 0
    assert figure["memory_mb"] > 0


def test_the_work_table_is_measured_beside_its_bare_statements() -> None:
    found = {figure["name"]: figure for figure in figures("due_table")}

    assert {"due_sqlite_batch_1", "due_sqlite_batch_10", "due_sqlite_batch_100"} <= found.keys()
    for figure in found.values():
        assert figure["value"] > 0
        assert figure["peer_value"] > 0
        assert figure["low"] <= figure["value"] <= figure["high"]


def test_an_unknown_measurement_is_refused_with_those_that_exist() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "nonsense"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "change_to_panel" in done.stderr
