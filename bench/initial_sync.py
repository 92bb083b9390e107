"""From the start of `kalends serve` until rooms are there: the days around now, then everything."""

from collections.abc import AsyncIterator

from bench.figures import Figure, Tell
from bench.stage import in_step, quiet, stage, total_calls
from bench.worlds import World


async def measure(quick: bool, tell: Tell) -> AsyncIterator[Figure]:
    worlds: dict[str, World | str] = {"small": World(6)} if quick else {"demo": "demo", "500_rooms": World(500)}
    for name, world in worlds.items():
        tell(f"the hub meets the {name.replace('_', ' ')} world …")
        async with stage(world, panels=False) as ground:
            reached = await in_step(ground)
            cpu = ground.hub.cpu_seconds(), ground.sandbox.running.cpu_seconds()
            await quiet(ground, 1.0)
            calls = total_calls(await ground.sandbox.control.json("GET", "/counters"))
            yield Figure(
                f"initial_sync_{name}",
                reached["all_in_step"] - reached["ready"],
                "s",
                details={
                    "rooms": ground.sandbox.facts["rooms"],
                    "start_s": reached["ready"],
                    "first_room_s": reached["first_room"] - reached["ready"],
                    "every_room_s": reached["every_room_has_its_week"] - reached["ready"],
                    "hub_cpu_s": cpu[0],
                    "sandbox_cpu_s": cpu[1],
                    "calls": calls,
                },
                note="Counted from the moment at which pages can be opened; `every_room_s`: each has the days around now.",
            )
