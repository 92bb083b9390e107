// ews-javascript-api, unpatched, as a command: reads one JSON task from standard input, does it, prints one JSON answer.
// {url, user, password, as?, task, args}: `as` is the address to impersonate. Each task is a function below.

const {
  Appointment, AppointmentSchema, AttendeeInfo, AutodiscoverService, AvailabilityData, AvailabilityOptions, BasePropertySet,
  CalendarView, ConflictResolutionMode, ConnectingIdType, DateTime, DayOfTheWeek, DayOfTheWeekIndex, DefaultExtendedPropertySet, DeleteMode,
  EventType, ExchangeService, ExchangeVersion, ExtendedPropertyDefinition, Folder, FolderId, FolderView, FreeBusyViewType,
  ImpersonatedUserId, ItemId, ItemView, LegacyFreeBusyStatus, MapiPropertyType, MessageBody, Month, OAuthCredentials,
  PropertySet, Recurrence, ResolveNameSearchLocation, SearchFilter, SendCancellationsMode, SendInvitationsMode,
  SendInvitationsOrCancellationsMode, SortDirection, StreamingSubscriptionConnection, SyncFolderItemsScope, TimeWindow,
  TimeZoneInfo, Uri, UserConfiguration, UserConfigurationProperties, UserSettingName, WebCredentials, WellKnownFolderName,
} = require("ews-javascript-api");
const { XhrApi } = require("@ewsjs/xhr");

const time = (text) => new DateTime(text);
const iso = (at) => (at ? at.ToISOString() : null);

const DETAILS = [
  "Subject", "Start", "End", "Location", "ICalUid", "IsAllDayEvent", "LegacyFreeBusyStatus", "Sensitivity",
  "IsCancelled", "IsMeeting", "AppointmentType", "MyResponseType", "Organizer", "RequiredAttendees",
  "OptionalAttendees", "Resources",
];

function details() {
  return new PropertySet(BasePropertySet.IdOnly, DETAILS.map((name) => AppointmentSchema[name]));
}

function people(attendees) {
  return attendees.Items.map((one) => ({ address: one.Address, response: one.ResponseType }));
}

function told(item) {
  return {
    id: item.Id.UniqueId, change: item.Id.ChangeKey, subject: item.Subject, start: iso(item.Start), end: iso(item.End),
    location: item.Location, uid: item.ICalUid, allDay: item.IsAllDayEvent, showAs: item.LegacyFreeBusyStatus,
    sensitivity: item.Sensitivity, cancelled: item.IsCancelled, meeting: item.IsMeeting, kind: item.AppointmentType,
    response: item.MyResponseType, organizer: item.Organizer && item.Organizer.Address,
    required: people(item.RequiredAttendees), optional: people(item.OptionalAttendees), resources: people(item.Resources),
  };
}

const tasks = {
  async view(service, { start, end }) {
    const found = await service.FindAppointments(WellKnownFolderName.Calendar, new CalendarView(time(start), time(end)));
    if (found.Items.length) await service.LoadPropertiesForItems(found.Items, details());
    return found.Items.map(told);
  },

  async bind(service, { id }) {
    return told(await Appointment.Bind(service, new ItemId(id), details()));
  },

  async sync(service, { state, most }) {
    const folder = new FolderId(WellKnownFolderName.Calendar);
    const scope = SyncFolderItemsScope.NormalItems;
    const page = await service.SyncFolderItems(folder, PropertySet.IdOnly, null, most, scope, state);
    const changes = page.GetEnumerator().map((one) => ({ kind: one.ChangeType, id: one.ItemId.UniqueId }));
    return { state: page.SyncState, more: page.MoreChangesAvailable, changes };
  },

  async rooms(service) {
    const lists = await service.GetRoomLists();
    const rooms = [];
    for (const list of lists.Items) {
      for (const room of await service.GetRooms(list)) rooms.push([list.Address, room.Name, room.Address]);
    }
    return rooms;
  },

  async resolve(service, { name }) {
    const found = await service.ResolveName(name, ResolveNameSearchLocation.DirectoryOnly, true);
    return found.GetEnumerator().map((one) => [one.Mailbox.Name, one.Mailbox.Address]);
  },

  async folder(service, { name }) {
    const found = await Folder.Bind(service, WellKnownFolderName[name]);
    return { name: found.DisplayName, total: found.TotalCount };
  },

  async listen(service, { wanted }) {
    const subscription = await service.SubscribeToStreamingNotifications(
      [new FolderId(WellKnownFolderName.Calendar)],
      EventType.Created, EventType.Modified, EventType.Deleted, EventType.Moved,
    );
    const heard = [];
    const connection = new StreamingSubscriptionConnection(service, 1);
    connection.AddSubscription(subscription);
    await new Promise((resolve, reject) => {
      connection.OnNotificationEvent.push((_, args) => {
        for (const event of args.Events) heard.push([event.EventType, event.ItemId ? event.ItemId.UniqueId : null]);
        if (heard.length >= wanted) resolve();
      });
      connection.OnSubscriptionError.push((_, error) => reject(error.Exception || error));
      connection.Open();
      console.error("listening");
    });
    connection.Close();
    await subscription.Unsubscribe();
    return heard;
  },

  async pull(service, { rounds }) {
    const subscription = await service.SubscribeToPullNotifications(
      [new FolderId(WellKnownFolderName.Calendar)], 5, null, EventType.Created, EventType.Modified, EventType.Deleted,
    );
    const heard = [];
    for (let round = 0; round < rounds; round++) {
      const events = await subscription.GetEvents();
      heard.push(events.AllEvents.map((one) => [one.EventType, one.ItemId ? one.ItemId.UniqueId : null]));
      if (round === 0) {
        await create(service, { subject: "Heard by asking", start: "2026-11-20T18:00:00Z", end: "2026-11-20T19:00:00Z" });
      }
    }
    await subscription.Unsubscribe();
    return heard;
  },

  async create(service, wish) {
    return create(service, wish);
  },

  async edit(service, { id, set = {}, add = [], drop = [], conflicts = "AutoResolve", send = "SendToAllAndSaveCopy" }) {
    const item = await Appointment.Bind(service, new ItemId(id), details());
    fill(item, set);
    for (const address of add) item.RequiredAttendees.Add(address);
    for (const address of drop) {
      item.RequiredAttendees.Remove(item.RequiredAttendees.Items.find((one) => one.Address === address));
    }
    await item.Update(ConflictResolutionMode[conflicts], SendInvitationsOrCancellationsMode[send]);
    return { id: item.Id.UniqueId, change: item.Id.ChangeKey };
  },

  async editTwice(service, { id, subjects }) {
    const both = [];
    for (const subject of subjects) {
      const item = await Appointment.Bind(service, new ItemId(id), details());
      item.Subject = subject;
      both.push(item);
    }
    for (const item of both) {
      await item.Update(ConflictResolutionMode.NeverOverwrite, SendInvitationsOrCancellationsMode.SendToNone);
    }
    return null;
  },

  async remove(service, { id, mode = "HardDelete", send = "SendToAllAndSaveCopy" }) {
    const item = await Appointment.Bind(service, new ItemId(id));
    await item.Delete(DeleteMode[mode], SendCancellationsMode[send]);
    return null;
  },

  async cancel(service, { id, text }) {
    const item = await Appointment.Bind(service, new ItemId(id));
    await item.CancelMeeting(text);
    return null;
  },

  async answer(service, { id, how }) {
    const item = await Appointment.Bind(service, new ItemId(id));
    if (how === "accept") await item.Accept(true);
    if (how === "tentative") await item.AcceptTentatively(true);
    if (how === "decline") await item.Decline(true);
    return null;
  },

  async occurrence(service, { master, index, set, remove }) {
    const one = await Appointment.BindToOccurrence(service, new ItemId(master), index, details());
    const before = told(one);
    if (set) {
      fill(one, set);
      await one.Update(ConflictResolutionMode.AutoResolve, SendInvitationsOrCancellationsMode.SendToNone);
    }
    if (remove) await one.Delete(DeleteMode.HardDelete, SendCancellationsMode.SendToNone);
    return before;
  },

  async master(service, { id }) {
    const names = ["Subject", "Recurrence", "FirstOccurrence", "LastOccurrence", "ModifiedOccurrences", "DeletedOccurrences"];
    const wanted = new PropertySet(BasePropertySet.IdOnly, names.map((name) => AppointmentSchema[name]));
    const item = await Appointment.BindToRecurringMaster(service, new ItemId(id), wanted);
    const changed = item.ModifiedOccurrences ? item.ModifiedOccurrences.Items : [];
    const gone = item.DeletedOccurrences ? item.DeletedOccurrences.Items : [];
    return {
      id: item.Id.UniqueId, first: iso(item.FirstOccurrence.Start), last: item.LastOccurrence && iso(item.LastOccurrence.Start),
      pattern: item.Recurrence.constructor.name, occurrences: item.Recurrence.NumberOfOccurrences,
      modified: changed.map((one) => [iso(one.OriginalStart), iso(one.Start)]), deleted: gone.map((one) => iso(one.OriginalStart)),
    };
  },

  async find(service, { subject, offset = 0, most = 100, folder = "Calendar" }) {
    const view = new ItemView(most, offset);
    view.PropertySet = new PropertySet(BasePropertySet.IdOnly, [AppointmentSchema.Subject]);
    view.OrderBy.Add(AppointmentSchema.Subject, SortDirection.Ascending);
    const where = subject && new SearchFilter.ContainsSubstring(AppointmentSchema.Subject, subject);
    const place = WellKnownFolderName[folder];
    const found = await (where ? service.FindItems(place, where, view) : service.FindItems(place, view));
    return { subjects: found.Items.map((one) => one.Subject), total: found.TotalCount, more: found.MoreAvailable };
  },

  async folders(service) {
    const found = await service.FindFolders(WellKnownFolderName.MsgFolderRoot, new FolderView(50));
    return found.Folders.map((one) => one.DisplayName);
  },

  async move(service, { id, to, copy }) {
    const item = await Appointment.Bind(service, new ItemId(id));
    const target = new FolderId(WellKnownFolderName[to]);
    const moved = await (copy ? item.Copy(target) : item.Move(target));
    return moved ? moved.Id.UniqueId : null;
  },

  async tag(service, { id, value }) {
    const tag = new ExtendedPropertyDefinition(DefaultExtendedPropertySet.PublicStrings, "KalendsJudge", MapiPropertyType.String);
    const seen = new PropertySet(BasePropertySet.IdOnly, [tag]);
    const item = await Appointment.Bind(service, new ItemId(id), seen);
    item.SetExtendedProperty(tag, value);
    await item.Update(ConflictResolutionMode.AlwaysOverwrite, SendInvitationsOrCancellationsMode.SendToNone);
    const again = await Appointment.Bind(service, new ItemId(id), seen);
    return again.ExtendedProperties.Items.map((one) => one.Value);
  },

  async configuration(service) {
    const calendar = new FolderId(WellKnownFolderName.Calendar);
    const found = await UserConfiguration.Bind(service, "Calendar", calendar, UserConfigurationProperties.Dictionary);
    return found.Dictionary.TryGetValue ? found.Dictionary._getItem("AutomateProcessing") : null;
  },

  async busy(service, { addresses, start, end }) {
    const asked = addresses.map((address) => new AttendeeInfo(address));
    const options = new AvailabilityOptions();
    options.RequestedFreeBusyView = FreeBusyViewType.DetailedMerged;
    const window = new TimeWindow(time(start), time(end));
    const found = await service.GetUserAvailability(asked, window, AvailabilityData.FreeBusy, options);
    return found.AttendeesAvailability.Responses.map((one) => ({
      error: one.ErrorCode, merged: one.MergedFreeBusyStatus.join(""),
      events: one.CalendarEvents.map((event) => ({
        start: iso(event.StartTime), end: iso(event.EndTime), status: event.FreeBusyStatus,
        subject: event.Details ? event.Details.Subject : null,
      })),
    }));
  },
};

const RECURRENCES = {
  daily: ({ start, every }) => new Recurrence.DailyPattern(time(start), every),
  weekly: ({ start, every, days }) => new Recurrence.WeeklyPattern(time(start), every, days.map((day) => DayOfTheWeek[day])),
  monthly: ({ start, every, day }) => new Recurrence.MonthlyPattern(time(start), every, day),
  relativeMonthly: ({ start, every, day, week }) =>
    new Recurrence.RelativeMonthlyPattern(time(start), every, DayOfTheWeek[day], DayOfTheWeekIndex[week]),
  yearly: ({ start, month, day }) => new Recurrence.YearlyPattern(time(start), Month[month], day),
  relativeYearly: ({ start, month, day, week }) =>
    new Recurrence.RelativeYearlyPattern(time(start), Month[month], DayOfTheWeek[day], DayOfTheWeekIndex[week]),
};

function fill(item, { subject, start, end, location, showAs, body }) {
  if (subject !== undefined) item.Subject = subject;
  if (start !== undefined) item.Start = time(start);
  if (end !== undefined) item.End = time(end);
  if (location !== undefined) item.Location = location;
  if (showAs !== undefined) item.LegacyFreeBusyStatus = LegacyFreeBusyStatus[showAs];
  if (body !== undefined) item.Body = new MessageBody(body);
}

async function create(service, wish) {
  const item = new Appointment(service);
  fill(item, wish);
  item.StartTimeZone = TimeZoneInfo.FindSystemTimeZoneById(wish.zone || "W. Europe Standard Time");
  item.EndTimeZone = item.StartTimeZone;
  for (const address of wish.required || []) item.RequiredAttendees.Add(address);
  for (const address of wish.optional || []) item.OptionalAttendees.Add(address);
  for (const address of wish.resources || []) item.Resources.Add(address);
  if (wish.recurrence) {
    item.Recurrence = RECURRENCES[wish.recurrence.kind](wish.recurrence);
    if (wish.recurrence.count) item.Recurrence.NumberOfOccurrences = wish.recurrence.count;
    if (wish.recurrence.until) item.Recurrence.EndDate = time(wish.recurrence.until);
  }
  const isMeeting = wish.required || wish.optional || wish.resources;
  await item.Save(isMeeting ? SendInvitationsMode.SendToAllAndSaveCopy : SendInvitationsMode.SendToNone);
  return { id: item.Id.UniqueId, change: item.Id.ChangeKey };
}

async function discovered({ url, user, password, address }) {
  const service = new AutodiscoverService(new Uri(url), ExchangeVersion.Exchange2016);
  service.Credentials = new WebCredentials(user, password);
  service.RedirectionUrlValidationCallback = () => true;
  const wanted = [UserSettingName.ExternalEwsUrl, UserSettingName.InternalEwsUrl, UserSettingName.GroupingInformation];
  const found = await service.GetUserSettings(address, wanted);
  return {
    error: found.ErrorCode, target: found.RedirectTarget,
    external: found.Settings.get(UserSettingName.ExternalEwsUrl),
    internal: found.Settings.get(UserSettingName.InternalEwsUrl),
    grouping: found.Settings.get(UserSettingName.GroupingInformation),
  };
}

function connected({ url, user, password, ntlm, token, as }) {
  const service = new ExchangeService(ExchangeVersion.Exchange2016);
  service.Url = new Uri(url);
  service.Credentials = token ? new OAuthCredentials(token) : new WebCredentials(user, password);
  if (ntlm) service.XHRApi = new XhrApi().useNtlmAuthentication(user, password);
  if (as) service.ImpersonatedUserId = new ImpersonatedUserId(ConnectingIdType.SmtpAddress, as);
  return service;
}

async function main() {
  let text = "";
  for await (const chunk of process.stdin) text += chunk;
  const given = JSON.parse(text);
  try {
    const args = given.args || {};
    const isDiscovery = given.task === "discover";
    const result = isDiscovery ? await discovered({ ...given, ...args }) : await tasks[given.task](connected(given), args);
    console.log(JSON.stringify({ result }));
  } catch (error) {
    // The client also rejects with nothing at all, when an answer is none that it knows.
    const code = error?.ErrorCode ?? error?.Response?.ErrorCode ?? error?.constructor.name;
    console.log(JSON.stringify({ error: String(code), message: String(error?.Message || error?.message || error) }));
  }
  process.exit(0);
}

main();
