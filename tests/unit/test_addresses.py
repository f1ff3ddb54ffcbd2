import pytest

from service.http.addresses import canonical_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.5", "203.0.113.5"),
        (" 203.0.113.5:40001 ", "203.0.113.5"),
        ('"203.0.113.5:40001"', "203.0.113.5"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("[::FFFF:203.0.113.5]:80", "203.0.113.5"),
        ("::ffff:cb00:7105", "203.0.113.5"),
        ("64:ff9b::203.0.113.5", "203.0.113.5"),
        ("2001:db8::1", "2001:db8::/64"),
        ("[2001:DB8:0:0:1:2:3:4]:443", "2001:db8::/64"),
        ('"[2001:db8::1]"', "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("[fe80::1%25eth0]:1", "fe80::/64"),
        ("2001:db8::1:443", "2001:db8::/64"),
    ],
)
def test_an_address_has_one_form(text: str, address: str) -> None:
    assert canonical_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "unknown", "_hidden", "203.0.113", "203.0.113.05", "0x7f.1", "1", "[", "[]:80", ":80", "é", "\udcff"]
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert canonical_address(text) is None
