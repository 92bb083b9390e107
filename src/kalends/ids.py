"""The seam for randomness and ids: the only module that makes them."""

import base64
import random
import secrets
from dataclasses import dataclass, field
from typing import Protocol


class Ids(Protocol):
    @property
    def rng(self) -> random.Random:
        """For jitter and choices; never for secrets."""
        ...

    def new(self, prefix: str) -> str:
        """A fresh id such as `acc_k3v9…`: 80 random bits in lower-case base 32."""
        ...

    def secret(self, size_bytes: int = 32) -> str:
        """A fresh URL-safe secret."""
        ...

    def noise(self, size_bytes: int) -> bytes:
        """Fresh random bytes for cryptography."""
        ...


@dataclass(frozen=True, slots=True)
class RandomIds:
    """From the operating system's randomness."""

    rng: random.Random = field(default_factory=random.SystemRandom)

    def new(self, prefix: str) -> str:
        return f"{prefix}_{_base32(secrets.token_bytes(10))}"

    def secret(self, size_bytes: int = 32) -> str:
        return secrets.token_urlsafe(size_bytes)

    def noise(self, size_bytes: int) -> bytes:
        return secrets.token_bytes(size_bytes)


@dataclass(frozen=True, slots=True)
class SeededIds:
    """From a seed, for the simulation and tests: the same run makes the same ids. Never for production."""

    rng: random.Random

    def new(self, prefix: str) -> str:
        return f"{prefix}_{_base32(self.rng.randbytes(10))}"

    def secret(self, size_bytes: int = 32) -> str:
        return base64.urlsafe_b64encode(self.rng.randbytes(size_bytes)).rstrip(b"=").decode()

    def noise(self, size_bytes: int) -> bytes:
        return self.rng.randbytes(size_bytes)


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode().rstrip("=").lower()
