"""SOAP under suspicion: what comes in may be hostile or broken, and becomes a sentence."""

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalends.providers.exchange import soap
from kalends.providers.exchange.soap import Malformed

HOST = "mail.example.test"


def enveloped(inside: str, before: str = "") -> bytes:
    return f'{before}<s:Envelope xmlns:s="{soap.SOAP}"><s:Header/><s:Body>{inside}</s:Body></s:Envelope>'.encode()


def test_the_content_of_the_body_is_returned() -> None:
    content = soap.parse(enveloped("<!-- hello --><answer>yes</answer>"), HOST)

    assert (content.tag, content.text) == ("answer", "yes")


@pytest.mark.parametrize(
    ("doctype", "reason"),
    [
        ("<!DOCTYPE x>", "even an empty one"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd">', "an external one"),
        ('<!DOCTYPE x [<!ENTITY a "b">]>', "one with an entity"),
    ],
)
def test_a_doctype_is_refused(doctype: str, reason: str) -> None:
    with pytest.raises(Malformed, match="DOCTYPE"):
        soap.parse(enveloped("<a/>", doctype), HOST)


def test_a_doctype_hidden_by_another_encoding_is_refused() -> None:
    hidden = enveloped("<a/>", '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x>').decode().encode("utf-16")

    with pytest.raises(Malformed, match="DOCTYPE"):
        soap.parse(hidden, HOST)


def test_an_external_entity_is_not_read() -> None:
    hostile = enveloped("<a>&secret;</a>", '<!DOCTYPE x [<!ENTITY secret SYSTEM "file:///etc/hostname">]>')

    with pytest.raises(Malformed):
        soap.parse(hostile, HOST)


def test_a_billion_laughs_are_refused() -> None:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))

    with pytest.raises(Malformed):
        soap.parse(enveloped("<a>&a9;</a>", f'<!DOCTYPE x [<!ENTITY a0 "ha">{entities}]>'), HOST)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(Malformed, match="malformed XML"):
        soap.parse(enveloped("<a>" * 300 + "</a>" * 300), HOST)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("&#x1F;", "\ufffd"),
        ("&#11;", "\ufffd"),
        ("&#xFFFF;", "\ufffd"),
        ("&#xD83D;", "\ufffd"),
        ("\x0b", " "),
        ("&#x1F600;&#x1;", "\U0001f600\ufffd"),
    ],
)
def test_a_character_that_xml_forbids_is_replaced(sent: str, read: str) -> None:
    content = soap.parse(enveloped(f"<subject>a{sent}b</subject>"), HOST)

    assert content.text == f"a{read}b"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "malformed XML"),
        (b"hello", "malformed XML"),
        (enveloped("<a>"), "malformed XML"),
        (enveloped("<a>&undefined;</a>"), "malformed XML"),
        (enveloped("<a/>")[:-20], "malformed XML"),
        (b"<html><body/></html>", "a web page instead of SOAP"),
        (b"<rss/>", "some other XML instead of SOAP"),
        (enveloped(""), "an empty SOAP body"),
    ],
)
def test_what_is_no_soap_is_said_so(body: bytes, sentence: str) -> None:
    with pytest.raises(Malformed, match=sentence):
        soap.parse(body, HOST)


@given(st.lists(st.integers(0, 400), max_size=12))
def test_a_stream_is_cut_into_the_same_documents_however_it_arrives(cuts: list[int]) -> None:
    sent = [enveloped(f"<a>{n}</a>") for n in range(3)]
    sent[1] = b'<?xml version="1.0"?>' + sent[1].replace(b"s:Envelope", b"x:Envelope").replace(b"xmlns:s", b"xmlns:x")
    sent[1] = sent[1].replace(b"s:Body", b"x:Body").replace(b"s:Header", b"x:Header")
    whole = b"\r\n".join(sent)
    edges = sorted({0, len(whole), *(cut % len(whole) for cut in cuts)})
    documents = soap.Documents(HOST)

    found = [one for start, end in itertools.pairwise(edges) for one in documents.feed(whole[start:end])]

    assert [soap.parse(one, HOST).text for one in found] == ["0", "1", "2"]


def test_an_unprefixed_envelope_in_a_stream_is_a_document() -> None:
    document = f'<Envelope xmlns="{soap.SOAP}"><b:Body xmlns:b="{soap.SOAP}"><a/></b:Body></Envelope>'.encode()

    (found,) = soap.Documents(HOST).feed(document)

    assert soap.parse(found, HOST).tag == f"{soap.S}a"


def test_a_stream_that_never_finishes_a_message_is_given_up() -> None:
    documents = soap.Documents(HOST)

    with pytest.raises(Malformed, match="4 MiB"):
        list(documents.feed(b"x" * (4 * 1024 * 1024 + 1)))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-20T09:00:00Z", datetime(2026, 11, 20, 9, tzinfo=UTC)),
        ("2026-11-20T09:00:00+01:00", datetime(2026, 11, 20, 8, tzinfo=UTC)),
        ("2026-11-20T09:00:00.1234567Z", datetime(2026, 11, 20, 9, 0, 0, 123456, tzinfo=UTC)),
        ("2026-11-20T09:00:00", datetime(2026, 11, 20, 9, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_utc(text: str, at: datetime) -> None:
    assert soap.when(text) == at
