"""The virtual hour in small: everything goes wrong, and in the end the store equals the truth; one seed is one run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kalends_sandbox.faults import KINDS
from kalends_sim import laws
from kalends_sim.cli import main
from kalends_sim.hour import Script, play
from kalends_sim.weather import TROUBLES

SOURCE = Path(__file__).parents[2] / "src"


def nobody_listens(line: str) -> None:
    pass


def test_after_the_worst_minutes_every_calendar_equals_the_truth() -> None:
    outcome = play(1, Script(minutes=4), nobody_listens)

    report = outcome.result
    assert report.broken == ()
    assert sum(report.actions.values()) >= 10
    assert sum(report.faults.values()) >= 15
    assert report.changes["event.updated"] > 0


def test_two_workers_that_are_killed_and_stalled_end_in_step() -> None:
    outcome = play(5, Script(minutes=3, workers=2, is_deadly=True), nobody_listens)

    assert outcome.result.broken == ()
    assert sum(outcome.result.fates.values()) >= 2


def test_one_seed_is_one_trace_in_every_process_whatever_its_hash_seed() -> None:
    command = [sys.executable, "-m", "kalends_sim", "kill", "--seed", "3", "--minutes", "0.5", "--json"]
    environments = [{**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(SOURCE)} for seed in ("0", "1")]

    others = [subprocess.Popen(command, env=one, stdout=subprocess.PIPE, text=True) for one in environments]
    here = play(3, Script(minutes=0.5, is_deadly=True), nobody_listens)
    traces = [json.loads(other.communicate(timeout=240)[0])["trace"] for other in others]

    assert traces == [here.trace] * 2


def test_the_weather_knows_every_trouble_of_the_sandbox_that_the_hub_can_outlast() -> None:
    stops_the_account = {"http_401", "ews_blocked"}
    hub_never_pulls_events = {"events_unreadable"}

    assert {trouble.kind for trouble in TROUBLES} == KINDS.keys() - stops_the_account - hub_never_pulls_events


def test_a_broken_law_is_told_with_its_seed_and_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(laws, "broken", lambda court, thoroughly: ["the tide went out"])
    monkeypatch.setattr("kalends_sim.hour._FIRST_READ_S", 1.0)
    monkeypatch.setattr("kalends_sim.hour.CALM", laws.timedelta(seconds=1))

    result = CliRunner().invoke(main, ["hour", "--seed", "4", "--minutes", "0.1", "--json"])

    assert result.exit_code == 1
    assert json.loads(result.stdout)["seed"] == 4
    assert "seed 4: the tide went out" in result.stderr


def test_a_range_of_seeds_is_read_strictly() -> None:
    result = CliRunner().invoke(main, ["hour", "--seeds", "9..1"])

    assert result.exit_code == 2
    assert "such as 1..60" in result.stderr
