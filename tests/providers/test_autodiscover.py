"""Autodiscover as decisions: whom it asks, in which order, and what each answer leads to."""

from collections.abc import Callable

import pytest

from kalends.providers.exchange import autodiscover
from kalends.providers.exchange.autodiscover import Ask, Confirm, Ended, Found, Search
from kalends.providers.exchange.autodiscover_wire import Denied, Moved, Nothing, Offered, Renamed, Reply, Told
from kalends.providers.exchange.places import BadPlace
from kalends.providers.exchange.settings import Way
from kalends.providers.exchange.version import Build
from kalends.providers.protocol import AuthLost, Rejected

SVC, XML = "/autodiscover/autodiscover.svc", "/autodiscover/autodiscover.xml"
ADA = "ada@example.com"
AWAY = Nothing("can't be reached", is_away=True)
NO = Nothing("answers 404")
NTLM = Offered(frozenset({"ntlm", "basic"}), "Basic and NTLM")
EWS = "https://mail.example.com/EWS/Exchange.asmx"
TOLD = Told(EWS, "https://exch01/EWS/Exchange.asmx", "Berlin", Build(15, 2, 1748, 10))


def play(search: Search, *replies: Reply | bool) -> Search:
    """The search after these answers; a bool answers a question to the admin."""
    for reply in replies:
        if isinstance(reply, bool):
            assert isinstance(autodiscover.upcoming(search), Confirm)
            search = autodiscover.decided(search, reply)
        else:
            assert isinstance(autodiscover.upcoming(search), Ask)
            search = autodiscover.heard(search, reply)
    return search


def asking(search: Search) -> str:
    """The address that is asked next."""
    move = autodiscover.upcoming(search)
    assert isinstance(move, Ask), move
    return move.url


def sentence(search: Search) -> str:
    move = autodiscover.upcoming(search)
    assert isinstance(move, Ended), move
    return str(move.error)


def last(search: Search) -> str:
    return search.trail[-1].detail


def test_the_four_candidates_are_asked_in_order_and_then_nobody() -> None:
    search = autodiscover.begin(ADA, "ntlm")
    asked = []

    while isinstance(move := autodiscover.upcoming(search), Ask):
        asked.append((move.dialect, move.url, move.is_signed_in))
        search = autodiscover.heard(search, NO)

    assert asked == [
        ("soap", f"https://example.com{SVC}", False),
        ("pox", f"https://example.com{XML}", False),
        ("soap", f"https://autodiscover.example.com{SVC}", False),
        ("pox", f"https://autodiscover.example.com{XML}", False),
        ("http", f"http://example.com{XML}", False),
        ("http", f"http://autodiscover.example.com{XML}", False),
    ]
    assert "give the address yourself" in sentence(search)


def test_a_host_that_is_away_is_asked_no_second_time_over_https_but_once_over_http() -> None:
    search = play(autodiscover.begin(ADA, "ntlm"), AWAY)

    assert asking(search) == f"https://autodiscover.example.com{SVC}"
    assert asking(play(search, AWAY)) == f"http://example.com{XML}"


def test_the_sign_in_follows_its_offer_at_the_same_address() -> None:
    search = play(autodiscover.begin(ADA, "ntlm"), NTLM)

    move = autodiscover.upcoming(search)

    assert isinstance(move, Ask)
    assert (move.url, move.is_signed_in, move.address) == (f"https://example.com{SVC}", True, ADA)


def test_what_exchange_says_is_found() -> None:
    search = play(autodiscover.begin(ADA, "ntlm"), NTLM, TOLD)

    found = autodiscover.upcoming(search)

    assert found == Found(
        EWS, "https://exch01/EWS/Exchange.asmx", "Berlin", Build(15, 2, 1748, 10), f"https://example.com{SVC}"
    )


@pytest.mark.parametrize(
    ("way", "schemes", "is_signed_in"),
    [
        ("ntlm", {"ntlm"}, True),
        ("ntlm", {"negotiate"}, True),
        ("ntlm", {"basic"}, False),
        ("ntlm", {"digest", "bearer"}, False),
        ("ntlm", set(), False),
        ("oauth", {"bearer"}, True),
        ("oauth", {"basic", "ntlm", "negotiate"}, False),
        ("basic", {"basic"}, True),
        ("basic", {"ntlm"}, False),
    ],
)
def test_no_offer_makes_it_sign_in_another_way(way: Way, schemes: set[str], is_signed_in: bool) -> None:
    begun = autodiscover.begin(ADA, way, confirmed=["example.com"])
    search = play(begun, Offered(frozenset(schemes), "this and that"))

    move = autodiscover.upcoming(search)

    assert isinstance(move, Ask)
    assert move.is_signed_in == is_signed_in
    if not is_signed_in:
        assert "no credentials were sent" in last(search)


@pytest.mark.parametrize(("way", "scheme"), [("basic", "basic"), ("oauth", "bearer")])
def test_a_bare_mail_domain_gets_no_password_nor_token_unless_its_name_is_typed(way: Way, scheme: str) -> None:
    offer = Offered(frozenset({scheme}), "something")

    search = play(autodiscover.begin(ADA, way), offer)

    question = autodiscover.upcoming(search)
    assert isinstance(question, Confirm)
    assert question.host == "example.com"
    assert "public web site" in question.why
    assert asking(play(search, True)) == f"https://example.com{SVC}"
    assert asking(play(search, False)) == f"https://autodiscover.example.com{SVC}"
    assert asking(play(search, False, offer)) == f"https://autodiscover.example.com{SVC}"
    assert asking(play(autodiscover.begin(ADA, way, confirmed=["example.com"]), offer)) == f"https://example.com{SVC}"


@pytest.mark.parametrize("refusal", [Denied("The password is wrong."), NTLM], ids=["sentence", "bare 401"])
def test_a_refused_sign_in_ends_the_search(refusal: Reply) -> None:
    search = play(autodiscover.begin(ADA, "ntlm"), NTLM, refusal)

    end = autodiscover.upcoming(search)

    assert isinstance(end, Ended)
    assert isinstance(end.error, AuthLost)
    assert "so that the account is not locked out" in str(end.error)


@pytest.mark.parametrize("reply", [TOLD, Renamed("ada@other.example")], ids=["settings", "another address"])
def test_an_answer_without_a_sign_in_is_not_believed(reply: Reply) -> None:
    search = play(autodiscover.begin(ADA, "ntlm"), reply)

    assert asking(search) == f"https://example.com{XML}"
    assert "not believed" in last(search)


@pytest.mark.parametrize("reply", [TOLD, NTLM, Renamed("ada@other.example")], ids=["settings", "sign-in", "address"])
def test_http_is_believed_nothing_but_a_redirect(reply: Reply) -> None:
    search = play(autodiscover.begin(ADA, "ntlm"), AWAY, AWAY)

    after = play(search, reply)

    assert asking(search).startswith("http://example.com/")
    assert asking(after).startswith("http://autodiscover.example.com/")
    assert "believed nothing else" in last(after)


# --- redirects -------------------------------------------------------------------------------------------------------


def test_a_redirect_to_another_host_is_a_question_before_anything_is_sent() -> None:
    search = play(autodiscover.begin(ADA, "ntlm"), Moved(f"https://mail.other.example{XML}"))

    question = autodiscover.upcoming(search)

    assert question == Confirm("mail.other.example", "example.com redirects to it")
    assert asking(play(search, True)) == f"https://mail.other.example{SVC}"


def test_a_host_that_is_not_confirmed_is_never_asked_nor_asked_about_again() -> None:
    away = Moved(f"https://mail.other.example{XML}")

    search = play(autodiscover.begin(ADA, "ntlm"), away, False, away)

    assert asking(search) == f"https://autodiscover.example.com{SVC}"
    assert any("no credentials were sent there" in step.detail for step in search.trail)


def test_a_host_named_beforehand_needs_no_question() -> None:
    search = autodiscover.begin(ADA, "ntlm", confirmed=["Mail.Other.example"])

    search = play(search, Moved(f"https://mail.other.example{XML}"))

    assert asking(search) == f"https://mail.other.example{SVC}"


def test_another_port_of_an_own_host_is_another_host() -> None:
    search = play(autodiscover.begin(ADA, "ntlm"), Moved(f"https://example.com:8443{SVC}"))

    assert autodiscover.upcoming(search) == Confirm("example.com:8443", "example.com redirects to it")


def test_a_redirect_from_http_leads_to_https_with_both_dialects() -> None:
    search = play(autodiscover.begin(ADA, "ntlm"), AWAY, AWAY, Moved(f"https://mail.example.com{XML}"), True)

    assert asking(search) == f"https://mail.example.com{SVC}"
    assert asking(play(search, NO)) == f"https://mail.example.com{XML}"


def test_a_redirect_to_another_address_asks_about_that_one_at_its_own_hosts() -> None:
    search = play(autodiscover.begin(ADA, "ntlm"), NTLM, Renamed("Ada@Other.example"))

    question = autodiscover.upcoming(search)
    assert isinstance(question, Confirm)
    assert question.host == "other.example"
    move = autodiscover.upcoming(play(search, False, True))
    assert isinstance(move, Ask)
    assert (move.url, move.address) == (f"https://autodiscover.other.example{SVC}", "Ada@other.example")


def test_a_redirect_to_another_address_of_the_same_domain_needs_no_question() -> None:
    search = play(autodiscover.begin(ADA, "ntlm"), NTLM, Renamed("ada.lovelace@example.com"))

    move = autodiscover.upcoming(search)

    assert isinstance(move, Ask)
    assert (move.url, move.address) == (f"https://example.com{SVC}", "ada.lovelace@example.com")
    assert not move.is_signed_in


def everything_asked(search: Search, answers: Callable[[Ask], Reply]) -> list[tuple[str, str, bool]]:
    """All that a search asks until it ends; every host is confirmed."""
    asked = []
    for _ in range(1000):
        move = autodiscover.upcoming(search)
        if isinstance(move, Found | Ended):
            return asked
        if isinstance(move, Ask):
            asked.append((move.url, move.address, move.is_signed_in))
            search = autodiscover.heard(search, answers(move))
        else:
            search = autodiscover.decided(search, True)
    raise AssertionError("the search does not end")


def test_two_hosts_that_redirect_to_each_other_are_asked_once_each() -> None:
    def around(ask: Ask) -> Reply:
        other = "example.com" if ask.place.host.startswith("autodiscover") else "autodiscover.example.com"
        return Moved(f"https://{other}{ask.place.path}")

    asked = everything_asked(autodiscover.begin(ADA, "ntlm"), around)

    assert len(asked) == len(set(asked)) == 6


def test_two_mail_addresses_that_redirect_to_each_other_are_asked_about_once_each() -> None:
    def around(ask: Ask) -> Reply:
        return Renamed("b@example.com" if ask.address == ADA else ADA) if ask.is_signed_in else NTLM

    asked = everything_asked(autodiscover.begin(ADA, "ntlm"), around)

    assert len(asked) == len(set(asked))
    assert {address for _, address, _ in asked} == {ADA, "b@example.com"}


def test_an_answer_that_leads_where_everything_was_asked_is_said_to_be_a_loop() -> None:
    search = play(autodiscover.begin(ADA, "ntlm", f"https://mail.example.com{SVC}"), NO)

    search = play(search, Moved(f"https://mail.example.com{SVC}"))

    assert "leads nowhere new" in last(search)


def test_ten_redirects_are_followed_and_no_eleventh() -> None:
    search = autodiscover.begin(ADA, "ntlm")

    for step in range(10):
        search = play(search, Moved(f"https://example.com/{step}.svc"))
    assert asking(search) == "https://example.com/9.svc"
    search = play(search, Moved("https://example.com/10.svc"))

    assert "more than 10 times" in sentence(search)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (f"http://mail.example.com{XML}", "starts with http://"),
        (f"https://example.com@evil.test{XML}", "behind a user name"),
        (f"https://example.com\\@evil.test{XML}", "behind a user name"),
        (f"https://evil.test\\.example.com{XML}", "no https:// address"),
        (f"//evil.test{XML}", "no https:// address"),
        (XML, "no https:// address"),
        ("", "no https:// address"),
        (f"https://2130706433{XML}", "neither a name nor an IP address"),
        (f"https://0x7f.1{XML}", "neither a name nor an IP address"),
        (f"https://[::1]{XML}", "no https:// address"),
        (f"https://*.example.com{XML}", "no name that can be looked up"),
        (f"https://com{XML}", "whole top-level domain"),
        (f"https://example.com:0{XML}", "no possible port"),
        (f"https://www.example.com/{'x' * 2000}.xml", "no https:// address"),
        ("https://www.example.com/welcome", "redirects to a page of www.example.com"),
        (f"https://autodiscover.com{XML}", "above the mail domain"),
        (f"https://autodiscover.co.uk{XML}", "above the mail domain"),
        (f"https://autodiscover.com.br{XML}", "above the mail domain"),
    ],
)
def test_some_redirects_are_not_even_a_question(target: str, says: str) -> None:
    search = play(autodiscover.begin(ADA, "ntlm"), Moved(target))

    assert asking(search) == f"https://example.com{XML}"
    assert says in last(search)


@pytest.mark.parametrize("name", ["example.org", "autodiscover.example.org", "org", "autodiscover.org"])
def test_nobody_is_asked_above_the_mail_domain(name: str) -> None:
    search = play(autodiscover.begin("ada@berlin.example.org", "ntlm"), Moved(f"https://{name}{XML}"))

    assert isinstance(autodiscover.upcoming(search), Ask)
    assert "top-level domain" in last(search) or "above the mail domain" in last(search)


def test_nobody_is_asked_above_the_domain_of_a_redirect_either() -> None:
    search = play(autodiscover.begin(ADA, "ntlm"), NTLM, Renamed("ada@x.other.example"), True)

    search = play(search, Moved(f"https://autodiscover.other.example{XML}"))

    assert "above the mail domain" in last(search)


@pytest.mark.parametrize("address", ["ada@com", "ada@org", "ada@10.0.0.1", "ada@[10.0.0.1]", "ada", "ada@co.uk"])
def test_a_redirect_to_a_mail_address_that_is_none_is_not_followed(address: str) -> None:
    search = play(autodiscover.begin(ADA, "ntlm"), NTLM, Renamed(address))

    assert asking(search) == f"https://example.com{XML}"
    assert "mail address" in last(search)


def test_what_a_name_in_punycode_looks_like_is_shown_and_its_plain_form_is_confirmed() -> None:
    cyrillic = "https://mail.еxample.com" + XML  # its first letter is Cyrillic

    search = play(autodiscover.begin(ADA, "ntlm"), Moved(cyrillic))

    question = autodiscover.upcoming(search)
    assert isinstance(question, Confirm)
    assert question.host == "mail.xn--xample-2of.com"
    assert any("looks like “mail.еxample.com”" in step.detail for step in search.trail)


# --- what was typed --------------------------------------------------------------------------------------------------


def test_an_address_that_was_typed_is_asked_alone_whoever_it_belongs_to() -> None:
    search = autodiscover.begin(ADA, "ntlm", f"https://mail.hoster.example{XML}")

    assert asking(search) == f"https://mail.hoster.example{SVC}"
    assert asking(play(search, NO)) == f"https://mail.hoster.example{XML}"
    assert "give the address yourself" in sentence(play(search, NO, NO))


@pytest.mark.parametrize("typed", ["https://mail.hoster.example", "https://mail.hoster.example/owa/"])
def test_the_name_of_a_host_is_enough(typed: str) -> None:
    assert asking(autodiscover.begin(ADA, "ntlm", typed)) == f"https://mail.hoster.example{SVC}"


def test_a_typed_name_without_a_dot_is_taken() -> None:
    assert asking(autodiscover.begin(ADA, "ntlm", "https://exchange")) == f"https://exchange{SVC}"


@pytest.mark.parametrize(
    ("address", "typed", "says"),
    [
        ("ada", None, "no mail address"),
        ("EXAMPLE\\ada", None, "no mail address"),
        ("ada@com", None, "no mail domain"),
        ("ada@co.uk", None, "no mail domain"),
        ("ada@127.0.0.1", None, "IP address"),
        ("ada@[127.0.0.1]", None, "IP address"),
        ("ada@0x7f000001", None, "IP address"),
        ("ada@*.example.com", None, "no name that can be looked up"),
        ("ada@exa mple.com", None, "no name that can be looked up"),
        (ADA, "http://mail.example.com/", "must be https://"),
        (ADA, "https://ada:secret@mail.example.com/", "user name"),
    ],
)
def test_what_can_not_be_searched_is_refused(address: str, typed: str | None, says: str) -> None:
    with pytest.raises(BadPlace, match=says) as caught:
        autodiscover.begin(address, "ntlm", typed)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "looked_up"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("Example.COM.", "example.com"),
    ],
)
def test_names_outside_ascii_are_looked_up_by_the_rules_of_2008(typed: str, looked_up: str) -> None:
    assert asking(autodiscover.begin(f"ada@{typed}", "ntlm")) == f"https://{looked_up}{SVC}"


# --- Exchange Online -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", ["outlook.com", "contoso.onmicrosoft.com", "contoso.mail.onmicrosoft.com"])
def test_a_mailbox_in_exchange_online_is_not_searched(domain: str) -> None:
    assert "Connect Microsoft 365 by Graph" in sentence(autodiscover.begin(f"ada@{domain}", "ntlm"))


def test_a_typed_address_of_exchange_online_is_not_asked() -> None:
    search = autodiscover.begin(ADA, "oauth", "https://outlook.office365.com/autodiscover/autodiscover.svc")

    assert "Nothing was sent there" in sentence(search)


@pytest.mark.parametrize(
    "replies",
    [
        (AWAY, AWAY, Moved(f"https://autodiscover-s.outlook.com{XML}")),
        (NTLM, Moved(f"https://outlook.office365.com{XML}")),
        (NTLM, Renamed("ada@contoso.mail.onmicrosoft.com")),
        (NTLM, Told("https://outlook.office365.com/EWS/Exchange.asmx", None, None)),
        (NTLM, Told(EWS, "https://outlook.office365.com/EWS/Exchange.asmx", None)),
    ],
    ids=["302", "url", "address", "settings", "internal settings"],
)
def test_what_leads_to_exchange_online_ends_with_the_way_there(replies: tuple[Reply, ...]) -> None:
    search = play(autodiscover.begin(ADA, "ntlm"), *replies)

    end = autodiscover.upcoming(search)

    assert isinstance(end, Ended)
    assert isinstance(end.error, Rejected)
    assert "by Graph" in str(end.error)


# --- what is found ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [Told(None, None, None), Told("http://mail.example.com/EWS", "x", None)])
def test_settings_without_an_https_address_are_no_find(told: Told) -> None:
    search = play(autodiscover.begin(ADA, "ntlm"), NTLM, told)

    assert asking(search) == f"https://example.com{XML}"
    assert "names no https address" in last(search)


def test_one_good_address_is_enough_and_a_bad_one_is_left_out() -> None:
    search = play(autodiscover.begin(ADA, "ntlm"), NTLM, Told("http://mail.example.com/", EWS, "x\ny"))

    found = autodiscover.upcoming(search)

    assert isinstance(found, Found)
    assert (found.external, found.internal, found.group) == (None, EWS, None)
