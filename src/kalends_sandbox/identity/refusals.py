"""How the two identity providers of the Exchange world say no: Entra ID with AADSTS numbers, AD FS with MSIS numbers.

The sentences are the ones that administrators search the web for; trace ids are drawn, times are the world's.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Literal

Flavour = Literal["entra", "adfs"]


class Refusal(Exception):
    """A token request is refused. `number` stands for AADSTS… or MSIS…, `error` is OAuth's own word (RFC 6749, 5.2)."""

    def __init__(self, error: str, number: int, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.error, self.number, self.sentence, self.status = error, number, sentence, status


@dataclass(frozen=True, slots=True)
class Voice:
    """One provider's way of putting it; `tenant` is how the caller named the organisation."""

    flavour: Flavour
    tenant: str

    def missing(self, parameter: str) -> Refusal:
        if self.flavour == "adfs":
            return Refusal("invalid_request", 9605, f"The request is missing the required parameter '{parameter}'.")
        number = 7000218 if parameter == "client_secret" else 900144
        named = "'client_assertion' or 'client_secret'" if parameter == "client_secret" else f"'{parameter}'"
        error, status = ("invalid_client", 401) if parameter == "client_secret" else ("invalid_request", 400)
        return Refusal(error, number, f"The request body must contain the following parameter: {named}.", status)

    def other_grant(self, grant: str) -> Refusal:
        if self.flavour == "adfs":
            sentence = "The authorization server does not support the requested 'grant_type'."
            return Refusal("unsupported_grant_type", 9611, sentence)
        sentence = f"The app requested an unsupported grant type '{grant}'."
        return Refusal("unsupported_grant_type", 70003, sentence)

    def unknown_application(self, client_id: str) -> Refusal:
        if self.flavour == "adfs":
            sentence = (
                "The 'client_id' parameter in the request is invalid. "
                "No registered client is found with this identifier."
            )
            return Refusal("invalid_client", 9607, sentence)
        sentence = (
            f"Application with identifier '{client_id}' was not found in the directory '{self.tenant}'. This can happen if "
            "the application has not been installed by the administrator of the tenant or consented to by any user in the "
            "tenant. You may have sent your authentication request to the wrong tenant."
        )
        return Refusal("unauthorized_client", 700016, sentence)

    def wrong_secret(self, client_id: str) -> Refusal:
        if self.flavour == "adfs":
            sentence = "Client authentication failed. Please verify the credential provided for client authentication is valid."
            return Refusal("invalid_client", 9622, sentence)
        sentence = (
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not "
            f"the client secret ID, for a secret added to app '{client_id}'."
        )
        return Refusal("invalid_client", 7000215, sentence, 401)

    def bad_scope(self, scope: str) -> Refusal:
        sentence = (
            f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
            "/.default suffixed to the resource identifier (application ID URI)."
        )
        return Refusal("invalid_scope", 1002012, sentence)

    def unknown_resource(self, resource: str) -> Refusal:
        if self.flavour == "adfs":
            sentence = (
                "The received 'resource' parameter is invalid. The authorization server can not find a registered resource "
                "with the specified identifier."
            )
            return Refusal("invalid_resource", 9602, sentence)
        sentence = (
            f"The resource principal named {resource} was not found in the tenant named {self.tenant}. This can happen if "
            "the application has not been installed by the administrator of the tenant or consented to by any user in the "
            "tenant. You might have sent your authentication request to the wrong tenant."
        )
        return Refusal("invalid_resource", 500011, sentence)

    def unknown_tenant(self) -> Refusal:
        sentence = (
            f"Tenant '{self.tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
            "correct cloud. Check with your subscription administrator, this may happen if there are no active "
            "subscriptions for the tenant."
        )
        return Refusal("invalid_request", 90002, sentence)

    def facts(self, refusal: Refusal, now: datetime, rng: Random) -> dict[str, object]:
        """The JSON of the answer."""
        if self.flavour == "adfs":
            return {"error": refusal.error, "error_description": f"MSIS{refusal.number}: {refusal.sentence}"}
        trace, correlation = (str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(2))
        at = f"{now:%Y-%m-%d %H:%M:%S}Z"
        return {
            "error": refusal.error,
            "error_description": f"AADSTS{refusal.number}: {refusal.sentence} Trace ID: {trace} "
            f"Correlation ID: {correlation} Timestamp: {at}",
            "error_codes": [refusal.number],
            "timestamp": at,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={refusal.number}",
        }
