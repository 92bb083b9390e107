"""What autodiscover sends and reads, in both dialects, from Exchange's own answers to those of strangers."""

from lxml import etree

from kalends.providers.exchange import autodiscover_wire as wire
from kalends.providers.exchange.autodiscover_wire import Moved, Nothing, Offered, Renamed, Told
from kalends.providers.exchange.version import Build
from kalends.providers.http import Answer, Headers

A = "{http://schemas.microsoft.com/exchange/2010/Autodiscover}"
URL = "https://example.com/autodiscover/autodiscover.svc"
EWS, INSIDE = "https://mail.example.com/EWS/Exchange.asmx", "https://exch01.corp.example.com/EWS/Exchange.asmx"

SOAP = """<?xml version="1.0" encoding="utf-8"?>
<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:a="http://www.w3.org/2005/08/addressing">
 <s:Header><a:Action s:mustUnderstand="1">x</a:Action>
  <h:ServerVersionInfo xmlns:h="http://schemas.microsoft.com/exchange/2010/Autodiscover"
    xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><h:MajorVersion>15</h:MajorVersion><h:MinorVersion>2</h:MinorVersion>
    <h:MajorBuildNumber>1748</h:MajorBuildNumber><h:MinorBuildNumber>10</h:MinorBuildNumber>
    <h:Version>Exchange2016</h:Version></h:ServerVersionInfo></s:Header>
 <s:Body><GetUserSettingsResponseMessage xmlns="http://schemas.microsoft.com/exchange/2010/Autodiscover">
  <Response xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><ErrorCode>NoError</ErrorCode><ErrorMessage/>
   <UserResponses><UserResponse>{user}</UserResponse></UserResponses></Response>
 </GetUserSettingsResponseMessage></s:Body></s:Envelope>"""
SETTINGS = f"""<ErrorCode>NoError</ErrorCode><ErrorMessage>No error.</ErrorMessage><RedirectTarget i:nil="true"/>
<UserSettingErrors/><UserSettings>
<UserSetting i:type="StringSetting"><Name>ExternalEwsUrl</Name><Value>{EWS}</Value></UserSetting>
<UserSetting i:type="StringSetting"><Name>InternalEwsUrl</Name><Value>{INSIDE}</Value></UserSetting>
<UserSetting i:type="StringSetting"><Name>GroupingInformation</Name><Value>Berlin</Value></UserSetting></UserSettings>"""

POX = """<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006">
 <Response xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a">
 <User><DisplayName>Ada</DisplayName></User><Account><AccountType>email</AccountType>{account}</Account></Response>
</Autodiscover>"""
PROTOCOLS = f"""<Action>settings</Action>
<Protocol><Type>EXCH</Type><Server>x</Server><ServerVersion>73C286D4</ServerVersion><ASUrl>{INSIDE}</ASUrl>
 <EwsUrl>{INSIDE}</EwsUrl><GroupingInformation>Berlin</GroupingInformation></Protocol>
<Protocol><Type>EXPR</Type><Server>mail.example.com</Server><ASUrl>{EWS}</ASUrl></Protocol>
<Protocol><Type>WEB</Type></Protocol>"""


def answer(body: str, status: int = 200, *headers: tuple[str, str]) -> Answer:
    return Answer(status, Headers(list(headers)), body.encode())


def read(body: str, status: int = 200) -> wire.Reply:
    return wire.read(answer(body, status), "example.com")


def user(code: str, target: str = "") -> str:
    inside = f"<ErrorCode>{code}</ErrorCode><ErrorMessage/><RedirectTarget>{target}</RedirectTarget>"
    return SOAP.replace("{user}", inside)


def test_soap_asks_for_three_settings_of_one_mailbox_and_says_where() -> None:
    request = etree.fromstring(wire.soap_request("a&b@example.com", URL))

    assert [each.text for each in request.iter(f"{A}Mailbox")] == ["a&b@example.com"]
    assert [each.text for each in request.iter(f"{A}Setting")] == [
        "ExternalEwsUrl",
        "InternalEwsUrl",
        "GroupingInformation",
    ]
    assert request.findtext(".//{http://www.w3.org/2005/08/addressing}To") == URL
    assert request.findtext(f".//{A}RequestedServerVersion") == "Exchange2013"


def test_pox_asks_for_one_mailbox_in_outlooks_words() -> None:
    request = etree.fromstring(wire.pox_request("a&b@example.com"))

    assert request.findtext(".//{*}EMailAddress") == "a&b@example.com"
    assert (request.findtext(".//{*}AcceptableResponseSchema") or "").endswith("/outlook/responseschema/2006a")
    assert (
        etree.QName(request).namespace
        == "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
    )


def test_the_settings_of_a_mailbox_are_read_from_soap() -> None:
    assert read(SOAP.replace("{user}", SETTINGS)) == Told(EWS, INSIDE, "Berlin", Build(15, 2, 1748, 10))


def test_the_settings_of_a_mailbox_are_read_from_pox() -> None:
    assert read(POX.replace("{account}", PROTOCOLS)) == Told(EWS, INSIDE, "Berlin", Build(15, 2, 1748))


def test_redirects_are_read_from_soap() -> None:
    assert read(user("RedirectUrl", "https://x.example/a.svc")) == Moved("https://x.example/a.svc")
    assert read(user("RedirectAddress", "ada@other.example")) == Renamed("ada@other.example")


def test_redirects_are_read_from_pox() -> None:
    url = "<Action>redirectUrl</Action><RedirectUrl>https://x.example/a.xml</RedirectUrl>"
    address = "<Action>redirectAddr</Action><RedirectAddr>ada@other.example</RedirectAddr>"

    assert read(POX.replace("{account}", url)) == Moved("https://x.example/a.xml")
    assert read(POX.replace("{account}", address)) == Renamed("ada@other.example")


def test_an_unknown_mailbox_is_no_find_in_either_dialect() -> None:
    pox = (
        '<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"><Response>'
        '<Error Time="1" Id="2"><ErrorCode>500</ErrorCode><Message>The email address can\'t be found.</Message></Error>'
        "</Response></Autodiscover>"
    )

    assert read(user("InvalidUser")) == Nothing("knows nothing of this mailbox (InvalidUser)")
    assert read(pox) == Nothing("knows nothing of this mailbox (500)")


def test_a_code_that_is_no_code_is_not_repeated() -> None:
    assert read(user("evil code\u0007")) == Nothing("knows nothing of this mailbox (without a reason)")


def test_a_web_page_is_no_find() -> None:
    for body in ("<html><body>Welcome</body></html>", "", "Welcome", "<!DOCTYPE html><html></html>", "<other/>"):
        assert isinstance(read(body), Nothing)


def test_a_soap_fault_is_no_find() -> None:
    fault = (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>x</faultcode>'
        "</s:Fault></s:Body></s:Envelope>"
    )

    assert read(fault, 500) == Nothing("refuses the question")


def test_entities_and_doctypes_are_refused() -> None:
    bomb = f'<!DOCTYPE x [<!ENTITY e "{EWS}">]>' + POX.partition("?>")[2].replace(
        "{account}", "<Action>settings</Action><Protocol><Type>EXPR</Type><EwsUrl>&e;</EwsUrl></Protocol>"
    )

    assert isinstance(read(bomb), Nothing)


def test_a_stranger_is_told_the_ways_to_sign_in() -> None:
    lines = (("WWW-Authenticate", "Negotiate, NTLM"), ("WWW-Authenticate", 'Basic realm="a, Bearer b"'))

    glance = wire.glance(answer("", 401, *lines))

    assert glance == Offered(frozenset({"negotiate", "ntlm", "basic"}), "Basic, NTLM and Negotiate")


def test_a_stranger_is_sent_on_and_believes_nothing_else() -> None:
    assert wire.glance(answer("", 302, ("Location", "https://x.example/a.xml"))) == Moved("https://x.example/a.xml")
    assert wire.glance(answer("", 302)) == Moved("")
    assert isinstance(wire.glance(answer(SOAP.replace("{user}", SETTINGS))), Nothing)
