"""What Autodiscover says, in both of its languages: SOAP's GetUserSettings, and plain old XML as Outlook has asked since 2007.

Neighbours: autodiscover.py decides what is said.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from kalends_sandbox.exchange.releases import Build, release_of
from kalends_sandbox.exchange.soap import SOAP, XSI, text
from kalends_sandbox.mailbox import Mailbox

NS: Final = "http://schemas.microsoft.com/exchange/2010/Autodiscover"
POX_REQUEST: Final = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
POX_ANSWER: Final = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
_POX: Final = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
_ADDRESSING: Final = "http://www.w3.org/2005/08/addressing"
_DECLARATION: Final = '<?xml version="1.0" encoding="utf-8"?>'


@dataclass(frozen=True, slots=True)
class Guide:
    """What a mailbox's owner is told."""

    mailbox: Mailbox
    organisation: str
    deployment: uuid.UUID
    server: str
    internal_url: str
    external_url: str
    grouping: str
    build: Build

    @property
    def legacy_dn(self) -> str:
        name = self.mailbox.primary.partition("@")[0]
        group = "Exchange Administrative Group (FYDIBOHF23SPDLT)"
        return f"/o={self.organisation}/ou={group}/cn=Recipients/cn={self.mailbox.sid.rpartition('-')[2]}-{name}"

    def settings(self) -> Mapping[str, str]:
        """By the names of GetUserSettings."""
        version = ".".join(f"{part:02}" if at else str(part) for at, part in enumerate(self.build[:2]))
        version = f"{version}.{self.build[2]:04}.{self.build[3]:03}"
        return {
            "UserDisplayName": self.mailbox.name,
            "UserDN": self.legacy_dn,
            "UserDeploymentId": str(self.deployment),
            "AutoDiscoverSMTPAddress": self.mailbox.primary,
            "InternalMailboxServer": self.server,
            "InternalEwsUrl": self.internal_url,
            "ExternalEwsUrl": self.external_url,
            "ExternalEwsVersion": version,
            "CasVersion": version,
            "EwsSupportedSchemas": ", ".join(release_of(self.build).advertised),
            "GroupingInformation": self.grouping,
            "UserMSOnline": "False",
        }


# --- SOAP


def envelope(users: Iterable[str], build: Build, error: str = "NoError", message: str = "") -> bytes:
    """A whole GetUserSettings answer; `users` are made by the three functions below."""
    names = ("MajorVersion", "MinorVersion", "MajorBuildNumber", "MinorBuildNumber")
    numbers = "".join(f"<h:{name}>{number}</h:{name}>" for name, number in zip(names, build, strict=True))
    inside = "".join(users)
    return (
        f'{_DECLARATION}<s:Envelope xmlns:s="{SOAP}" xmlns:a="{_ADDRESSING}"><s:Header>'
        f'<a:Action s:mustUnderstand="1">{NS}/Autodiscover/GetUserSettingsResponse</a:Action>'
        f'<h:ServerVersionInfo xmlns:h="{NS}">{numbers}<h:Version>{release_of(build).advertised[-1]}</h:Version>'
        f'</h:ServerVersionInfo></s:Header><s:Body><GetUserSettingsResponseMessage xmlns="{NS}">'
        f'<Response xmlns:i="{XSI}"><ErrorCode>{error}</ErrorCode><ErrorMessage>{text(message)}</ErrorMessage>'
        f"<UserResponses>{inside}</UserResponses></Response></GetUserSettingsResponseMessage></s:Body></s:Envelope>"
    ).encode()


def told(guide: Guide, wanted: Iterable[str]) -> str:
    known = guide.settings()
    found, errors = [], []
    for name in wanted:
        if name in known:
            found.append(
                f'<UserSetting i:type="StringSetting"><Name>{name}</Name><Value>{text(known[name])}</Value></UserSetting>'
            )
        else:
            errors.append(
                "<UserSettingError><ErrorCode>SettingIsNotAvailable</ErrorCode>"
                f"<ErrorMessage>The setting is not available.</ErrorMessage><SettingName>{text(name)}</SettingName>"
                "</UserSettingError>"
            )
    return _user("NoError", "No error.", "".join(found), "".join(errors))


def sent_on(kind: str, target: str) -> str:
    """`kind` is RedirectUrl or RedirectAddress."""
    message = f"Redirection {'URL' if kind == 'RedirectUrl' else 'address'}."
    return _user(kind, message, target=target)


def unknown(address: str) -> str:
    return _user("InvalidUser", f"Invalid user: '{address}'")


def _user(code: str, message: str, settings: str = "", errors: str = "", target: str = "") -> str:
    redirect = f"<RedirectTarget>{text(target)}</RedirectTarget>" if target else '<RedirectTarget i:nil="true"/>'
    return (
        f"<UserResponse><ErrorCode>{code}</ErrorCode><ErrorMessage>{text(message)}</ErrorMessage>{redirect}"
        f"<UserSettingErrors>{errors}</UserSettingErrors><UserSettings>{settings}</UserSettings></UserResponse>"
    )


# --- plain old XML


def pox_settings(guide: Guide) -> bytes:
    """Two protocols: EXCH is for inside the network, EXPR for outside."""
    user = (
        f"<User><DisplayName>{text(guide.mailbox.name)}</DisplayName><LegacyDN>{text(guide.legacy_dn)}</LegacyDN>"
        f"<AutoDiscoverSMTPAddress>{text(guide.mailbox.primary)}</AutoDiscoverSMTPAddress>"
        f"<DeploymentId>{guide.deployment}</DeploymentId></User>"
    )
    inside = f"<ServerVersion>{_packed(guide.build)}</ServerVersion><MdbDN/>"
    protocols = "".join(
        f"<Protocol><Type>{kind}</Type><Server>{text(guide.server)}</Server>{extra}<ASUrl>{text(url)}</ASUrl>"
        f"<EwsUrl>{text(url)}</EwsUrl><GroupingInformation>{text(guide.grouping)}</GroupingInformation></Protocol>"
        for kind, url, extra in (("EXCH", guide.internal_url, inside), ("EXPR", guide.external_url, ""))
    )
    account = "<AccountType>email</AccountType><Action>settings</Action><MicrosoftOnline>False</MicrosoftOnline>"
    return _pox(f"{user}<Account>{account}{protocols}</Account>")


def pox_sent_on(action: str, target: str) -> bytes:
    """`action` is redirectUrl or redirectAddr."""
    element = action[0].upper() + action[1:]
    return _pox(
        f"<Account><AccountType>email</AccountType><Action>{action}</Action>"
        f"<{element}>{text(target)}</{element}></Account>"
    )


def pox_error(code: int, message: str, now: datetime, number: int) -> bytes:
    return (
        f'{_DECLARATION}<Autodiscover xmlns="{_POX}"><Response><Error Time="{now:%H:%M:%S.%f}" Id="{number}">'
        f"<ErrorCode>{code}</ErrorCode><Message>{text(message)}</Message><DebugData/></Error></Response></Autodiscover>"
    ).encode()


def _pox(content: str) -> bytes:
    return (
        f'{_DECLARATION}<Autodiscover xmlns="{_POX}"><Response xmlns="{POX_ANSWER}">{content}</Response></Autodiscover>'
    ).encode()


def _packed(build: Build) -> str:
    """Version numbers as POX packs them: 4 bits of layout, 6 of major, 6 of minor, a one, 15 of build; in hex."""
    return f"{7 << 28 | build[0] << 22 | build[1] << 16 | 1 << 15 | build[2]:X}"
