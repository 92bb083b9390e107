"""The control API and the command line, over real loopback sockets."""

import asyncio
import base64
import hashlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from kalends_sandbox.cli import main
from kalends_sandbox.clock import Clock
from kalends_sandbox.sandbox import Plan, opened

START = datetime(2026, 11, 24, 8, tzinfo=UTC)
ADA, STUDY = "ada.moreau@one.example", "study@one.example"
SRC = Path(__file__).parents[2] / "src"


class Client:
    """A plain HTTP client in a thread: (status, JSON) for each call."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.url = sandbox.control_url

    async def __call__(self, method, path, body=None, **headers):
        return await asyncio.to_thread(self._call, method, path, body, headers)

    def _call(self, method, path, body, headers):
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)


@asynccontextmanager
async def directed(**plan):
    clock = Clock(START, 0.0)
    async with asyncio.timeout(20), opened(Plan(world="one-mailbox", **plan), clock) as sandbox:
        yield Client(sandbox)


def scene(story, **plan):
    async def run():
        async with directed(**plan) as call:
            return await story(call)

    return asyncio.run(run())


def test_an_action_is_done_and_the_truth_shows_it_everywhere():
    async def story(call):
        body = {"verb": "create", "mailbox": ADA, "subject": "Call", "start": "2026-11-24T14:00", "minutes": 45,
                "zone": "W. Europe Standard Time", "rooms": [STUDY]}  # fmt: skip
        done = await call("POST", "/act", body)
        settled = await call("POST", "/settle")
        truth = await call("GET", "/truth?mailbox=*&from=2026-11-24T00:00Z&to=2026-11-25T00:00Z")
        return done, settled, truth, await call("GET", "/counters")

    (status, done), settled, (_, truth), (_, counters) = scene(story)

    assert (status, settled) == (200, (200, {"mails_waiting": 0}))
    item = done["item"]
    assert (item["start"], item["end"]) == ("2026-11-24T13:00:00Z", "2026-11-24T13:45:00Z")
    by_address = {box["address"]: box for box in truth["mailboxes"]}
    for address, subject in ((ADA, "Call"), (STUDY, "Ada Moreau")):
        (found,) = [one for one in by_address[address]["occurrences"] if one["uid"] == item["uid"]]
        assert (found["subject"], found["start"]) == (subject, item["start"])
    assert by_address[STUDY]["booking"]["automate_processing"] == "AutoAccept"
    assert counters["mails"] == {"acceptance": 1, "invitation": 1}


def test_a_series_is_made_changed_moved_and_called_off_by_date():
    async def story(call):
        series = {"pattern": "weekly", "days": ["Tuesday", "Thursday"], "count": 6}
        body = {"verb": "create", "mailbox": ADA, "subject": "Series", "start": "2026-11-24T12:00Z", "series": series}
        _, made = await call("POST", "/act", body)
        uid = made["item"]["uid"]
        for verb in (
            {"verb": "move", "occurrence": "2026-11-26", "start": "2026-11-26T15:00Z"},
            {"verb": "make_private", "occurrence": "2026-12-01T12:00Z"},
            {"verb": "cancel", "occurrence": "2026-12-03"},
        ):
            status, answer = await call("POST", "/act", {"mailbox": ADA, "meeting": uid, **verb})
            assert status == 200, answer
        _, truth = await call("GET", f"/truth?mailbox={ADA}&from=2026-11-24&to=2026-12-05")
        return [one for one in truth["mailboxes"][0]["occurrences"] if one["uid"] == uid], truth["mailboxes"][0][
            "items"
        ]

    occurrences, items = scene(story)

    assert [(one["start"], one["kind"], one["sensitivity"]) for one in occurrences] == [
        ("2026-11-24T12:00:00Z", "Occurrence", "Normal"),
        ("2026-11-26T15:00:00Z", "Exception", "Normal"),
        ("2026-12-01T12:00:00Z", "Exception", "Private"),
    ]
    (master,) = [item for item in items if item["kind"] == "RecurringMaster"]
    assert master["deleted"] == ["2026-12-03T12:00:00Z"]
    assert master["series"]["count"] == 6


def test_every_verb_works():
    async def story(call):
        _, made = await call(
            "POST", "/act", {"verb": "create", "mailbox": ADA, "start": "2026-11-24T12:00Z", "rooms": [STUDY]}
        )
        meeting = made["item"]["uid"]
        _, series = await call(
            "POST", "/act",
            {"verb": "create", "mailbox": ADA, "all_day": True, "day": "2026-11-26", "series": {"pattern": "daily"}},
        )  # fmt: skip
        done = []
        for said in (
            {
                "verb": "edit",
                "meeting": meeting,
                "subject": "",
                "location": "Garden",
                "show_as": "OOF",
                "required": [ADA],
            },
            {"verb": "make_private", "meeting": meeting},
            {"verb": "make_public", "meeting": meeting},
            {"verb": "repattern", "meeting": series["item"]["uid"], "series": {"pattern": "monthly", "day": 31}},
            {"verb": "refile", "meeting": meeting},
            {"verb": "remove", "meeting": meeting, "hard": True},
        ):
            done.append(await call("POST", "/act", {"mailbox": ADA, **said}))
        await call("POST", "/settle")
        done.append(
            await call("POST", "/act", {"verb": "respond", "mailbox": STUDY, "meeting": meeting, "answer": "Tentative"})
        )
        return done

    done = scene(story)

    assert [status for status, _ in done] == [200] * 7, done
    edited, repatterned, answered = (done[at][1]["item"] for at in (0, 3, 6))
    assert (edited["subject"], edited["location"], edited["show_as"]) == ("", "Garden", "OOF")
    assert (repatterned["start"], repatterned["is_all_day"]) == ("2026-11-30T00:00:00Z", True)
    assert answered["my_response"] == "Tentative"


def test_the_clock_jumps_advances_and_changes_pace():
    async def story(call):
        first = await call("POST", "/clock", {"now": "2026-12-24T18:00Z"})
        second = await call("POST", "/clock", {"advance_s": 90})
        third = await call("POST", "/clock", {"factor": 60})
        return first, second, third, await call("GET", "/health")

    first, second, third, health = scene(story)

    assert first == (200, {"now": "2026-12-24T18:00:00Z", "factor": 0.0})
    assert second[1]["now"] == "2026-12-24T18:01:30Z"
    assert third[1]["factor"] == 60.0
    assert health[1]["ok"] is True
    assert health[1]["now"] >= "2026-12-24T18:01:30"


def test_faults_are_added_listed_and_ended():
    async def story(call):
        _, added = await call(
            "POST",
            "/faults",
            {"name": "http_503", "mailbox": "study@*", "rate": 0.5, "parameters": {"retry_after": "7"}},
        )
        await call("POST", "/faults", {"name": "slow", "count": 2})
        _, listed = await call("GET", "/faults")
        _, one_left = await call("DELETE", f"/faults/{added['fault']['number']}")
        none_left = await call("DELETE", "/faults")
        return added, listed, one_left, none_left, await call("DELETE", "/faults/99")

    added, listed, one_left, none_left, unknown = scene(story)

    assert added["fault"]["parameters"] == {"retry_after": "7"}
    assert [fault["name"] for fault in listed["faults"]] == ["http_503", "slow"]
    assert [fault["name"] for fault in one_left["faults"]] == ["slow"]
    assert none_left == (200, {"faults": []})
    assert unknown[0] == 400


ASK = b"""<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><GetRoomLists
 xmlns="http://schemas.microsoft.com/exchange/services/2006/messages"/></s:Body></s:Envelope>"""


def test_requests_are_recorded_only_when_asked_for_and_counted_always():
    async def story(call):
        def ask():
            request = urllib.request.Request(call.sandbox.exchange_url, ASK, {"Content-Type": "text/xml"})
            secret = base64.b64encode(b"svc-kalends@one.example:one-mailbox").decode()
            request.add_header("Authorization", f"Basic {secret}")
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.read()

        await asyncio.to_thread(ask)
        _, before = await call("GET", "/requests")
        await call("POST", "/requests", {"keep": 5})
        answer = await asyncio.to_thread(ask)
        _, after = await call("GET", "/requests?last=1")
        _, counters = await call("GET", "/counters")
        return before, after, answer, counters

    before, after, answer, counters = scene(story)

    assert before == {"requests": []}
    (recorded,) = after["requests"]
    assert recorded["request"].encode() == ASK
    assert recorded["answers"] == [answer.decode()]
    assert counters["calls"] == {"GetRoomLists": 2}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/nothing", None, 404, "there are /act"),
        ("PUT", "/act", {}, 405, "takes POST"),
        ("POST", "/act", b"{", 400, "not JSON"),
        ("POST", "/act", [], 400, "a table of keys"),
        ("POST", "/act", {}, 400, "verb: is missing"),
        ("POST", "/act", {"verb": "dance", "mailbox": ADA}, 400, "choose one of create"),
        ("POST", "/act", {"verb": "create", "mailbox": "no@one.example"}, 400, "no mailbox no@one.example"),
        ("POST", "/act", {"verb": "create", "mailbox": ADA, "start": "soon"}, 400, "not a date and time"),
        ("POST", "/act", {"verb": "create", "mailbox": ADA, "start": "2026-11-24T12:00", "colour": 1}, 400, "unknown key"),
        ("POST", "/act", {"verb": "cancel", "mailbox": ADA, "meeting": "x"}, 400, "holds no meeting"),
        ("POST", "/act", {"verb": "cancel", "mailbox": ADA, "meeting": "x", "occurrence": "2026-11-24"}, 400, "no series"),
        (
            "POST", "/act",
            {"verb": "create", "mailbox": ADA, "start": "2026-11-24T12:00", "series": {"pattern": "daily", "every": 0}},
            400, "series.every",
        ),
        ("POST", "/clock", {"now": "2026-11-24", "advance_s": 3}, 400, "give one"),
        ("POST", "/clock", {"factor": -1}, 400, "factor"),
        ("POST", "/clock", {"advance_s": 1e30}, 400, "advance_s"),
        ("POST", "/clock", {"advance_s": 9e9, "factor": 5}, 400, "from 1980 to 2200"),
        ("POST", "/clock", {"now": "9999-12-31T00:00Z"}, 400, "from 1980 to 2200"),
        ("POST", "/clock", b'{"factor": NaN}', 400, "factor"),
        ("POST", "/clock", {"factor": 2, "noww": 1}, 400, "did you mean now?"),
        ("POST", "/faults", {"name": "earthquake"}, 400, "no fault called"),
        ("POST", "/faults", {"name": "slow", "parameters": {"delay_s": []}}, 400, "single value"),
        ("POST", "/requests", {"keep": 1_000_000}, 400, "from 0 to 10000"),
        ("GET", "/requests?last=all", None, 400, "number of requests"),
        ("GET", "/mails?last=0", None, 400, "number of mails"),
        ("GET", "/truth?mailbox=x@*", None, 400, "No mailbox matches"),
        ("GET", "/truth?mailbox=*&from=2026-11-24", None, 400, "to: is missing"),
        ("GET", "/truth?mailbox=*&from=2026-11-24&to=2026-11-23", None, 400, "earlier"),
        ("GET", "/truth?mailbox=*&from=2016-11-24&to=2026-11-23", None, 400, "five years"),
        ("GET", "/truth?mailbox=*&mailbox=x", None, 400, "2 times"),
        ("POST", "/subscriptions", {}, 404, "/subscriptions/drop"),
        ("POST", "/limits", {"rows_per_find": 0}, 400, "from 1 to"),
        ("POST", "/limits", {"wishes": 3}, 400, "There are: hanging_connections"),
        ("POST", "/limits", [], 400, "expected a table"),
    ],
)  # fmt: skip
def test_a_bad_request_is_answered_with_a_sentence(method, path, body, status, words):
    async def story(call):
        return await call(method, path, body)

    answered, facts = scene(story)

    assert answered == status
    assert words in facts["error"]
    assert facts["error"]


def test_a_web_page_may_not_direct_a_sandbox():
    async def story(call):
        return await call("GET", "/health", None, Origin="https://elsewhere.example")

    assert scene(story)[0] == 403


def test_limits_are_shown_and_turned():
    async def story(call):
        before = await call("GET", "/limits")
        turned = await call("POST", "/limits", {"concurrency": 2, "budget": True})
        return before[1]["limits"], turned[1]["limits"], (await call("GET", "/limits"))[1]["limits"]

    before, turned, after = scene(story)

    assert (before["concurrency"], before["budget"]) == (27, False)
    assert turned == after == before | {"concurrency": 2, "budget": True}


def test_subscriptions_can_be_dropped():
    async def story(call):
        return await call("POST", "/subscriptions/drop", {"mailbox": "*"}), await call("POST", "/subscriptions/drop")

    assert scene(story) == ((200, {"dropped": 0}), (200, {"dropped": 0}))


def test_the_ready_line_says_all_that_a_client_must_know(tmp_path):
    async def story(call):
        return call.sandbox.ready()

    ready = scene(story, tls_folder=tmp_path)

    assert re.fullmatch(r"https://127\.0\.0\.1:\d+/EWS/Exchange\.asmx", ready["exchange"])
    pem = Path(ready["certificate"]["path"]).read_text()
    assert hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest() == ready["certificate"]["sha256"]
    assert (ready["rooms"], ready["people"]) == (1, 1)
    assert ready["accounts"] == [{"user": "svc-kalends@one.example", "password": "one-mailbox"}]


def served(*words):
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    return subprocess.Popen(
        [sys.executable, "-m", "kalends_sandbox", "serve", "--world", "one-mailbox", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_says_when_it_is_open_obeys_act_and_ends_cleanly(number, tmp_path):
    ready_file = tmp_path / "ready.json"
    process = served("--tls", "self-signed", "--ready-file", str(ready_file), "--clock-start", "2026-11-24T09:00Z")
    try:
        ready = json.loads(process.stdout.readline())
        assert json.loads(ready_file.read_text()) == ready
        runner = CliRunner(env={"KALENDS_SANDBOX_CONTROL": ready["control"]})
        acted = runner.invoke(
            main,
            [
                "act",
                "create",
                f"mailbox={ADA}",
                "subject=12",
                "start=2026-11-24T15:00Z",
                "minutes=20",
                f"rooms={STUDY}",
            ],
        )
        refused = runner.invoke(main, ["act", "cancel", f"mailbox={ADA}", "meeting=x"])
        truth = runner.invoke(main, ["truth", "--mailbox", ADA])
        jumped = runner.invoke(main, ["call", "POST", "/clock", '{"now": "2026-11-24T12:00Z"}'])
    finally:
        process.send_signal(number)
        process.wait(10)

    assert process.returncode == 0, process.stderr.read()
    assert json.loads(acted.stdout)["item"]["end"] == "2026-11-24T15:20:00Z"
    assert (refused.exit_code, "holds no meeting" in refused.stderr) == (1, True)
    assert json.loads(truth.stdout)["mailboxes"][0]["items_total"] == 2
    assert json.loads(jumped.stdout)["now"].startswith("2026-11-24T12:00")
    assert not ready_file.exists()
    assert not Path(ready["certificate"]["path"]).exists()


def test_a_broken_world_file_ends_with_78_and_the_place(tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text('[organization]\nname = "X"\ndomain = "x.example"\nzone = "Nowhere"\n')

    ended = CliRunner().invoke(main, ["serve", "--world", str(broken)])

    assert ended.exit_code == 78
    assert "broken.toml, organization.zone" in ended.stderr


def test_a_taken_port_is_a_sentence():
    async def story(call):
        port = call.url.rpartition(":")[2]
        process = await asyncio.to_thread(served, "--control-port", port)
        _, error = await asyncio.to_thread(process.communicate, None, 10)
        return process.returncode, error

    code, error = scene(story)

    assert code == 1
    assert "port taken" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "words",
    [
        ["serve", "--clock-start", "noon"],
        ["serve", "--clock-start", "2026-11-24T09:00"],
        ["serve", "--clock-factor", "-1"],
        ["serve", "--story-pace", "5", "1"],
        ["act", "dance"],
        ["act", "create", "mailbox", "--control", "http://127.0.0.1:1"],
        ["truth"],
        ["call", "POST", "/clock", "{", "--control", "http://127.0.0.1:1"],
        ["call", "GET", "/health", "--control", "ftp://x"],
    ],
)
def test_wrong_usage_ends_with_2(words):
    assert CliRunner().invoke(main, words).exit_code == 2


def test_a_sandbox_that_is_not_there_is_a_sentence():
    ended = CliRunner().invoke(main, ["call", "GET", "/health", "--control", "http://127.0.0.1:9"])

    assert ended.exit_code == 1
    assert "No sandbox answers" in ended.stderr


def test_the_signpost_is_set_as_a_whole_and_shown():
    async def story(call):
        said = {"external_url": "https://mail.one.example/EWS/Exchange.asmx",
                "redirects": [{"kind": "address", "target": "@two.example", "mailbox": "ada*"}]}  # fmt: skip
        done = await call("POST", "/autodiscover", said)
        shown = await call("GET", "/autodiscover")
        refused = await call("POST", "/autodiscover", {"redirects": [{"kind": "url"}]})
        again = await call("POST", "/autodiscover", {})
        return done, shown, refused, again, call.sandbox.founded.world.signpost

    done, shown, refused, again, signpost = scene(story)

    assert done == shown
    assert shown[1]["redirects"][0]["target"] == "@two.example"
    assert shown[1]["grouping"] == "Default-First-Site-Name"
    assert (refused[0], "redirects[1].target" in refused[1]["error"]) == (400, True)
    assert again[1]["redirects"] == []
    assert signpost.external_url == ""


def test_a_migration_gives_every_id_anew_and_keeps_every_meeting():
    async def story(call):
        ada = call.sandbox.founded.world.mailbox(ADA)
        before = [one.id for one in ada.folders.values()], list(ada.calendar.items), ada.calendar.sequence
        uids = [one.uid for one in ada.calendar.items.values()]
        done = await call("POST", "/mailboxes/migrate", {"mailbox": "ada*"})
        after = [one.id for one in ada.folders.values()], list(ada.calendar.items), ada.calendar.horizon
        refused = await call("POST", "/mailboxes/migrate", {"mailbox": "nobody*"})
        lost = await call("POST", "/mailboxes", {"mailbox": "ada*"})
        return before, after, uids, [one.uid for one in ada.calendar.items.values()], done, refused[0], lost[0]

    before, after, uids, uids_after, done, refused, lost = scene(story)

    assert done == (200, {"migrated": [ADA]})
    assert not set(before[0]) & set(after[0])
    assert not set(before[1]) & set(after[1])
    assert uids == uids_after != []
    assert after[2] > before[2]
    assert (refused, lost) == (400, 404)


def test_doors_are_opened_as_the_command_line_says(tmp_path):
    world = tmp_path / "small.toml"
    world.write_text(
        '[organization]\nname = "S"\ndomain = "s.example"\nzone = "UTC"\n[[people]]\nname = "Ann"\n'
        '[[accounts]]\nuser = "svc"\npassword = "p"\n'
        '[[applications]]\nclient_id = "app"\nsecret = "s"\nimpersonates = ["ann@*"]\n'
        '[[permissions]]\nuser = "svc"\nmailboxes = ["ann@*"]\nlevel = "Reviewer"\n'
    )
    process = served(
        "--world", str(world), "--sign-in", "oauth, NTLM", "--extended-protection", "require", "--tls", "self-signed",
        "--redirect-port", "0", "--server-version", "2016", "--tls-folder", str(tmp_path),
    )  # fmt: skip
    try:
        ready = json.loads(process.stdout.readline())
        context = ssl.create_default_context(cafile=ready["certificate"]["path"])
        body = b"grant_type=client_credentials&client_id=app&client_secret=s"
        body += b"&scope=https%3A%2F%2F127.0.0.1%2F.default"
        with urllib.request.urlopen(ready["token_url"], body, 10, context=context) as answer:
            token = json.load(answer)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(ready["exchange"], b"", 10, context=context)
        with pytest.raises(urllib.error.HTTPError) as plain:
            urllib.request.urlopen(ready["redirect"] + "/EWS/Exchange.asmx", timeout=10)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)

    assert ready["applications"] == [{"client_id": "app", "secret": "s"}]
    assert token["token_type"] == "Bearer"
    offers = [value.partition(" ")[0] for value in refused.value.headers.get_all("WWW-Authenticate")]
    assert offers == ["Bearer", "NTLM"]
    assert plain.value.code == 403
    assert CliRunner().invoke(main, ["serve", "--sign-in", "basic,pigeon"]).exit_code == 2
