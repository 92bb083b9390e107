"""Meeting messages as they lie in folders: requests, answers and cancellations, received or sent.

Neighbours: post.py has them delivered, desk.py files copies of what was sent. A message is an item like any other, with
a `Letter` that says what it is; everything else it says is the meeting's, as it was when the message was written.
"""

from dataclasses import replace

from kalends_sandbox import series
from kalends_sandbox.copies import CANCELED
from kalends_sandbox.folder import Folder
from kalends_sandbox.item import Item, Letter, LetterKind, Party
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.post import Mail
from kalends_sandbox.world import World

MAX_LETTERS = 200
_REQUESTS = ("invitation", "update", "forwarded")
_DELEGATES_WORD = ("approval", "disapproval")  # for a room's attendant alone: no message of its own in Exchange
_MARKS: dict[LetterKind, str] = {
    "invitation": "", "update": "", "forwarded": "", "cancellation": CANCELED,
    "acceptance": "Accepted: ", "tentative": "Tentative: ", "refusal": "Declined: ",
}  # fmt: skip


def deliver(world: World, mail: Mail) -> None:
    """The message lies in the recipient's inbox, unless an attendant has taken it away."""
    recipient, sender = world.mailbox(mail.to), world.mailbox(mail.sender)
    inbox = recipient.folders.get("inbox") if recipient else None
    if recipient is None or inbox is None or mail.kind in _DELEGATES_WORD or _is_taken_away(recipient):
        return
    copy_id = _copy_id(recipient, mail)
    letter = Letter(
        kind=mail.kind,
        sender=Party(sender.name if sender else mail.sender, mail.sender),
        to=(Party(recipient.name, recipient.primary),),
        calendar_item_id=copy_id,
        is_processed=copy_id is not None,
    )
    _outdate(recipient, inbox, mail)
    inbox.add(_written(mail, letter), "new_mail")
    _keep_few(inbox)


def file(folder: Folder, sender: Mailbox, mail: Mail, to: tuple[Party, ...]) -> Item:
    """A copy of what was sent (or only drafted), one for all who get it; the item in `folder`."""
    letter = Letter(
        kind=mail.kind,
        sender=Party(sender.name, sender.primary),
        to=to,
        calendar_item_id=_copy_id(sender, mail),
        is_read=True,
        is_processed=True,
    )
    filed = folder.add(_written(mail, letter))
    _keep_few(folder)
    return filed


def _written(mail: Mail, letter: Letter) -> Item:
    meeting = mail.meeting
    if mail.original_start is not None and meeting.recurrence is not None:
        meeting = series.occurrence(meeting, mail.original_start)
    mark, subject = _MARKS[mail.kind], meeting.subject or ""
    is_request = mail.kind in _REQUESTS
    return replace(
        meeting,
        item_id="",
        change_key="",
        subject=subject if subject.startswith(mark) else mark + subject,
        body=meeting.body if is_request and not mail.note else mail.note or None,
        is_cancelled=mail.kind == "cancellation",
        my_response="NoResponseReceived" if is_request else meeting.my_response,
        categories=(),
        extended=(),
        has_reminder=False,
        created=None,
        letter=letter,
    )


def _is_taken_away(mailbox: Mailbox) -> bool:
    """A booking attendant clears its room's inbox; where it does not act, requests stay."""
    if mailbox.kind == "user":
        return False
    return mailbox.place is None or mailbox.place.rules.automate_processing == "AutoAccept"


def _outdate(recipient: Mailbox, inbox: Folder, mail: Mail) -> None:
    """Earlier requests for the same meeting, or the same occurrence of it, are not to be answered any more.

    A room's calendar attendant throws them away, unless RemoveOldMeetingMessages is off.
    """
    if mail.answer is not None:
        return
    for item in inbox.related(mail.meeting.clean_uid):
        is_same = mail.original_start in (None, item.original_start)
        if item.letter is not None and item.letter.kind in _REQUESTS and is_same and not item.letter.is_outdated:
            if _removes_old(recipient):
                recipient.move(item.item_id, recipient.folders["deleteditems"])
            else:
                inbox.save(replace(item, letter=replace(item.letter, is_outdated=True)))


def _removes_old(mailbox: Mailbox) -> bool:
    rules = mailbox.place.rules if mailbox.place else None
    return rules is not None and rules.automate_processing == "AutoUpdate" and rules.remove_old_meeting_messages


def _copy_id(mailbox: Mailbox, mail: Mail) -> str | None:
    related = mailbox.calendar.related(mail.meeting.clean_uid) if mailbox.calendar else ()
    return related[0].item_id if related else None


def _keep_few(folder: Folder) -> None:
    """Nobody here reads their mail: the oldest messages go, so that a long story does not fill the house."""
    if folder.count > MAX_LETTERS:
        oldest = next((item for item in folder.items.values() if item.letter is not None), None)
        if oldest is not None:
            folder.remove(oldest.item_id)
