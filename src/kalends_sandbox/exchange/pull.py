"""GetEvents: what a pull subscription has heard since a watermark. Neighbours: events.py keeps what happened.

Only the watermark told last is taken, as documented: whoever has lost an answer subscribes anew from the one before.
"""

from kalends_sandbox.exchange.events import notification
from kalends_sandbox.exchange.site import Call, Site
from kalends_sandbox.exchange.soap import Refusal, answer, failure, m, need, success, text_of
from kalends_sandbox.exchange.subscriptions import own


def get_events(site: Site, call: Call) -> str:
    try:
        payload = _events(site, call)
    except Refusal as refusal:
        return answer(call.operation, [failure(call.operation, refusal)])
    return answer(call.operation, [success(call.operation, payload)])


def _events(site: Site, call: Call) -> str:
    watermark = text_of(need(call.element, m("Watermark")))
    subscription = own(site, call)
    if subscription.terms.kind != "pull":
        raise Refusal("ErrorInvalidPullSubscriptionId", "The subscription is no pull subscription.")
    site.nodes.touch(subscription)
    history = site.nodes.history(subscription.mailbox)
    place = history.read(watermark)
    if place is None or place != subscription.place:
        raise Refusal("ErrorInvalidWatermark", "The watermark is not the last one that this subscription has told.")
    if site.faults.strike(("events_unreadable",), call.operation, call.mailbox):
        site.nodes.unsubscribe(subscription)
        raise Refusal("ErrorReadEventsFailed", "The events cannot be read. Subscribe again.")
    if place < history.oldest:
        site.nodes.unsubscribe(subscription)
        raise Refusal("ErrorMissedNotificationEvents", "Events after the watermark are gone. Subscribe again.")
    told, subscription.place = notification(subscription.id, subscription.terms, history, place)
    return told
