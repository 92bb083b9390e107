"""What rights an Exchange account needs, as commands for the Exchange Management Shell, and the proof that it has no more.

The commands are Microsoft's (New-ManagementScope, New-ManagementRoleAssignment, Add-MailboxFolderPermission). Nothing here
changes a server: an administrator reads them and runs them.
"""

from dataclasses import dataclass

from kalends.model.event import CalendarId
from kalends.providers.exchange import directory, faults, requests
from kalends.providers.exchange.client import Client
from kalends.providers.exchange.settings import ExchangeSettings
from kalends.providers.protocol import CalendarGone, Finding, NotAllowed


@dataclass(frozen=True, slots=True)
class Rights:
    client: Client
    settings: ExchangeSettings

    def script(self, group: str | None) -> str:
        """Commands that let the account open rooms and equipment, and the members of `group`, and nobody else."""
        if self.settings.sign_in == "oauth":
            return "\n".join([*_linked(self.settings.client_id), _impersonation("$application", group)])
        user = _quoted(self.settings.username)
        return _impersonation(user, group) if self.settings.impersonate else _delegate(user, group)

    async def prove(self, address: str) -> Finding:
        """Tries to open a calendar that must stay closed to the account. Raises when that could not be tried."""
        try:
            # An application looks people up as a mailbox. If that is refused, nobody's calendar has been tried yet.
            await directory.room_lists(self.client)
        except CalendarGone as error:
            return Finding("rights", False, f"This proves nothing, nobody can be looked up: {error}")
        try:
            found = await directory.resolve(self.client, address)
            reading = requests.sync_items(found.address, None, 1)
            faults.only(await self.client.call(reading, found.address), found.address)
        except NotAllowed:
            return Finding("rights", True, f"{address} is refused to the service account, as it should be.")
        except CalendarGone as error:
            return Finding("rights", False, f"This proves nothing, give somebody who has a calendar: {error}")
        return Finding("rights", False, f"The service account can read {found.address}. {self._narrow()}")

    def _narrow(self) -> str:
        if self.settings.impersonate:
            return (
                "If it is no room, its rights are too wide: list them with Get-ManagementRoleAssignment -Role "
                "ApplicationImpersonation, and take away those without a scope (kalends accounts rights prints how)."
            )
        return (
            "If it is no room, take the right away: Remove-MailboxFolderPermission, for the service account or Default."
        )


async def room_opens(client: Client, room: CalendarId) -> Finding:
    """The other half of the proof: an account that may open nothing at all refuses everybody, too."""
    try:
        await directory.probe(client, room)
    except CalendarGone as error:
        return Finding("a room", False, str(error))
    return Finding("a room", True, f"{room} can be opened.")


def _linked(client_id: str) -> list[str]:
    """An application gets its rights through the account of Active Directory that it is linked to."""
    return [
        "# 0. The account that Exchange links the application to. If this prints nothing, link one that nobody uses:",
        "#    Set-PartnerApplication NAME -LinkedAccount DOMAIN\\USER, or New-PartnerApplication.",
        "$application = Get-PartnerApplication |",
        f"    Where-Object {{ $_.ApplicationIdentifier -eq {_quoted(client_id)} }} |",
        "    Select-Object -ExpandProperty LinkedAccount",
        "$application",
        "",
    ]


def _impersonation(user: str, group: str | None) -> str:
    """`user` is an expression of PowerShell."""
    kinds = "RecipientTypeDetails -eq 'RoomMailbox' -or RecipientTypeDetails -eq 'EquipmentMailbox'"
    members = f'$group = (Get-DistributionGroup {_quoted(group or "")}).DistinguishedName.Replace("\'", "\'\'")'
    scope = f"{kinds} -or MemberOfGroup -eq '$group'" if group else kinds
    return "\n".join(
        [
            "# 1. What the service account may act for: rooms and equipment" + (", and one group." if group else "."),
            *([members] if group else []),
            f'New-ManagementScope -Name "Kalends rooms" -RecipientRestrictionFilter "{scope}"',
            "",
            "# 2. The right to act for them, and for nobody else.",
            'New-ManagementRoleAssignment -Name "Kalends reads rooms" -Role ApplicationImpersonation `',
            f'    -User {user} -CustomRecipientWriteScope "Kalends rooms"',
            "",
            "# 3. Wider rights that it has: what this lists besides “Kalends reads rooms” reaches further.",
            f"Get-ManagementRoleAssignment -Role ApplicationImpersonation -RoleAssignee {user} |",
            "    Format-Table Name, RoleAssigneeName, CustomRecipientWriteScope, RecipientWriteScope",
            "# Take one away by its name; one that a role group gives, by leaving that group.",
            "# Remove-ManagementRoleAssignment -Identity NAME",
            "",
            *_throttling(user),
        ]
    )


def _delegate(user: str, group: str | None) -> str:
    also = [
        "",
        f"Get-DistributionGroupMember {_quoted(group or '')} | Get-Mailbox | ForEach-Object {{ Grant-Kalends $_ }}",
    ]
    return "\n".join(
        [
            "# 1. The right to read the calendars of rooms and equipment, and of nobody else. Folder names follow the",
            "#    mailbox's language, so the calendar is looked up. Run this again when rooms are added.",
            "function Grant-Kalends($mailbox) {",
            "    $calendar = Get-MailboxFolderStatistics $mailbox.Identity -FolderScope Calendar |",
            "        Where-Object { $_.FolderType -eq 'Calendar' } | Select-Object -First 1",
            '    Add-MailboxFolderPermission "$($mailbox.Identity):$($calendar.FolderId)" `',
            f"        -User {user} -AccessRights Reviewer",
            "}",
            "Get-Mailbox -RecipientTypeDetails RoomMailbox, EquipmentMailbox -ResultSize Unlimited |",
            "    ForEach-Object { Grant-Kalends $_ }",
            *(also if group else []),
            "",
            "# 2. Wider rights that it has: this must list nothing.",
            f"Get-ManagementRoleAssignment -Role ApplicationImpersonation -RoleAssignee {user}",
            f"Get-Mailbox -ResultSize Unlimited | Get-MailboxPermission -User {user}",
            "# Take them away with Remove-ManagementRoleAssignment -Identity NAME and with",
            f"# Remove-MailboxPermission MAILBOX -User {user} -AccessRights FullAccess",
            "",
            *_throttling(user),
        ]
    )


def _throttling(user: str) -> list[str]:
    return [
        "# Only if Kalends reports again and again that the server is busy: limits of its own for the service account,",
        "# instead of wider ones for everybody. Never “Unlimited”: a bound protects the server from any mistake of ours.",
        "# New-ThrottlingPolicy -Name Kalends -ThrottlingPolicyScope Regular `",
        "#     -EwsMaxConcurrency 40 -EwsMaxSubscriptions 5000",
        f"# Set-ThrottlingPolicyAssociation -Identity {user} -ThrottlingPolicy Kalends",
    ]


def _quoted(text: str) -> str:
    """As PowerShell takes it literally; it reads curly quotes as straight ones."""
    doubled = "".join(char * 2 if char in "'‘’‚‛" else char for char in text)
    return f"'{doubled}'"
