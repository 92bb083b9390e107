"""The sandbox's identity provider: tokens for applications, asked for as at Entra ID or AD FS."""

from kalends_sandbox.identity.server import Identity
from kalends_sandbox.identity.tokens import Tokens

__all__ = ["Identity", "Tokens"]
