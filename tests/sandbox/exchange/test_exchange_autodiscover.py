"""Autodiscover in SOAP and in plain old XML: settings, the three kinds of redirects, and every way of saying no."""

import json
from typing import Any

import httpx2
import pytest
from lxml import etree

from kalends_sandbox import http
from kalends_sandbox.exchange import Settings
from kalends_sandbox.exchange.autodiscover import redirector
from kalends_sandbox.exchange.releases import RELEASES, ReleaseName
from kalends_sandbox.signpost import Redirect, Signpost, read_signpost
from kalends_sandbox.written import Table, Unreadable
from sandbox.exchange.stage import Stage, staged

A = "http://schemas.microsoft.com/exchange/2010/Autodiscover"
ANSWER = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
ERROR = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
ASKED = ("ExternalEwsUrl", "InternalEwsUrl", "GroupingInformation", "AutoDiscoverSMTPAddress", "MobileMailboxPolicy")
SIGNPOST = Signpost(
    "https://mail.north.example/EWS/Exchange.asmx", "https://mbx.north.example/EWS/Exchange.asmx", "Site & One"
)


def soap(*addresses: str, settings: tuple[str, ...] = ASKED, header: str = "Exchange2010") -> bytes:
    users = "".join(f"<a:User><a:Mailbox>{one}</a:Mailbox></a:User>" for one in addresses)
    wanted = "".join(f"<a:Setting>{one}</a:Setting>" for one in settings)
    version = f"<a:RequestedServerVersion>{header}</a:RequestedServerVersion>" if header else ""
    return (
        f'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:a="{A}"><s:Header>{version}</s:Header>'
        f"<s:Body><a:GetUserSettingsRequestMessage><a:Request><a:Users>{users}</a:Users>"
        f"<a:RequestedSettings>{wanted}</a:RequestedSettings></a:Request></a:GetUserSettingsRequestMessage>"
        "</s:Body></s:Envelope>"
    ).encode()


def pox(address: str, schema: str = ANSWER) -> bytes:
    request = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
    return (
        f'<Autodiscover xmlns="{request}"><Request><EMailAddress>{address}</EMailAddress>'
        f"<AcceptableResponseSchema>{schema}</AcceptableResponseSchema></Request></Autodiscover>"
    ).encode()


async def ask(
    stage: Stage, body: bytes, kind: str = "svc", host: str = "autodiscover.north.example"
) -> httpx2.Response:
    url = stage.url.removesuffix("/EWS/Exchange.asmx") + f"/Autodiscover/Autodiscover.{kind}"
    return await stage.client.post(url, content=body, headers={**stage.account_headers(), "Host": host})


async def users(stage: Stage, *addresses: str, **options: Any) -> list[dict[str, Any]]:
    """What the answer says of each user: its code, its target, its settings and the settings it has not."""
    answer = await ask(stage, soap(*addresses, **options))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/xml")
    tree = etree.fromstring(answer.content)
    assert [one.text for one in tree.iterfind(f".//{{{A}}}Response/{{{A}}}ErrorCode")] == ["NoError"]
    found = []
    for user in tree.iter(f"{{{A}}}UserResponse"):
        assert [etree.QName(one).localname for one in user] == [
            "ErrorCode", "ErrorMessage", "RedirectTarget", "UserSettingErrors", "UserSettings",
        ]  # fmt: skip
        names = {one[0].text: one[1].text for one in user.iter(f"{{{A}}}UserSetting")}
        missing = [one[2].text for one in user.iter(f"{{{A}}}UserSettingError")]
        found.append({"code": user[0].text, "target": user[2].text, "settings": names, "missing": missing})
    return found


@pytest.mark.asyncio
async def test_every_user_asked_about_gets_the_settings_wanted_and_no_others() -> None:
    async with staged(320) as stage:
        stage.world.signpost = SIGNPOST
        ann, room, nobody = await users(stage, "A.Okubo@north.example", "room1@north.example", "x@north.example")

        assert ann == {
            "code": "NoError",
            "target": None,
            "settings": {
                "ExternalEwsUrl": SIGNPOST.external_url,
                "InternalEwsUrl": SIGNPOST.internal_url,
                "GroupingInformation": "Site & One",
                "AutoDiscoverSMTPAddress": "ann@north.example",
            },
            "missing": ["MobileMailboxPolicy"],
        }
        assert room["settings"]["AutoDiscoverSMTPAddress"] == "room1@north.example"
        assert (nobody["code"], nobody["settings"]) == ("InvalidUser", {})


@pytest.mark.asyncio
async def test_without_a_signpost_the_urls_are_those_of_the_server_asked_and_they_work() -> None:
    async with staged(321) as stage:
        (ann,) = await users(stage, "ann@north.example")

        assert ann["settings"]["ExternalEwsUrl"] == "http://autodiscover.north.example/EWS/Exchange.asmx"
        assert ann["settings"]["InternalEwsUrl"] == ann["settings"]["ExternalEwsUrl"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "newest"), [("2013", "Exchange2013"), ("2013_SP1", "Exchange2013_SP1"), ("SE", "Exchange2016")]
)
async def test_the_answer_names_the_release(name: ReleaseName, newest: str) -> None:
    async with staged(322, Settings().as_release(name)) as stage:
        (ann,) = await users(stage, "ann@north.example", settings=("EwsSupportedSchemas", "CasVersion"))
        tree = etree.fromstring((await ask(stage, soap("ann@north.example"))).content)
        version = next(tree.iter(f"{{{A}}}ServerVersionInfo"))

        assert ann["settings"]["EwsSupportedSchemas"].split(", ")[-1] == newest
        assert [one.text for one in version] == [*map(str, RELEASES[name].build), newest]


@pytest.mark.asyncio
async def test_url_and_address_redirects_concern_those_who_are_meant() -> None:
    async with staged(323) as stage:
        url = "https://elsewhere.example/autodiscover/autodiscover.svc"
        stage.world.signpost = Signpost(
            redirects=(Redirect("url", url, mailbox="ann@*"), Redirect("address", "@new.example", mailbox="BOB@*"))
        )
        ann, bob, room = await users(stage, "Ann@north.example", "bob@north.example", "room1@north.example")
        plain = [await ask(stage, pox(f"{name}@north.example"), "xml") for name in ("ann", "bob")]

        assert (ann["code"], ann["target"]) == ("RedirectUrl", url)
        assert (bob["code"], bob["target"]) == ("RedirectAddress", "bob@new.example")
        assert room["code"] == "NoError"
        assert pox_account(plain[0]) == {"AccountType": "email", "Action": "redirectUrl", "RedirectUrl": url}
        assert pox_account(plain[1])["RedirectAddr"] == "bob@new.example"
        assert pox_account(plain[1])["Action"] == "redirectAddr"


@pytest.mark.asyncio
async def test_a_302_goes_out_under_the_name_meant_before_anybody_signs_in() -> None:
    async with staged(324) as stage:
        to = "https://elsewhere.example/autodiscover/autodiscover.xml"
        stage.world.signpost = Signpost(redirects=(Redirect("http", to, "autodiscover.*"),))
        root = stage.url.removesuffix("/EWS/Exchange.asmx")
        for method in ("GET", "POST", "HEAD"):
            answer = await stage.client.request(
                method, f"{root}/autodiscover/autodiscover.xml", headers={"Host": "autodiscover.north.example:443"}
            )
            assert (answer.status_code, answer.headers["Location"]) == (302, to)
        other = await ask(stage, soap("ann@north.example"), host="mail.north.example")

        assert other.status_code == 200


@pytest.mark.asyncio
async def test_a_302_may_come_only_after_the_sign_in() -> None:
    async with staged(325) as stage:
        to = "https://elsewhere.example/autodiscover/autodiscover.svc"
        stage.world.signpost = Signpost(redirects=(Redirect("http", to, after_sign_in=True),))
        url = stage.url.removesuffix("/EWS/Exchange.asmx") + "/autodiscover/autodiscover.svc"

        assert (await stage.client.post(url, content=soap("ann@north.example"))).status_code == 401
        assert (await ask(stage, soap("ann@north.example"))).headers["Location"] == to


def pox_account(answer: httpx2.Response) -> dict[str, str | None]:
    """The Account of a plain answer, whose frame is checked by hand: nobody publishes a schema."""
    assert answer.status_code == 200
    root = etree.fromstring(answer.content)
    assert root.tag == f"{{{ERROR}}}Autodiscover"
    (response,) = root
    assert response.tag == f"{{{ANSWER}}}Response"
    account = response[-1]
    assert account.tag == f"{{{ANSWER}}}Account"
    return {etree.QName(one).localname: one.text for one in account if etree.QName(one).localname != "Protocol"}


@pytest.mark.asyncio
async def test_plain_xml_tells_inside_and_outside_apart() -> None:
    async with staged(326) as stage:
        stage.world.signpost = SIGNPOST
        answer = await ask(stage, pox("a.okubo@north.example"), "xml")

        assert pox_account(answer) == {"AccountType": "email", "Action": "settings", "MicrosoftOnline": "False"}
        assert answer.headers["X-SOAP-Enabled"] == "True"
        (response,) = etree.fromstring(answer.content)
        ns = {"a": ANSWER}
        assert [one.text for one in response.iterfind("a:User/*", ns)][:1] == ["Ann Ōkubo"]
        protocols = {
            one.findtext("a:Type", namespaces=ns): one for one in response.iterfind("a:Account/a:Protocol", ns)
        }
        urls = {kind: one.findtext("a:EwsUrl", namespaces=ns) for kind, one in protocols.items()}
        assert urls == {"EXCH": SIGNPOST.internal_url, "EXPR": SIGNPOST.external_url}
        assert protocols["EXPR"].findtext("a:GroupingInformation", namespaces=ns) == "Site & One"
        assert protocols["EXCH"].findtext("a:ServerVersion", namespaces=ns) == "73C286D4"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (pox("nobody@north.example"), "500"),
        (pox("ann@north.example", "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006"), "601"),
        (b"<Autodiscover/>", "600"),
        (b"not xml", "600"),
        (b"", "600"),
        (b'<!DOCTYPE x [<!ENTITY e "e">]><x>&e;</x>', "600"),
    ],
    ids=["nobody", "another schema", "no request", "no xml", "nothing", "entities"],
)  # fmt: skip
async def test_plain_xml_says_no_by_number(body: bytes, code: str) -> None:
    async with staged(327) as stage:
        answer = await ask(stage, body, "xml")

        (error,) = etree.fromstring(answer.content).iter(f"{{{ERROR}}}Error")
        assert (answer.status_code, error.findtext(f"{{{ERROR}}}ErrorCode")) == (200, code)
        assert error.get("Time", "").startswith(f"{stage.world.clock.now():%H:%M}")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (soap(), "At least one user"),
        (soap("ann@north.example", settings=()), "At least one user"),
        (soap("ann@north.example", header=""), "RequestedServerVersion"),
        (soap(*(f"n{number}@north.example" for number in range(101))), "maximum of 100"),
        (soap("ann@north.example").replace(b"GetUserSettings", b"GetDomainSettings"), "GetDomainSettings"),
    ],
    ids=["no user", "no setting", "no version", "too many", "another operation"],
)
async def test_soap_says_no_to_requests_that_make_no_sense(body: bytes, said: str) -> None:
    async with staged(328) as stage:
        answer = await ask(stage, body)
        broken = await ask(stage, b"<s:Envelope")

        response = next(etree.fromstring(answer.content).iter(f"{{{A}}}Response"))
        assert response.findtext(f"{{{A}}}ErrorCode") == "InvalidRequest"
        assert said in str(response.findtext(f"{{{A}}}ErrorMessage"))
        assert broken.status_code == 400


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["svc", "xml"])
async def test_nobody_is_told_anything_without_signing_in(kind: str) -> None:
    async with staged(329, Settings(sign_in=("ntlm", "basic"))) as stage:
        root = stage.url.removesuffix("/EWS/Exchange.asmx")
        for method in ("GET", "POST", "HEAD"):
            answer = await stage.client.request(method, f"{root}/autodiscover/autodiscover.{kind}")

            assert answer.status_code == 401
            assert answer.headers.get_list("WWW-Authenticate")[0] == "NTLM"
            assert b"EWS" not in answer.content


@pytest.mark.asyncio
async def test_plain_http_only_sends_on() -> None:
    async with staged(330) as stage:
        server = await http.serve(redirector(stage.world, 8443), "127.0.0.1", 0)
        root = f"http://127.0.0.1:{server.port}"
        headers = {"Host": "autodiscover.north.example"}
        try:
            sent = await stage.client.get(f"{root}/autodiscover/autodiscover.xml", headers=headers)
            posted = await stage.client.post(f"{root}/autodiscover/autodiscover.xml", headers=headers)
            ews = await stage.client.get(f"{root}/EWS/Exchange.asmx", headers=headers)
            stage.world.signpost = Signpost(redirects=(Redirect("http", "https://else.example/autodiscover/x.svc"),))
            ruled = await stage.client.get(f"{root}/autodiscover/autodiscover.xml", headers=headers)
        finally:
            await server.close()

        assert sent.headers["Location"] == "https://autodiscover.north.example:8443/autodiscover/autodiscover.xml"
        assert [sent.status_code, posted.status_code, ews.status_code] == [302, 403, 403]
        assert ruled.headers["Location"] == "https://else.example/autodiscover/x.svc"


@pytest.mark.asyncio
async def test_faults_strike_autodiscover_too() -> None:
    async with staged(331) as stage:
        stage.faults.add("http_503", operation="Autodiscover", mailbox="ann@*", count=2)

        answers = [await ask(stage, soap("ann@north.example")), await ask(stage, pox("ann@north.example"), "xml")]
        spared = await ask(stage, soap("bob@north.example"))

        assert [answer.status_code for answer in (*answers, spared)] == [503, 503, 200]
        assert stage.exchange.counters()["calls"] == {"Autodiscover": 3}


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ({"external_url": "mail.north.example"}, "external_url"),
        ({"redirects": [{"kind": "carrier pigeon", "target": "x"}]}, "redirects[1].kind"),
        ({"redirects": [{"kind": "url"}]}, "redirects[1].target"),
        ({"redirects": [{"kind": "address", "target": "north.example"}]}, "redirects[1].target"),
        ({"redirects": [{"kind": "http", "target": "https://x", "mailbox": "a@*"}]}, "redirects[1].mailbox"),
        ({"grouping": "G", "redirect": []}, "redirect"),
    ],
)
def test_a_signpost_that_makes_no_sense_is_refused_where_it_does_not(said: dict[str, Any], where: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read_signpost(Table(json.loads(json.dumps(said)), ""))

    assert refused.value.where == where
