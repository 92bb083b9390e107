"""What may be kept of a conversation with Exchange: its structure, ids, times, states and codes, never what people wrote. Pure.

An element's text and an attribute are shown only if they are listed here as technical; all else, also what a future version
of Exchange may send, is masked. So are the server's own error texts, since they may quote what they complain of: the
response code says as much. The one address shown is that of the mailbox which the account acts as.
"""

from xml.parsers import expat  # without entities: a DOCTYPE ends the reading

from kalends.providers import masking
from kalends.providers.exchange import soap
from kalends.providers.tap import Dialect, Masked

SHOWN_BYTES = 64 * 1024
_DEEPEST = 100
_LONGEST_NAME = 80
_ACTS_AS = frozenset({"ConnectingSID", "DistinguishedFolderId"})
_CODES = frozenset({"ResponseCode", "faultcode"})
_BACK_OFF = frozenset({"BackOffMilliseconds", "InnerErrorResponseCode", "PolicyLimit", "CurrentConnectionCount"})
_XMLNS = ("http://schemas.microsoft.com/exchange/", "http://schemas.xmlsoap.org/", "http://www.w3.org/")

_TEXTS = frozenset(
    """
    AbsoluteDate Accuracy AdjacentMeetingCount AllowNewTimeProposal AppointmentReplyTime AppointmentSequenceNumber
    AppointmentState BaseShape Bias BodyType BusyType CalendarItemType ConferenceType ConflictingMeetingCount
    ConnectionStatus ConnectionTimeout Count DateTimeCreated DateTimeReceived DateTimeSent DateTimeStamp DayOfMonth
    DayOfWeek DayOfWeekIndex DayOrder DaysOfWeek DescriptiveLinkKey Duration End EndDate EndTime EventType
    FirstDayOfWeek FreeBusyViewType HasAttachments Importance IncludesLastFolderInRange IncludesLastItemInRange Interval
    IsAllDayEvent IsAssociated IsCancelled IsDraft IsException IsFromMe IsMeeting IsOnlineMeeting IsOrganizer IsPrivate
    IsReadFlag IsRecurring IsReminderSet IsResponseRequested IsResubmitted IsSubmitted IsUnmodified ItemClass
    LastModifiedTime LastResponseTime LegacyFreeBusyStatus Line LineNumber LinePosition MailboxType MaxChangesReturned
    MaxSyncChangesReturned MeetingRequestType MeetingRequestWasSent MergedFreeBusy
    MergedFreeBusyIntervalInMinutes Minutes Month MoreEvents MyResponseType NumberOfOccurrences OriginalStart Position
    PreviousWatermark RecurrenceId ReminderDueBy ReminderMinutesBeforeStart ResponseCode ResponseType RoutingType
    Sensitivity Size Start StartDate StartTime StatusFrequency SubscriptionId SyncScope SyncState Time TimeStamp Timeout
    TotalCount TotalItemsInView UID UnreadCount Watermark faultcode
    """.split()  # noqa: SIM905  # a list of ninety quoted names reads worse
)
_ATTRIBUTES = frozenset(
    """
    AffectedTaskOccurrences BasePoint ChangeKey ConflictResolution DeleteType DistinguishedPropertySetId EndDate
    FieldIndex FieldURI Id IncludesLastItemInRange IndexedPagingOffset InstanceIndex Key MajorBuildNumber MajorVersion
    MaxEntriesReturned MessageDisposition MinorBuildNumber MinorVersion OccurrenceId Offset Order PropertyId
    PropertySetId PropertyTag PropertyType RecurringMasterId ResponseClass ReturnFullContactData RootItemChangeKey
    RootItemId SearchScope SendMeetingCancellations SendMeetingInvitations SendMeetingInvitationsOrCancellations
    StartDate SuppressReadReceipts TotalItemsInView Traversal Version mustUnderstand nil
    """.split()  # noqa: SIM905
)


def _end(body: bytes) -> int | None:
    found = soap.END_OF_DOCUMENT.search(body)
    return None if found is None else found.end()


def masked(content_type: str, body: bytes, size: int) -> Masked:
    """A SOAP document line by line, a form or a JSON object; of anything else the length and why no more is shown."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return Masked(*masking.form(body))
    if kind == "application/json":
        return Masked(*masking.document(body))
    return _Page().of(body, size)


class _Full(Exception):
    """There is as much on the page as is kept."""


class _NotShown(Exception):
    """The document is not what Exchange would say; the message is ours."""


class _Page:
    """One document, written down as it is read. Reading stops when the page is full, however long the document is."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._size = 0
        self._path: list[tuple[str, str]] = []
        """Local name and `Name` attribute of each element around."""
        self._opening: str | None = None
        """The tag that was begun last, while nothing but text came after it."""
        self._text: list[str] = []
        self._operation = ""
        self._error = ""
        """The first response code that is no success."""

    def of(self, body: bytes, size: int) -> Masked:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.StartDoctypeDeclHandler = _refuse_doctype
        try:
            parser.Parse(soap.legal(body), size <= len(body))
        except _Full:
            pass
        except _NotShown as error:
            return Masked(note=f"{size} bytes: {error}")
        except expat.ExpatError as error:
            # expat's own words for the kind of error quote nothing of the document.
            what = expat.ErrorString(error.code)
            return Masked(note=f"{size} bytes that can't be read: {what} (line {error.lineno}, column {error.offset})")
        else:
            if size <= len(body):
                return Masked("\n".join(self._lines), gist=self._gist())
        return Masked("\n".join(self._lines), f"Cut here: the whole has {size} bytes.", self._gist())

    def _gist(self) -> str:
        return f"{self._operation} {self._error}".strip()

    def _begin(self, name: str, attributes: list[str]) -> None:
        local = name.rpartition(":")[2]
        if not self._path and local != "Envelope":
            raise _NotShown("no SOAP document")
        if len(self._path) >= _DEEPEST:
            raise _NotShown("nested too deeply")
        self._write_opening()
        if [each for each, _ in self._path] == ["Envelope", "Body"]:
            self._operation = _name(local)
        pairs = list(zip(attributes[::2], attributes[1::2], strict=True))
        names = dict(pairs)
        self._path.append((local, names.get("Name", "")))
        shown = "".join(f' {_name(each)}="{_escaped(self._attribute(each, value))}"' for each, value in pairs)
        self._opening = f"{_name(name)}{shown}"

    def _end(self, name: str) -> None:
        if self._opening is not None:
            text = self._said()
            if self._path[-1][0] in _CODES and text != "NoError":
                self._error = self._error or text
            self._write(f"<{self._opening}>{text}</{_name(name)}>" if text else f"<{self._opening}/>", -1)
            self._opening = None
        else:
            text = self._said()
            if text:
                self._write(text)
            self._write(f"</{_name(name)}>", -1)
        self._path.pop()

    def _write_opening(self) -> None:
        """What came before a child: the tag around it, and text beside it, which no technical element has."""
        text = "".join(self._text)
        self._text.clear()
        if self._opening is not None:
            self._write(f"<{self._opening}>", -1)
            self._opening = None
        if text.strip():
            self._write(masking.placeholder(text))

    def _said(self) -> str:
        text = "".join(self._text)
        self._text.clear()
        if not text.strip():
            return ""
        return _escaped(masking.shown(text) if self._is_technical() else masking.placeholder(text))

    def _is_technical(self) -> bool:
        local, name = self._path[-1]
        around = {each for each, _ in self._path[:-1]}
        if around & _ACTS_AS:
            return True
        return local in _TEXTS or (local == "Value" and name in _BACK_OFF)

    def _attribute(self, name: str, value: str) -> str:
        prefix, _, local = name.rpartition(":")
        if name == "xmlns" or prefix == "xmlns":
            return masking.shown(value) if value.startswith(_XMLNS) else masking.placeholder(value)
        is_back_off = name == "Name" and value in _BACK_OFF
        return masking.shown(value) if local in _ATTRIBUTES or is_back_off else masking.placeholder(value)

    def _write(self, line: str, less: int = 0) -> None:
        line = "  " * (len(self._path) + less) + line
        self._size += len(line) + 1
        if self._size > SHOWN_BYTES:
            raise _Full
        self._lines.append(line)


def _refuse_doctype(name: str, system: str | None, public: str | None, has_subset: int) -> None:
    raise _NotShown("a document with a DOCTYPE")


def _name(name: str) -> str:
    is_usual = len(name) <= _LONGEST_NAME and all(
        each.isascii() and (each.isalnum() or each in ":_-.") for each in name
    )
    return name if is_usual else "masked"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


DIALECT = Dialect(masked, _end)
