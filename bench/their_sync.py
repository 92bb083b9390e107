"""exchangelib 5.6, unpatched, reading every room as well as it can: `python -m bench.their_sync URL ROOMS CONNECTIONS`.

One pool of connections for all, as many threads, only the fields that are wanted, each room by one view. It keeps what
it read, since a hub keeps it too, and prints what it took as JSON.
"""

import json
import resource
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import exchangelib  # type: ignore[import-untyped]  # it ships no types
from exchangelib.protocol import BaseProtocol, NoVerifyHTTPAdapter  # type: ignore[import-untyped]
from urllib3.exceptions import InsecureRequestWarning

from bench.ews_read import FIELDS
from bench.worlds import PASSWORD, USER, address


def main(url: str, rooms: int, connections: int) -> None:
    BaseProtocol.HTTP_ADAPTER_CLS = NoVerifyHTTPAdapter
    warnings.simplefilter("ignore", InsecureRequestWarning)
    config = exchangelib.Configuration(
        service_endpoint=url,
        credentials=exchangelib.Credentials(USER, PASSWORD),
        auth_type=exchangelib.BASIC,
        version=exchangelib.Version(exchangelib.version.EXCHANGE_2016),
        max_connections=connections,
    )
    began, before = time.monotonic(), _cpu()
    with ThreadPoolExecutor(connections) as pool:
        held = list(pool.map(lambda number: _read(config, number), range(rooms)))
    took = time.monotonic() - began
    print(
        json.dumps(
            {
                "events": sum(len(room) for room in held),
                "seconds": took,
                "cpu_s": _cpu() - before,
                "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


def _read(config: object, number: int) -> list[object]:
    account = exchangelib.Account(
        address(number), config=config, autodiscover=False, access_type=exchangelib.IMPERSONATION
    )
    today = datetime.now(UTC)
    start, end = today - timedelta(days=7), today + timedelta(days=400)
    dates = (exchangelib.EWSDateTime.from_datetime(at).astimezone(exchangelib.UTC) for at in (start, end))
    view = account.calendar.view(**dict(zip(("start", "end"), dates, strict=True)))
    return list(view.only(*FIELDS))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
