"""Exchange against the contract of all providers, over a loopback https socket with a pinned certificate."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from providers.contract import ProviderContract
from providers.exchange_stage import ExchangeStage, exchange_stage


class TestExchange(ProviderContract):
    @pytest_asyncio.fixture
    async def stage(self, tmp_path: Path) -> AsyncIterator[ExchangeStage]:
        async with exchange_stage(tmp_path) as stage:
            yield stage


class TestExchangeByNtlm(ProviderContract):
    @pytest_asyncio.fixture
    async def stage(self, tmp_path: Path) -> AsyncIterator[ExchangeStage]:
        async with exchange_stage(tmp_path, "ntlm", extended_protection="require") as stage:
            yield stage
            assert stage.exchange.counters()["refused_sign_ins"] == 0, "not one request came unsigned"


class TestExchangeByOAuth(ProviderContract):
    @pytest_asyncio.fixture
    async def stage(self, tmp_path: Path) -> AsyncIterator[ExchangeStage]:
        async with exchange_stage(tmp_path, "oauth") as stage:
            yield stage
            assert stage.tokens.issued == 1, "one token for all requests"
            assert stage.exchange.counters()["refused_sign_ins"] == 0
