"""Subscribe and Unsubscribe, for all three kinds of subscription.

Neighbours: nodes.py keeps them; streaming.py, pull.py and push.py tell what they hear.
"""

from typing import Final

from kalends_sandbox.exchange import push
from kalends_sandbox.exchange.events import History, Terms
from kalends_sandbox.exchange.folders import target
from kalends_sandbox.exchange.nodes import Subscription
from kalends_sandbox.exchange.site import Call, Site
from kalends_sandbox.exchange.soap import (
    Element,
    Refusal,
    answer,
    children,
    failure,
    is_true,
    m,
    need,
    need_number,
    some,
    success,
    t,
    text,
    text_of,
    unreadable,
)

GONE: Final = "The specified subscription was not found."
_KINDS: Final = frozenset(
    {
        *("CopiedEvent", "CreatedEvent", "DeletedEvent", "ModifiedEvent", "MovedEvent", "NewMailEvent"),
        "FreeBusyChangedEvent",
    }
)
_A_DAY_IN_MINUTES: Final = 1440


def not_yours() -> Refusal:
    return Refusal("ErrorSubscriptionAccessDenied", "The subscription belongs to another account.")


def subscribe(site: Site, call: Call) -> str:
    try:
        payload = _subscribed(site, call)
    except Refusal as refusal:
        return answer(call.operation, [failure(call.operation, refusal)])
    return answer(call.operation, [success(call.operation, payload)])


def _subscribed(site: Site, call: Call) -> str:
    (request,) = some(call.element)[:1]
    terms = _terms(site, call, request)
    mailbox = call.acting_mailbox()
    history = site.nodes.history(mailbox) if terms.kind != "streaming" else None
    place = _place(history, request) if history is not None else 0
    node = site.nodes.route(call.request.headers, call.account.user)
    subscription = site.nodes.subscribe(node, call.account.user.lower(), mailbox, terms, place)
    payload = f"<m:SubscriptionId>{text(subscription.id)}</m:SubscriptionId>"
    if history is None:
        return payload
    return f"{payload}<m:Watermark>{history.watermark(place)}</m:Watermark>"


def _terms(site: Site, call: Call, request: Element) -> Terms:
    kinds = frozenset(text_of(kind) for kind in children(need(request, t("EventTypes"))))
    if not kinds or not kinds <= _KINDS:
        raise unreadable("EventTypes is empty or names an event that does not exist")
    minute_s = site.settings.minute_s
    folders = _folders(site, call, request)
    if request.tag == m("StreamingSubscriptionRequest"):
        return Terms("streaming", kinds, folders, site.settings.subscription_idle_s)
    if request.tag == m("PullSubscriptionRequest"):
        return Terms("pull", kinds, folders, _minutes(request, "Timeout") * minute_s)
    if request.tag == m("PushSubscriptionRequest"):
        return Terms("push", kinds, folders, _minutes(request, "StatusFrequency") * minute_s, push.address(request))
    raise unreadable("Subscribe asks for no streaming, pull or push subscription")


def _minutes(request: Element, name: str) -> int:
    return need_number(text_of(need(request, t(name))), name, 1, _A_DAY_IN_MINUTES)


def _place(history: History, request: Element) -> int:
    """Where the subscription begins to hear: at the watermark given, else now."""
    if request.find(m("Watermark")) is not None:
        raise unreadable("Watermark of a subscription belongs to the namespace of types")
    watermark = text_of(request.find(t("Watermark")))
    if not watermark:
        return history.place
    place = history.read(watermark)
    if place is None or place < history.oldest:
        raise Refusal("ErrorInvalidWatermark", "The watermark is not among the mailbox's events (any more).")
    return place


def _folders(site: Site, call: Call, request: Element) -> frozenset[str] | None:
    wanted, takes_all = request.find(t("FolderIds")), is_true(request.get("SubscribeToAllFolders"))
    if (wanted is None or len(wanted) == 0) != takes_all:
        raise Refusal(
            "ErrorInvalidSubscriptionRequest", "Name the folders to subscribe to, or subscribe to all folders."
        )
    if wanted is None:
        return None
    return frozenset(target(site, call, one)[1].id for one in children(wanted))


def unsubscribe(site: Site, call: Call) -> str:
    try:
        subscription = own(site, call)
        if subscription.terms.kind == "push":
            raise Refusal("ErrorInvalidSubscription", "A push subscription is ended by what its receiver answers.")
    except Refusal as refusal:
        return answer(call.operation, [failure(call.operation, refusal)])
    site.nodes.unsubscribe(subscription)
    return answer(call.operation, [success(call.operation)])


def own(site: Site, call: Call) -> Subscription:
    """The subscription that the request names, if it lives where the request was led to and is the caller's."""
    wanted = text_of(need(call.element, m("SubscriptionId")))
    found = site.nodes.find(site.nodes.route(call.request.headers, call.account.user), wanted)
    if found is None:
        raise Refusal("ErrorSubscriptionNotFound", GONE)
    if found.owner != call.account.user.lower():
        raise not_yours()
    return found
