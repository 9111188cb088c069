"""The kinds of personal data and secrets that the base package finds: a pattern, and a check of what it finds."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from . import checks


def always(_: str) -> bool:
    """No further check."""
    return True


@dataclass(frozen=True)
class Kind:
    """What it is called, how it is found (in group "it", where there is one) and how that is checked.

    `hints` are characters or words of which one is in every text that has any: a cheap test before the pattern.
    """

    name: str
    about: str
    pattern: re.Pattern[str]
    check: Callable[[str], bool] = always
    hints: tuple[str, ...] = ()


OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
IPV4 = rf"(?<![\w.]){OCTET}(?:\.{OCTET}){{3}}(?![\w]|\.\d)"
IPV6 = r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|:|" + OCTET + rf"(?:\.{OCTET}){{3}})?(?![\w:])"
EMAIL = (
    r"(?<![\w+%-])[A-Za-z0-9_](?:[A-Za-z0-9_%+'-]|\.(?!\.)){0,63}(?<![.'])@"
    r"(?:(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}(?![A-Za-z0-9-]|\.[A-Za-z0-9])"
    rf"|\[?{OCTET}(?:\.{OCTET}){{3}}(?![\w.])\]?)"
)
PHONE = (
    r"(?<![\w.+/-])(?:"
    r"\+\d{1,3}(?:[ .\u00a0-]?\(?\d{1,5}\)?){2,6}"
    r"|\(\d{3}\)[ .\u00a0-]?\d{3}[ .\u00a0-]\d{4}"
    r"|(?:1[ .-])?\d{3}([.-])\d{3}\1\d{4}"
    r"|(?<=tel: )\d[\d ()/-]{6,18}\d|(?<=[Pp]hone: )\d[\d ()/-]{6,18}\d|(?<=[Tt]el\. )\d[\d ()/-]{6,18}\d"
    r")(?![\w]|[.-]\d)"
)
CARD = (
    r"(?<![\w.-])(?<!\d )(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{4}([ -])\d{6}\2\d{5})"
    r"(?!\w|[ .-]\d)"
)
TOKENS = "|".join(
    (
        r"AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}",
        r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,100}",
        r"glpat-[A-Za-z0-9_-]{20,40}",
        r"xox[abprs]-[A-Za-z0-9-]{10,80}",
        r"sk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,180}|sk_live_[A-Za-z0-9]{20,60}|rk_live_[A-Za-z0-9]{20,60}",
        r"AIza[A-Za-z0-9_-]{35}",
        r"hf_[A-Za-z0-9]{30,40}|nvapi-[A-Za-z0-9_-]{50,80}",
        r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
        r"npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,250}",
        r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    )
)
ASSIGNED = (
    r"(?i:api[_-]?key|secret[_-]?key|access[_-]?token|auth[_-]?token|client[_-]?secret|password|passwd)"
    r"[\"']?\s{0,3}[:=]\s{0,3}[\"'](?P<it>[A-Za-z0-9+/_=.-]{16,120})[\"']"
)
KINDS: tuple[Kind, ...] = (
    Kind(
        "private_key",
        "private keys in PEM armour",
        re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----.*?-----END (?:[A-Z]+ )*PRIVATE KEY-----", re.DOTALL),
        hints=("PRIVATE KEY",),
    ),
    Kind(
        "url_credentials",
        "name and password in an address",
        re.compile(r"(?<=://)(?P<it>[^\s/@:\"'<>]{1,64}:[^\s/@\"'<>]{1,128})(?=@[\w\[])"),
        hints=("://",),
    ),
    Kind("email", "mail addresses", re.compile(EMAIL), hints=("@",)),
    Kind(
        "api_key",
        "keys of known services, web tokens, and values assigned to a key or password",
        re.compile(rf"(?<![\w-])(?:{TOKENS})(?![\w-])|{ASSIGNED}"),
        checks.has_entropy,
        hints=(
            *(
                "AKIA",
                "ASIA",
                "gh",
                "glpat",
                "xox",
                "sk-",
                "k_live",
                "AIza",
                "hf_",
                "nvapi",
                "SG.",
                "npm_",
                "pypi-",
                "eyJ",
            ),
            *("key", "KEY", "Key", "oken", "OKEN", "secret", "Secret", "SECRET", "assw", "ASSW"),
        ),
    ),
    Kind(
        "crypto_address",
        "Bitcoin addresses with a right checksum, Ethereum addresses",
        re.compile(r"\b(?:[13][1-9A-HJ-NP-Za-km-z]{25,34}|bc1[02-9ac-hj-np-z]{11,71})\b"),
        checks.is_bitcoin_address,
        hints=("1", "3"),
    ),
    Kind("ethereum_address", "Ethereum addresses", re.compile(r"\b0x[0-9a-fA-F]{40}\b"), hints=("0x",)),
    Kind(
        "iban",
        "bank account numbers with right check digits",
        re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"),
        checks.is_iban,
        hints=tuple("0123456789"),
    ),
    Kind(
        "credit_card",
        "payment card numbers that pass the Luhn test",
        re.compile(CARD),
        checks.is_card_number,
        hints=tuple("23456"),
    ),
    Kind(
        "us_ssn",
        "US social security numbers, with hyphens",
        re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])"),
        checks.is_social_security_number,
        hints=("-",),
    ),
    Kind(
        "mac_address",
        "hardware addresses",
        re.compile(r"(?<![\w:-])[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])"),
        hints=(":", "-"),
    ),
    Kind(
        "ip_address", "IPv4 and IPv6 addresses of the public internet", re.compile(f"{IPV4}|{IPV6}"), hints=(".", ":")
    ),
    Kind(
        "phone",
        "telephone numbers: international, North American, or behind tel:",
        re.compile(PHONE),
        checks.is_phone_number,
        hints=tuple("0123456789"),
    ),
)
BY_NAME = {kind.name: kind for kind in KINDS}
