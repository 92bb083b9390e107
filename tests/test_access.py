"""What an account may open, how its server is trusted, and what a delegate gets: the programs, over a simulated Exchange."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kalends.app import Hub, open_hub
from kalends.config import Config
from kalends.store import accounts, audit, calendars, due, polled
from kalends.store.accounts import Account
from sync.processes import (
    Wanted,
    World,
    address_of,
    api,
    config,
    invoked,
    rows,
    sandbox,
    serving,
    set_up,
    stored,
    wait_for,
)

WORLD = """
[organization]
name = "Access"
domain = "t.example"
zone = "UTC"
[[accounts]]
user = "rooms@t.example"
password = "rooms-password"
impersonates = ["aspen@t.example", "birch@t.example"]
[[accounts]]
user = "wide@t.example"
password = "wide-password"
impersonates = ["*"]
[[accounts]]
user = "aspen@t.example"
password = "own-password"
mailbox = "aspen@t.example"
[[accounts]]
user = "delegate@t.example"
password = "delegate-password"
[[permissions]]
user = "delegate@t.example"
mailboxes = ["aspen@t.example"]
level = "Reviewer"
[[permissions]]
user = "delegate@t.example"
mailboxes = ["ada.moreau@t.example"]
level = "AvailabilityOnly"
[[buildings]]
name = "House"
[[people]]
name = "Ada Moreau"
[[rooms]]
name = "aspen"
building = "House"
capacity = 4
[[rooms]]
name = "birch"
building = "House"
capacity = 4
[[meetings]]
subject = "Plans"
organizer = "Ada Moreau"
at = "09:00"
minutes = 30
rooms = ["aspen"]
"""
ADA, ASPEN = "ada.moreau@t.example", "aspen@t.example"
WHY_DELEGATE = "By polling, every minute, because the service account opens it as a delegate."


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("access")
    file = folder / "world.toml"
    file.write_text(WORLD)
    with sandbox(file, folder / "tls") as made:
        yield made


@dataclass(frozen=True)
class Scene:
    made: Config
    world: World

    def account(self, name: str = "hq") -> Account:
        async def look(hub: Hub) -> Account:
            found = await hub.store.read(accounts.by_name, hub.organization, name)
            assert found is not None
            return found

        return self.ask(look)

    def audited(self) -> list[str]:
        async def look(hub: Hub) -> list[str]:
            return [entry.action for entry in await hub.store.read(audit.list_entries, hub.organization, 100)]

        return self.ask(look)

    def ask(self, work: Any) -> Any:
        async def opened() -> Any:
            async with open_hub(self.made) as hub:
                return await work(hub)

        return asyncio.run(opened())

    def add(self, user: str, password: str, *addresses: str, streams: bool = False, **settings: Any) -> None:
        given = {
            name: value for name, value in self.world.settings(username=user, **settings).items() if value is not None
        }
        set_up(self.made, [Wanted("hq", given, password, addresses, streams)])


@pytest.fixture
def scene(tmp_path: Path, world: World) -> Scene:
    return Scene(config(tmp_path), world)


# Rights.


def test_a_person_whose_calendar_is_refused_proves_the_rights(scene: Scene) -> None:
    scene.add("rooms@t.example", "rooms-password", ASPEN)

    done = invoked(scene.made, "accounts", "rights", "hq", "--prove", ADA, "--json")

    assert done.exit_code == 0, done.output
    assert [(row["step"], row["ok"]) for row in rows(done)] == [("a room", True), ("rights", True)]
    assert f"{ADA} is refused" in rows(done)[1]["detail"]


def test_a_person_whose_calendar_can_be_read_is_a_failure_with_what_to_do(scene: Scene) -> None:
    scene.add("wide@t.example", "wide-password", ASPEN)

    done = invoked(scene.made, "accounts", "rights", "hq", "--prove", ADA)

    assert done.exit_code == 1
    assert f"✗ rights: The service account can read {ADA}." in done.stdout
    assert "Get-ManagementRoleAssignment" in done.stdout


def test_nobody_and_an_account_that_opens_nothing_prove_nothing(scene: Scene) -> None:
    scene.add("rooms@t.example", "rooms-password", ADA)

    nobody = invoked(scene.made, "accounts", "rights", "hq", "--prove", "nobody@t.example")
    nothing = invoked(scene.made, "accounts", "rights", "hq", "--prove", "birch@t.example")

    assert nobody.exit_code == nothing.exit_code == 1
    assert "This proves nothing" in nobody.stdout
    assert f"✗ a room: The service account may not act as {ADA}" in nothing.stdout


def test_the_commands_name_the_account_and_its_way_in(scene: Scene) -> None:
    scene.add("EXAMPLE\\o'kalends", "x", ASPEN)

    acting = invoked(scene.made, "accounts", "rights", "hq")
    group = invoked(scene.made, "accounts", "rights", "hq", "--group", "O'Neil", "--json")
    invoked(scene.made, "accounts", "change", "hq", "--no-impersonation")
    delegate = invoked(scene.made, "accounts", "rights", "hq")

    assert "RecipientTypeDetails -eq 'RoomMailbox'" in acting.stdout
    assert '-CustomRecipientWriteScope "Kalends rooms"' in acting.stdout
    assert "-User 'EXAMPLE\\o''kalends'" in acting.stdout
    assert "MemberOfGroup" not in acting.stdout
    [said] = rows(group)
    assert "Get-DistributionGroup 'O''Neil'" in said["script"]
    assert "-or MemberOfGroup -eq '$group'" in said["script"]
    assert "Add-MailboxFolderPermission" in delegate.stdout
    assert "New-ManagementRoleAssignment" not in delegate.stdout


# Trust.


def test_verification_goes_off_only_with_the_host_typed_and_makes_the_account_degraded(scene: Scene) -> None:
    scene.add("rooms@t.example", "rooms-password", ASPEN)
    before = scene.account()

    refused = [
        invoked(scene.made, "accounts", "trust", "hq", "--unverified", *more)
        for more in ((), ("--confirm", "localhost"), ("--verified", "--confirm", "127.0.0.1"))
    ]
    assert [done.exit_code for done in refused] == [2, 2, 2]
    assert scene.account() == before

    done = invoked(scene.made, "accounts", "trust", "hq", "--unverified", "--confirm", "127.0.0.1")

    account = scene.account()
    assert done.exit_code == 0, done.output
    assert (account.settings["unverified"], "fingerprint" in account.settings) == ("127.0.0.1", False)
    assert account.state == "degraded"
    assert "The certificate of 127.0.0.1 is not verified" in account.reason
    assert "account.unverified" in scene.audited()
    checked = invoked(scene.made, "doctor")
    assert "! hq, connection: 127.0.0.1 answers, but its certificate is not verified" in checked.stdout


def test_it_stays_degraded_while_its_calendars_are_in_step_and_is_well_once_verified(scene: Scene) -> None:
    pin = scene.world.settings()["fingerprint"]
    scene.add("rooms@t.example", "rooms-password", ASPEN, fingerprint=None, unverified="127.0.0.1")
    server = serving(scene.made)
    try:
        url = address_of(server)

        def said() -> tuple[Any, Any]:
            return tuple(api(url, f"/v1/{what}")["items"][0]["state"] for what in ("calendars", "accounts"))  # type: ignore[return-value]

        wait_for(lambda: said() == ("in_sync", "degraded"), server.alive)

        invoked(scene.made, "accounts", "change", "hq", "--pin", pin)
        wait_for(lambda: said() == ("in_sync", "in_sync"), server.alive)
        assert "unverified" not in scene.account().settings
    finally:
        server.end()


def test_verified_again_means_that_a_stranger_is_refused(scene: Scene) -> None:
    scene.add("rooms@t.example", "rooms-password", ASPEN, fingerprint=None, unverified="127.0.0.1")

    done = invoked(scene.made, "accounts", "trust", "hq", "--verified")
    checked = invoked(scene.made, "accounts", "check", "hq")

    assert done.exit_code == 0, done.output
    assert (scene.account().state, "unverified" in scene.account().settings) == ("new", False)
    assert checked.exit_code == 1
    assert "is not trusted" in checked.stdout
    assert "account.verified" in scene.audited()


# Delegates.


def test_a_delegate_s_calendar_is_polled_and_everybody_is_told_so(scene: Scene) -> None:
    """Added while the account acted as its mailboxes, and so in a stream group."""
    scene.add("aspen@t.example", "own-password", ASPEN, streams=True)

    changed = invoked(scene.made, "accounts", "change", "hq", "--no-impersonation")

    async def standing(hub: Hub) -> tuple[Any, ...]:
        [health] = await hub.store.read(calendars.list_health, hub.organization)
        backlog = await hub.store.read(due.backlog, hub.clock.now())
        return health.calendar.stream, [kind for kind, _ in backlog], await hub.store.read(polled.reasons)

    stream, kinds, reasons = scene.ask(standing)
    assert changed.exit_code == 0, changed.output
    assert (stream, kinds, list(reasons.values())) == (None, ["pull"], [WHY_DELEGATE])

    def subscribed() -> int:
        return int(scene.world.call("GET", "/counters")["calls"].get("Subscribe", 0))

    before, server = subscribed(), serving(scene.made)
    try:
        url = address_of(server)
        wait_for(lambda: api(url, "/v1/calendars")["items"][0]["state"] == "in_sync", server.alive)
        assert api(url, "/v1/calendars")["items"][0]["polling"] == WHY_DELEGATE
        assert subscribed() == before
    finally:
        server.end()
    [room] = rows(invoked(scene.made, "rooms", "list", "--json"))
    assert room["changes"] == WHY_DELEGATE
    assert f"! hq, 1 calendar: Changes are not told but found. {WHY_DELEGATE}" in invoked(scene.made, "doctor").stdout
    checked = invoked(scene.made, "accounts", "check", "hq", "--calendar", ASPEN)
    assert "! streaming: Changes are found by polling only" in checked.stdout
    assert checked.exit_code == 0, checked.output


def test_a_delegate_that_may_act_again_is_told_at_once(scene: Scene) -> None:
    scene.add("rooms@t.example", "rooms-password", ASPEN, impersonate=False)
    invoked(scene.made, "accounts", "change", "hq", "--no-impersonation")

    invoked(scene.made, "accounts", "change", "hq", "--impersonation")

    server = serving(scene.made)
    try:
        url = address_of(server)
        wait_for(lambda: api(url, "/v1/calendars")["items"][0]["heard_at"], server.alive)
        assert api(url, "/v1/calendars")["items"][0]["polling"] == ""
    finally:
        server.end()


def test_a_delegate_without_a_right_is_told_which_is_missing(scene: Scene) -> None:
    scene.add("aspen@t.example", "own-password", ASPEN, impersonate=False)

    done = invoked(scene.made, "rooms", "add", "birch@t.example", "--account", "hq", "--json")
    proved = invoked(scene.made, "accounts", "rights", "hq", "--prove", "birch@t.example")

    assert done.exit_code == 3
    assert "kalends accounts rights" in rows(done)[0]["reason"]
    assert proved.exit_code == 0, proved.output


# What all calendars of an account have in common.


def test_what_keeps_an_account_s_calendars_out_of_step_is_said_once(scene: Scene) -> None:
    scene.add("rooms@t.example", "wrong", ASPEN, "birch@t.example", streams=True)
    server = serving(scene.made)
    try:
        url = address_of(server)

        def states() -> set[str]:
            return {one["state"] for one in api(url, "/v1/calendars")["items"]}

        wait_for(lambda: api(url, "/v1/accounts")["items"][0]["state"] == "reauthenticate", server.alive)
        wait_for(lambda: "degraded" in states(), server.alive)
    finally:
        server.end()

    said = rows(invoked(scene.made, "doctor", "--json"))
    [whole] = [row for row in said if "They can't be kept in step" in row.get("detail", "")]
    assert whole["step"].startswith("hq, ")
    assert "127.0.0.1 refuses the service account" in whole["detail"]
    assert [row for row in said if row["step"].endswith("@t.example") and "refuses" in row["detail"]] == []


def test_a_reviewer_reads_rooms_by_polling_and_people_are_refused(scene: Scene) -> None:
    scene.add("delegate@t.example", "delegate-password", impersonate=False)

    added = invoked(scene.made, "rooms", "add", ASPEN, "birch@t.example", "--account", "hq", "--json")
    proved = invoked(scene.made, "accounts", "rights", "hq", "--prove", ADA)

    assert [row["result"] for row in rows(added)] == ["linked", "refused"]
    assert "kalends accounts rights" in rows(added)[1]["reason"], added.output
    assert proved.exit_code == 0, proved.output
    server = serving(scene.made)
    try:
        url = address_of(server)
        wait_for(lambda: api(url, "/v1/calendars")["items"][0]["state"] == "in_sync", server.alive)
    finally:
        server.end()
    assert stored(scene.made, ASPEN) == scene.world.truth(ASPEN)
    assert rows(invoked(scene.made, "calendars", "list", "--json"))[0]["polling"] == WHY_DELEGATE


def test_a_delegate_who_is_taken_for_its_mailboxes_is_polled_all_the_same(scene: Scene) -> None:
    """Set to act as each mailbox, which this account's server refuses: said of each calendar, and nothing is lost."""
    scene.add("delegate@t.example", "delegate-password", ASPEN, streams=True)
    server = serving(scene.made)
    try:
        url = address_of(server)
        wait_for(lambda: "may not act as" in api(url, "/v1/calendars")["items"][0]["reason"], server.alive)

        invoked(scene.made, "accounts", "change", "hq", "--no-impersonation")

        wait_for(lambda: api(url, "/v1/calendars")["items"][0]["state"] == "in_sync", server.alive)
    finally:
        server.end()
    assert stored(scene.made, ASPEN) == scene.world.truth(ASPEN)
