"""The sandbox's Exchange Server: EWS over http and https, from one world. `server.Exchange` is its handler for `http.serve`."""

from kalends_sandbox.exchange.server import Exchange
from kalends_sandbox.exchange.settings import Settings

__all__ = ["Exchange", "Settings"]
