"""Exchange's refusals become situations, each with a sentence that says what to do."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from lxml import etree

from kalends.model.event import CalendarId
from kalends.providers.exchange import faults, soap
from kalends.providers.exchange.faults import Message
from kalends.providers.http import Answer, Headers
from kalends.providers.protocol import (
    AuthLost,
    CalendarGone,
    CursorExpired,
    NotAllowed,
    ProviderError,
    Rejected,
    Throttled,
    Unavailable,
)
from providers.schema import schema_text

ROOM = CalendarId("almond@example.test")
SOURCES = Path(faults.__file__).parent


def message(code: str) -> Message:
    return Message(code, etree.Element("m", ResponseClass="Error"))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ErrorServerBusy", Throttled),
        ("ErrorInternalServerTransientError", Throttled),
        ("ErrorMailboxMoveInProgress", Throttled),
        ("ErrorExceededConnectionCount", Throttled),
        ("ErrorInvalidSyncStateData", CursorExpired),
        ("ErrorPasswordExpired", AuthLost),
        ("ErrorImpersonateUserDenied", NotAllowed),
        ("ErrorNonExistentMailbox", CalendarGone),
        ("ErrorFolderNotFound", CalendarGone),
        ("ErrorAccessDenied", NotAllowed),
        ("ErrorSubscriptionDelegateAccessNotSupported", Rejected),
        ("ErrorExceededSubscriptionCount", Rejected),
        ("ErrorInternalServerError", Unavailable),
        ("ErrorSchemaValidation", Rejected),
        ("ErrorNobodyHasHeardOf", Rejected),
        ("", Unavailable),
    ],
)
def test_a_code_names_its_situation(code: str, kind: type[ProviderError]) -> None:
    error = faults.error_of(message(code), ROOM)

    assert type(error) is kind or (kind is Unavailable and isinstance(error, faults.Broken))
    assert str(error).endswith(".")


def test_trouble_of_one_mailbox_does_not_pause_the_account() -> None:
    error = faults.error_of(message("ErrorMailboxMoveInProgress"), ROOM)

    assert isinstance(error, Throttled)
    assert not error.whole_account


def test_every_code_in_the_source_is_one_of_microsofts() -> None:
    known = set(re.findall(r'value="(Error\w+|NoError)"', schema_text("messages.xsd")))

    used = {code for path in SOURCES.glob("*.py") for code in re.findall(r'"(Error[A-Z]\w+)"', path.read_text())}

    assert used - known == {"ErrorSubscriptionIds"} & used


def test_a_code_that_is_no_word_does_not_reach_the_sentence() -> None:
    error = faults.error_of(message("Error\nInjected: log line"), ROOM)

    assert "\n" not in str(error)


def fault(inside: str, faultcode: str = "a:ErrorServerBusy") -> etree._Element:
    return etree.fromstring(
        f'<s:Fault xmlns:s="{soap.SOAP}" xmlns:e="{soap.ERRORS}" xmlns:t="{soap.TYPES}"><faultcode>{faultcode}</faultcode>'
        f"<faultstring>text of the server</faultstring>{inside}</s:Fault>"
    )


def test_a_busy_fault_tells_how_long_to_wait() -> None:
    found = faults.fault(
        fault(
            "<detail><e:ResponseCode>ErrorServerBusy</e:ResponseCode><e:Message>busy</e:Message><t:MessageXml>"
            '<t:Value Name="BackOffMilliseconds">1500</t:Value></t:MessageXml></detail>'
        )
    )

    assert found is not None
    error = faults.error_of(found, ROOM)
    assert isinstance(error, Throttled)
    assert error.wait == timedelta(seconds=1.5)


def test_a_fault_without_detail_is_known_by_its_faultcode() -> None:
    found = faults.fault(fault(""))

    assert found is not None
    assert found.code == "ErrorServerBusy"


def test_an_inner_code_is_the_real_one() -> None:
    found = faults.fault(
        fault(
            "<detail><e:ResponseCode>ErrorInternalServerError</e:ResponseCode><t:MessageXml>"
            '<t:Value Name="InnerErrorResponseCode">ErrorServerBusy</t:Value></t:MessageXml></detail>'
        )
    )

    assert found is not None
    assert found.code == "ErrorServerBusy"


@pytest.mark.parametrize(("millis", "wait"), [("99999999999999", timedelta(hours=1)), ("-5", None), ("soon", None)])
def test_a_wait_is_bounded_and_an_unreadable_one_is_none(millis: str, wait: timedelta | None) -> None:
    found = faults.fault(
        fault(
            f"<detail><e:ResponseCode>ErrorServerBusy</e:ResponseCode><t:MessageXml>"
            f'<t:Value Name="BackOffMilliseconds">{millis}</t:Value></t:MessageXml></detail>'
        )
    )

    assert found is not None
    assert found.back_off == wait


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    return Answer(status, Headers([(name.replace("_", "-"), value) for name, value in headers.items()]), body)


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        (answer(403), AuthLost, "EWS is enabled"),
        (answer(404), Unavailable, "/EWS/Exchange.asmx"),
        (answer(405), Unavailable, "/EWS/Exchange.asmx"),
        (answer(429), Throttled, "pause"),
        (answer(503, b"<html/>", content_type="text/html"), Throttled, "pause"),
        (answer(502), Unavailable, "502"),
        (answer(200, b"<html>", content_type="text/html; charset=utf-8"), Unavailable, "web page"),
        (answer(500, b"  <!DOCTYPE HTML><html>"), Unavailable, "web page"),
    ],
)
def test_a_status_names_its_situation(given: Answer, kind: type[ProviderError], words: str) -> None:
    error = faults.status_error(given, "mail.example.test")

    assert type(error) is kind
    assert words in str(error)


@pytest.mark.parametrize(
    ("host", "answered_by", "is_online"),
    [
        ("outlook.office365.com", "", True),
        ("outlook.office365.us", "", True),
        ("partner.outlook.cn", "", True),
        ("mail.example.test", "AM0PR01MB4234.eurprd01.prod.outlook.com", True),
        ("mail.example.test", "mbx01.example.test", False),
        ("myoutlook.com.example.test", "", False),
    ],
)
def test_exchange_online_is_known_when_it_says_no_to_ews(host: str, answered_by: str, is_online: bool) -> None:
    error = faults.status_error(answer(403, X_CalculatedBETarget=answered_by), host)

    assert type(error) is AuthLost
    assert "2027-04-01" in str(error)
    assert (f"{host} has EWS switched off" in str(error)) is is_online
    assert ("EWS is enabled for it" in str(error)) is not is_online


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_in_xml_is_left_to_its_content(status: int) -> None:
    assert faults.status_error(answer(status, b"<?xml?>", content_type="text/xml"), "mail.example.test") is None


NOW = "Fri, 20 Nov 2026 09:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("120", timedelta(minutes=2)),
        ("Fri, 20 Nov 2026 09:05:00 GMT", timedelta(minutes=5)),
        ("Fri, 20 Nov 2026 08:00:00 GMT", timedelta(0)),
        ("Sat, 21 Nov 2026 09:05:00 GMT", timedelta(hours=1)),
        ("999999999999", timedelta(hours=1)),
        ("soon", None),
        ("", None),
        ("²", None),
    ],
)
def test_retry_after_is_read_against_the_servers_own_clock(value: str, wait: timedelta | None) -> None:
    assert faults.retry_after(answer(503, retry_after=value, date=NOW)) == wait


def test_a_retry_date_without_the_servers_clock_says_nothing() -> None:
    assert faults.retry_after(answer(503, retry_after=NOW)) is None
