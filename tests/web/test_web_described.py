"""The API does what its own description says: schemathesis asks a real server whatever the description allows, and more."""

import asyncio

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, CheckFunction
from schemathesis.specs.openapi.checks import positive_data_acceptance

from browser.serving import serving
from web.seeding import START, House, meeting, seeded, token

PER_OPERATION = 20


def _not_sayable(path: str) -> list[CheckFunction]:
    """OpenAPI can't say that “from” comes before “to”, nor which cursors the feed gave out: refusing those is right."""
    return [positive_data_acceptance] if path.endswith(("/events", "/changes")) else []


def ask(url: str, secret: str) -> int:
    """Every operation, with fitting and unfitting parameters; returns how many operations there were."""
    headers = {"Authorization": f"Bearer {secret}"}
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=headers)
    operations = [found.ok() for found in schema.exclude(path="/v1/changes/stream").get_all_operations()]
    for operation in operations:

        @settings(
            max_examples=PER_OPERATION,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            database=None,
            phases=[Phase.generate],
        )
        @given(case=operation.as_strategy())
        def holds(case: Case) -> None:
            case.call_and_validate(headers=headers, excluded_checks=_not_sayable(case.operation.path))

        holds()
    return len(operations)


@pytest.mark.asyncio
async def test_the_api_does_what_its_description_says() -> None:
    wires = await seeded(("aspen", [meeting("1", START)]))
    async with serving(wires) as server:
        secret = await token(House(wires, server.web, None))  # type: ignore[arg-type]

        asked = await asyncio.to_thread(ask, server.url, secret)

        described = [
            r for r in server.web.app.routes if getattr(r, "include_in_schema", False) and hasattr(r, "dependant")
        ]
        assert asked == len(described) - 1
