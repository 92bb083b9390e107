"""Three buildings, forty rooms and an ordinary Monday morning, for pages that want to look like life."""

from datetime import timedelta
from random import Random

from kalends.model.event import Event, Sensitivity, ShowAs
from kalends.store import accounts, calendars, spaces
from kalends.store.door import Connection
from web.seeding import START, Wires, meeting, seed_account, seed_room

BUILDINGS = (("Harbour House", 18), ("Old Mill", 14), ("Garden Pavilion", 8))
TREES = """
    Alder Ash Aspen Bay Beech Birch Cedar Cherry Chestnut Cypress Elder Elm Fir Hawthorn Hazel Holly Hornbeam Juniper Larch
    Laurel Lime Linden Magnolia Maple Mulberry Oak Olive Pear Pine Plane Plum Poplar Quince Rowan Spruce Sycamore Walnut
    Willow Yew Zelkova
""".split()  # noqa: SIM905  # a list of forty quoted names reads worse
SUBJECTS = (
    "Weekly planning",
    "Design review",
    "Budget 2027",
    "Interview",
    "Customer visit: Meridian Logistics and partners",
    "Stand-up",
    "Retrospective",
    "Board preparation",
    "1:1",
    "Quarterly numbers",
    None,
)
PEOPLE = ("Anna Novak", "Jonas Weber", "Leïla Haddad", "Tomás Ortega", "Mei-Ling Chen", "Priya Raman", "Ola Berg")


def seed_town(conn: Connection, wires: Wires, rooms: int = 40) -> None:
    rng = Random(3)
    seed_account(conn, wires)
    names = iter(TREES if rooms <= len(TREES) else [f"{TREES[n % 40]} {n // 40 + 1}" for n in range(rooms)])
    scale = -(-rooms // 40)
    for building, count in BUILDINGS:
        for number in range(count * scale):
            name = next(names, None)
            if name is None:
                return
            held = _day(rng, name)
            place = {
                "building": building,
                "floor": str(number * 4 // count + 1),
                "capacity": rng.choice((4, 6, 8, 12, 20)),
            }
            seed_room(conn, wires, _key(name), name, held, **place)


def break_some(conn: Connection, wires: Wires) -> None:
    """Trouble of each kind: a lost room, a held one, an unlinked one, one that is read for the first time."""
    now = wires.clock.now()
    why = "The server knows no mailbox “willow@example.org”. Check the address, or unlink the room."
    calendars.set_state(conn, "cal_willow", "gone", why, now - timedelta(minutes=42))
    asked = "38 of 52 meetings would disappear at once, so nothing was removed. If that is right, allow it with: "
    calendars.set_state(conn, "cal_oak", "held", asked + "kalends calendars release oak@example.org", now)
    spaces.add(
        conn,
        "spc_studio",
        wires.organization,
        "Studio",
        now,
        actor="cli:test",
        building="Old Mill",
        zone="Europe/Berlin",
    )
    seed_room(conn, wires, "attic", "Attic", building="Old Mill", floor="5", verified=False)


def lose_the_account(conn: Connection, wires: Wires) -> None:
    why = "The server refused the password of svc-rooms@example.org. Set the new one: kalends accounts credentials Exchange"
    accounts.set_state(conn, "acc_1", "reauthenticate", why, wires.clock.now())


def _key(name: str) -> str:
    return name.lower().replace(" ", "-")


def _day(rng: Random, name: str) -> list[Event]:
    """Meetings on the quarter hour from eight to six, with gaps; some are private, some tentative."""
    held, at, number = [], START.replace(hour=7, minute=0) + timedelta(minutes=15 * rng.randrange(8)), 0
    while at.hour < 17:
        minutes = rng.choice((30, 30, 45, 60, 60, 90))
        if rng.random() < 0.62:
            number += 1
            held.append(
                meeting(
                    f"{name}-{number}",
                    at,
                    minutes,
                    rng.choice(SUBJECTS),
                    rng.choice(PEOPLE),
                    Sensitivity.PRIVATE if rng.random() < 0.12 else Sensitivity.NORMAL,
                    ShowAs.TENTATIVE if rng.random() < 0.1 else ShowAs.BUSY,
                )
            )
        at += timedelta(minutes=minutes + rng.choice((0, 0, 15, 30, 60)))
    return held
