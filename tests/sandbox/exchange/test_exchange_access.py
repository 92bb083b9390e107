"""Sign-in, impersonation, versions, and requests that cannot be read: faults by name."""

import pytest

from sandbox.exchange import wire
from sandbox.exchange.stage import Stage, staged

CALENDAR = (
    "<m:GetFolder><m:FolderShape><t:BaseShape>IdOnly</t:BaseShape></m:FolderShape>"
    f"<m:FolderIds>{wire.CALENDAR}</m:FolderIds></m:GetFolder>"
)


def headers(stage: Stage, user: str, password: str) -> dict[str, str]:
    return stage.account_headers(user, password)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "authorization",
    ["", "Basic", "Basic %%%", "Basic bm9ib2R5", "Bearer x", "Basic c3ZjLWthbGVuZHNAbm9ydGguZXhhbXBsZTp3cm9uZw=="],
    ids=["none", "empty", "not base64", "no colon", "another scheme", "wrong password"],
)
async def test_without_the_right_password_nobody_comes_in(authorization: str) -> None:
    async with staged(50) as stage:
        answer = await stage.send(wire.envelope(CALENDAR), {"Authorization": authorization})

        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        assert stage.exchange.counters()["refused_sign_ins"] == 1
        assert stage.exchange.counters()["calls"] == {}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "status"),
    [("/ews/exchange.asmx", 200), ("/EWS/EXCHANGE.ASMX", 200), ("/EWS/Services.wsdl", 404), ("/", 404)],
)
async def test_the_path_is_known_in_any_case_and_no_other(path: str, status: int) -> None:
    async with staged(51) as stage:
        url = stage.url.removesuffix("/EWS/Exchange.asmx") + path

        answer = await stage.client.post(
            url, content=wire.envelope(CALENDAR, stage.room.primary), headers=stage.account_headers()
        )

        assert answer.status_code == status
        assert (await stage.client.get(stage.url, headers=stage.account_headers())).status_code == 405


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        ("PrimarySmtpAddress", "ann@north.example", "NoError"),
        ("PrimarySmtpAddress", "A.Okubo@north.example", "ErrorNonPrimarySmtpAddress"),
        ("SmtpAddress", "A.Okubo@north.example", "NoError"),
        ("PrincipalName", "ANN.O@corp.north.example", "NoError"),
        ("PrincipalName", "ann@north.example", "ErrorNonExistentMailbox"),
        ("SmtpAddress", "nobody@north.example", "ErrorNonExistentMailbox"),
        ("SID", "S-1-5-21-1-2-3-4", "ErrorImpersonationFailed"),
        ("Nickname", "ann", "ErrorSchemaValidation"),
    ],
)
async def test_impersonation_knows_four_identities_and_says_why_not(kind: str, value: str, code: str) -> None:
    async with staged(52) as stage:
        answer = await stage.ask(CALENDAR, value, kind=kind)

        assert answer.codes == [code]
        assert answer.status == (200 if code == "NoError" else 500)


@pytest.mark.asyncio
async def test_a_sid_impersonates_its_mailbox() -> None:
    async with staged(53) as stage:
        answer = await stage.ask(CALENDAR, stage.ann.sid, kind="SID")

        assert stage.ann.calendar is not None
        assert [found.get("Id") for found in answer.tree.iter(f"{{{wire.T}}}FolderId")] == [stage.ann.calendar.id]


@pytest.mark.asyncio
async def test_an_account_acts_within_its_scope_only() -> None:
    async with staged(54) as stage:
        narrow, ann = headers(stage, "narrow", "narrow"), headers(stage, "Ann", "ann's own")

        inside = await stage.ask(CALENDAR, stage.room.primary, narrow)
        outside = await stage.ask(CALENDAR, stage.ann.primary, narrow)
        own = await stage.ask(CALENDAR, None, ann)
        other = await stage.ask(CALENDAR, stage.room.primary, ann)
        none = await stage.ask(CALENDAR)

        assert inside.codes == ["NoError"]
        assert (outside.status, outside.codes) == (500, ["ErrorImpersonateUserDenied"])
        assert stage.ann.calendar is not None
        assert [found.get("Id") for found in own.tree.iter(f"{{{wire.T}}}FolderId")] == [stage.ann.calendar.id]
        assert other.codes == ["ErrorImpersonateUserDenied"]
        assert none.codes == ["ErrorMissingEmailAddress"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<not xml",
        b"<x/>",
        wire.envelope(""),
        wire.envelope("<m:OpenSesame/>"),
        wire.envelope("<t:GetFolder/>"),
        wire.envelope("<m:GetFolder/>"),
        wire.envelope("<m:GetItem><m:ItemShape><t:BaseShape>Odd</t:BaseShape></m:ItemShape><m:ItemIds/></m:GetItem>"),
        wire.envelope(f"<m:GetItem>{wire.shape()}<m:ItemIds/></m:GetItem>"),
        wire.envelope(f"<m:GetItem>{wire.shape('weather:Rain')}<m:ItemIds/></m:GetItem>"),
        wire.envelope(wire.sync(most=513)),
        wire.envelope(wire.sync(most=0)),
        wire.envelope(wire.calendar_view("yesterday", "today"), "ann@north.example"),
        wire.envelope(wire.stream("x", minutes=31)),
        wire.envelope(wire.stream()),
        wire.envelope(wire.subscribe(events=("Earthquake",)), "ann@north.example"),
        b'<!DOCTYPE a [<!ENTITY b "c">]>' + wire.envelope(CALENDAR),
    ],
    ids=lambda body: body.decode().rpartition("Body>")[0].rpartition("Body>")[2][:40] or body.decode()[:20],
)
async def test_what_the_schema_does_not_allow_is_a_schema_fault(body: bytes) -> None:
    async with staged(55) as stage:
        answer = await stage.send(body)

        assert (answer.status, answer.codes) == (500, ["ErrorSchemaValidation"])
        assert answer.content.startswith(b"<?xml")
        assert {value.get("Name") for value in answer.tree.iter(f"{{{wire.T}}}Value")} == {
            "LineNumber",
            "LinePosition",
            "Violation",
        }


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "NoError"),
        ('<t:RequestServerVersion Version="Exchange2007_SP1"/>', "NoError"),
        ('<t:RequestServerVersion Version="V2017_07_11"/>', "NoError"),
        ('<t:RequestServerVersion Version="Exchange5.5"/>', "ErrorInvalidServerVersion"),
        ("<t:RequestServerVersion/>", "ErrorInvalidServerVersion"),
    ],
)
async def test_the_version_may_be_any_real_one_or_absent(header: str, code: str) -> None:
    async with staged(56, judged=False) as stage:
        body = wire.envelope("<m:GetRoomLists/>").replace(
            b'<t:RequestServerVersion Version="Exchange2016"/>', header.encode()
        )

        answer = await stage.send(body)

        assert answer.codes == [code]


@pytest.mark.asyncio
async def test_the_answer_names_the_servers_version_and_sets_its_cookies() -> None:
    async with staged(57) as stage:
        first = await stage.ask("<m:GetRoomLists/>")
        again = await stage.ask("<m:GetRoomLists/>", headers={"Cookie": "exchangecookie=1"})

        (version,) = first.tree.iter(f"{{{wire.T}}}ServerVersionInfo")
        assert (version.get("MajorVersion"), version.get("MinorBuildNumber")) == ("15", "10")
        cookies = first.headers.get_list("Set-Cookie")
        assert [cookie.partition("=")[0] for cookie in cookies] == ["X-BackEndCookie", "exchangecookie"]
        assert [cookie.partition("=")[0] for cookie in again.headers.get_list("Set-Cookie")] == ["X-BackEndCookie"]


@pytest.mark.asyncio
async def test_calls_are_counted_by_operation_and_mailbox() -> None:
    async with staged(58) as stage:
        for mailbox in (stage.room.primary, stage.room.primary, stage.ann.primary, None):
            await stage.ask("<m:GetRoomLists/>", mailbox)
        await stage.ask(CALENDAR, stage.ann.primary)

        counters = stage.exchange.counters()

        assert counters["calls"] == {"GetFolder": 1, "GetRoomLists": 4}
        assert counters["calls_by_mailbox"] == {
            "": {"GetRoomLists": 1},
            "ann@north.example": {"GetFolder": 1, "GetRoomLists": 1},
            "room1@north.example": {"GetRoomLists": 2},
        }


def test_the_schema_is_a_judge_and_not_a_rubber_stamp() -> None:
    good = wire.envelope(CALENDAR)
    bad = good.replace(b"<t:BaseShape>IdOnly</t:BaseShape>", b"<t:BaseShape>Id0nly</t:BaseShape>")
    if wire.schema() is None:
        pytest.skip(f"Microsoft's EWS schema is not at {wire.SCHEMA}.")

    assert wire.violations(good) == []
    assert wire.violations(bad)
