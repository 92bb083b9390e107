"""Microsoft's schema for EWS, as the judge of requests. Neighbours: the tests of `providers/exchange`."""

import os
from functools import lru_cache
from pathlib import Path

import pytest
from lxml import etree

FOLDER = Path(__file__).parents[2] / "../shared/schemas/ews"


@lru_cache(maxsize=1)
def _schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(FOLDER / "messages.xsd"))


def schema_text(name: str) -> str:
    """The text of one schema file. Skips the test where the schemas are absent, and fails it on CI."""
    if not FOLDER.is_dir():
        sentence = f"Microsoft's EWS schemas are not at {FOLDER.resolve()}."
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return (FOLDER / name).read_text(encoding="utf-8-sig")


def check(element: etree._Element) -> None:
    """Fails with the schema's own words when an operation's element is not valid."""
    schema_text("messages.xsd")
    _schema().assertValid(etree.fromstring(etree.tostring(element)))


def body_of(request: bytes) -> etree._Element:
    """The single child of a request's SOAP body."""
    (content,) = etree.fromstring(request).find("{http://schemas.xmlsoap.org/soap/envelope/}Body")
    return content


def header_of(request: bytes) -> etree._Element:
    found = etree.fromstring(request).find("{http://schemas.xmlsoap.org/soap/envelope/}Header")
    assert found is not None
    return found
