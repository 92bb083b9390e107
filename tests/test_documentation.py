"""What the documents promise is there: every setting and option is explained, every link and picture exists."""

import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

from kalends.cli import kalends
from kalends.config import Config
from kalends_sandbox.cli import main as sandbox

HOUSE = Path(__file__).parents[1]
PAGES = [HOUSE / "README.md", HOUSE / "bench/README.md", *sorted((HOUSE / "docs").rglob("*.md"))]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(HOUSE).as_posix())
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    found = re.findall(r"\]\(([^)#\s]+)|src=\"([^\"]+)", page.read_text(encoding="utf-8"))
    local = [one for pair in found for one in pair if one and "://" not in one]

    assert [one for one in local if not (page.parent / one).exists()] == []


def test_every_setting_is_explained() -> None:
    page = (HOUSE / "docs/operations.md").read_text(encoding="utf-8")
    names = [f"KALENDS_{field.name.upper()}" for field in fields(Config) if field.name != "sources"]

    assert [name for name in names if f"`{name}`" not in page] == []


def test_every_option_of_the_sandbox_is_explained() -> None:
    page = (HOUSE / "docs/sandbox.md").read_text(encoding="utf-8")
    options = [name for option in sandbox.commands["serve"].params for name in option.opts]

    assert [name for name in options if name not in page] == []


def test_every_command_that_the_documents_name_exists() -> None:
    named = set(re.findall(r"kalends (accounts|calendars|rooms|panels|users|db|config|keys) ([a-z-]+)", TEXT))
    context = click.Context(kalends)

    missing = []
    for noun, verb in sorted(named):
        group = kalends.get_command(context, noun)
        assert isinstance(group, click.Group)
        if verb not in group.commands:
            missing.append(f"{noun} {verb}")

    assert len(named) > 5
    assert missing == []
