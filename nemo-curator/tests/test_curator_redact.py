"""Personal data is found where it is and left alone where it only looks like it."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_curator.foundation.errors import ConfigError
from nemo_curator.redact.checks import is_card_number, is_iban
from nemo_curator.redact.kinds import BY_NAME
from nemo_curator.redact.settings import Redact
from nemo_curator.redact.step import finder

FOUND = {
    "email": [
        # addresses and verdicts of datatrove's own test
        "email@example.com",
        "firstname.lastname@example.com",
        "email@subdomain.example.com",
        "firstname+lastname@example.com",
        "1234567890@example.com",
        "email@example-one.com",
        "email@example.museum",
        "email@example.co.jp",
        "NAME@MYSITE.COM",
        "_______@example.com",
        "email@123.123.123.123",
        "email@[123.123.123.123]",
    ],
    "ip_address": [
        "163.36.107.25",
        "114.35.103.54",
        "8.8.8.8",
        "2606:4700:4700::1111",
        "2a00:1450:4001:81b:0:0:0:200e",
    ],
    "credit_card": ["4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005", "6011111111111117"],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "NO93 8601 1117 947"],
    "us_ssn": ["078-05-1120"],
    "mac_address": ["00:1B:44:11:3A:B7", "00-1b-44-11-3a-b7"],
    "phone": ["+44 20 7946 0958", "(212) 555-0187", "212-555-0187", "+49 (89) 1234567", "+1-202-555-0143"],
    "crypto_address": [
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
    ],
    "ethereum_address": ["0x52908400098527886E0F7030069857D2E4169EE7"],
    "api_key": [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8",
        "sk-proj-abc123DEF456ghi789JKL0",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    ],
}
# What looks like it and is not: versions, dates, ids, sums, ratios, identifiers, made-up numbers.
LOOK_ALIKES = [
    "version 1.2.3.4.5 and 108.0.0.01 and 999.999.999.999",
    "127.0.0.1, 10.0.1.5, 192.168.1.2 and 172.16.4.1 are private",
    "at 12:30:45 or 2024-01-15 10:20:30, from 10:00 to 11:30",
    "std::vector<int> x; a::b::c; ::1; ratio 1:2:3",
    "order 4111 1111 1111 1112 and 1234 5678 9012 3456",
    "0000 0000 0000 0000 and 9999-9999-9999-9999",
    "DE89 3704 0044 0532 0130 01 has the wrong digits, AB12 CDEF 1234 5678 no country",
    "ISBN 978-3-16-148410-0, 123-45-67, 666-12-3456, 900-12-3456, 123-00-4567",
    "plainaddress, @example.com, email.example.com, email@example, user@localhost",
    "@decorator def f(self): return a@b",
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb has a wrong checksum; 3.14159265358979323846",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b and 0xDEADBEEF",
    "pi is 3.141592653589793, 2024/10/11, 1,234,567.89, 100-200-300",
    "sku 555-1234-99, part 123-456-78901, chapter 12.345.6789.1",
    "password = 'hunter2' and api_key = 'xxxxxxxxxxxxxxxxxxxxxxxx'",
    "sk-learn-is-a-library and the risk-free-rate-of-return-is-low",
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in FOUND.items() for text in texts])
def test_it_is_found_whole_and_by_its_kind(kind, text):
    around = f"Write to {text}, please."
    assert [(f.kind, around[f.start : f.end]) for f in finder(Redact())(around)] == [(kind, text)]


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_look_alikes_are_left_alone(text):
    assert [(f.kind, text[f.start : f.end]) for f in finder(Redact())(text)] == []


def redacted(text, **settings):
    verdict = Redact(**settings).open()(pa.table({"text": [text]}))
    assert verdict.reason.null_count == 1
    return verdict.documents


def test_modes():
    text = "From a.b@c.org to a.b@c.org at 8.8.8.8"
    assert redacted(text)["text"].to_pylist() == ["From <EMAIL> to <EMAIL> at <IP_ADDRESS>"]
    assert redacted(text, mode="mask", mask="#")["text"].to_pylist() == ["From ######### to ######### at #######"]
    assert redacted(text, mode="remove", kinds=["email"])["text"].to_pylist() == ["From  to  at 8.8.8.8"]
    assert redacted(text, skip=["email"])["text"].to_pylist() == ["From a.b@c.org to a.b@c.org at <IP_ADDRESS>"]


@pytest.mark.parametrize("before", [".", "abc..", "email@", "very.unusual.\u201d@\u201d.", "(", "<"])
def test_an_address_is_found_behind_what_is_none(before):
    """As in datatrove's test: what stands before and cannot belong to it stays."""
    kept = "" if before == "email@" else before
    assert redacted(f"{before}name@example.com", kinds=["email"])["text"].to_pylist()[0].endswith(f"{kept}<EMAIL>")


def test_hashes_are_keyed_and_equal_for_equal_data(monkeypatch):
    with pytest.raises(ConfigError, match="NEMO_REDACT_KEY holds no key of at least 16 characters"):
        Redact(mode="hash").open()
    monkeypatch.setenv("NEMO_REDACT_KEY", "k" * 16)
    first = redacted("a@b.org, a@b.org, c@b.org", mode="hash")["text"][0].as_py().split(", ")
    assert first[0] == first[1] != first[2]
    monkeypatch.setenv("NEMO_REDACT_KEY", "l" * 16)
    assert redacted("a@b.org", mode="hash")["text"][0].as_py() != first[0]


def test_counts_are_columns():
    out = redacted("a@b.org, c@d.org and 8.8.8.8")
    assert out["redacted_email"].to_pylist() == [2]
    assert out["redacted_ip_address"].to_pylist() == [1]
    assert out["redacted_iban"].to_pylist() == [0]
    assert redacted("a@b.org", keep_counts=False).column_names == ["text"]


def test_private_networks_are_redacted_where_asked_for():
    assert redacted("at 192.168.1.2", private_networks=True)["text"].to_pylist() == ["at <IP_ADDRESS>"]


def test_credentials_in_an_address_go_and_the_address_stays():
    text = "git clone https://anna:s3cret@git.example.org/x.git"
    assert redacted(text)["text"].to_pylist() == ["git clone https://<URL_CREDENTIALS>@git.example.org/x.git"]


def test_private_keys_go_whole():
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAK\n-----END RSA PRIVATE KEY-----"
    assert redacted(f"a\n{key}\nb")["text"].to_pylist() == ["a\n<PRIVATE_KEY>\nb"]


def test_unknown_kinds_are_named():
    with pytest.raises(ConfigError, match=r"unknown kind 'emails'; did you mean 'email'"):
        Redact(kinds=["emails"])
    with pytest.raises(ConfigError, match="engine=presidio needs kinds"):
        Redact(engine="presidio")


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=200))
def test_redacting_twice_changes_nothing_more(text):
    once = redacted(text.encode("utf-8", "replace").decode())["text"][0].as_py()
    assert redacted(once)["text"][0].as_py() == once


@pytest.mark.parametrize("kind", BY_NAME.values(), ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "text", ["1" * 50_000, "a." * 25_000, "1-" * 25_000, "a@" * 25_000, "1 " * 25_000, ":" * 50_000]
)
def test_no_pattern_takes_more_than_linear_time(kind, text):
    before = sum(1 for _ in kind.pattern.finditer(text[: len(text) // 10]))
    assert sum(1 for _ in kind.pattern.finditer(text)) >= before


@given(st.integers(min_value=10**14, max_value=10**15 - 1))
def test_one_check_digit_in_ten_passes_the_luhn_test(number):
    cards = [f"4{number}{last}" for last in range(10)]
    assert sum(map(is_card_number, cards)) == 1


@given(st.integers(min_value=0, max_value=10**18 - 1))
def test_one_pair_of_check_digits_makes_an_iban(account):
    assert sum(is_iban(f"DE{check:02d}{account:018d}") for check in range(2, 99)) == 1


@pytest.fixture(scope="module")
def spacy_model(tmp_path_factory):
    """A spaCy pipeline that knows one name and one place."""
    import spacy

    pipeline = spacy.blank("en")
    ruler = pipeline.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PERSON", "pattern": "Anna Miller"}, {"label": "GPE", "pattern": "Lisbon"}])
    folder = tmp_path_factory.mktemp("spacy") / "model"
    pipeline.to_disk(folder)
    return str(folder)


def test_presidio_finds_names_and_places(spacy_model):
    text = "Anna Miller moved to Lisbon; card 4111 1111 1111 1111."
    out = redacted(
        text, engine="presidio", kinds=["PERSON", "LOCATION", "CREDIT_CARD"], spacy_model=spacy_model, mode="replace"
    )
    assert out["text"].to_pylist() == ["<PERSON> moved to <LOCATION>; card <CREDIT_CARD>."]
    assert out["redacted_person"].to_pylist() == [1]


def test_presidio_downloads_nothing_and_names_what_it_does_not_know(spacy_model):
    with pytest.raises(ConfigError, match="spacy_model=xx_no_such_model: neither an installed spaCy model nor"):
        Redact(engine="presidio", kinds=["PERSON"], spacy_model="xx_no_such_model").open()
    with pytest.raises(ConfigError, match="presidio knows no 'SHOE_SIZE'"):
        Redact(engine="presidio", kinds=["SHOE_SIZE"], spacy_model=spacy_model).open()
