"""Checksums and ranges that tell a number with a meaning from one that looks like it."""

import hashlib
import ipaddress

IBAN_LENGTHS = dict(
    pair.split(":")
    for pair in [
        "AD:24",
        "AE:23",
        "AL:28",
        "AT:20",
        "AZ:28",
        "BA:20",
        "BE:16",
        "BG:22",
        "BH:22",
        "BR:29",
        "BY:28",
        "CH:21",
        "CR:22",
        "CY:28",
        "CZ:24",
        "DE:22",
        "DK:18",
        "DO:28",
        "EE:20",
        "EG:29",
        "ES:24",
        "FI:18",
        "FO:18",
        "FR:27",
        "GB:22",
        "GE:22",
        "GI:23",
        "GL:18",
        "GR:27",
        "GT:28",
        "HR:21",
        "HU:28",
        "IE:22",
        "IL:23",
        "IQ:23",
        "IS:26",
        "IT:27",
        "JO:30",
        "KW:30",
        "KZ:20",
        "LB:28",
        "LC:32",
        "LI:21",
        "LT:20",
        "LU:20",
        "LV:21",
        "LY:25",
        "MC:27",
        "MD:24",
        "ME:22",
        "MK:19",
        "MR:27",
        "MT:31",
        "MU:30",
        "NL:18",
        "NO:15",
        "PK:24",
        "PL:28",
        "PS:29",
        "PT:25",
        "QA:29",
        "RO:24",
        "RS:22",
        "SA:24",
        "SC:31",
        "SD:18",
        "SE:24",
        "SI:19",
        "SK:24",
        "SM:27",
        "ST:25",
        "SV:28",
        "TL:23",
        "TN:24",
        "TR:26",
        "UA:29",
        "VA:22",
        "VG:24",
        "XK:20",
    ]
)
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
BECH32_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def is_card_number(text: str) -> bool:
    """Whether the digits have the length and the first digits of a payment card and pass the Luhn test (ISO 7812)."""
    digits = [int(c) for c in text if c.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1 or digits[0] not in (2, 3, 4, 5, 6):
        return False
    doubled = [digit * 2 - 9 * (digit > 4) if index % 2 else digit for index, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def is_iban(text: str) -> bool:
    """Whether it has its country's length and the check digits of ISO 13616 (97-10)."""
    packed = "".join(text.split()).upper()
    if IBAN_LENGTHS.get(packed[:2]) != str(len(packed)):
        return False
    return int("".join(str(int(c, 36)) for c in packed[4:] + packed[:4])) % 97 == 1


def is_social_security_number(text: str) -> bool:
    """Whether area, group and serial are ones that the US Social Security Administration gives out."""
    area, group, serial = text[:3], text[4:6], text[7:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def is_public_ip(text: str) -> bool:
    """Whether it is an address that others on the internet can reach."""
    try:
        address = ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return False
    return address.is_global and not address.is_multicast


def is_ip(text: str) -> bool:
    """Whether it is an address, of any network, but not the unspecified one."""
    try:
        return not ipaddress.ip_address(text.split("%")[0]).is_unspecified
    except ValueError:
        return False


def is_bitcoin_address(text: str) -> bool:
    """Whether it carries the checksum of a Base58Check (P2PKH, P2SH) or Bech32 (BIP 173, 350) address."""
    return is_bech32(text) if text.lower().startswith("bc1") else is_base58check(text)


def is_base58check(text: str) -> bool:
    """Whether the last four bytes are those of the doubled SHA-256 of the others."""
    number = 0
    for character in text:
        if character not in BASE58:
            return False
        number = number * 58 + BASE58.index(character)
    raw = number.to_bytes(25, "big") if number < 1 << 200 else b""
    return len(raw) == 25 and hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


def is_bech32(text: str) -> bool:
    """Whether the checksum is that of Bech32 or Bech32m."""
    if text.lower() != text and text.upper() != text:
        return False
    prefix, _, data = text.lower().rpartition("1")
    if not prefix or any(c not in BECH32 for c in data):
        return False
    values = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + [BECH32.index(c) for c in data]
    return polymod(values) in (1, 0x2BC830A3)


def polymod(values: list[int]) -> int:
    """The BCH checksum of BIP 173."""
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(BECH32_GENERATORS):
            check ^= generator if (top >> bit) & 1 else 0
    return check


def is_phone_number(text: str) -> bool:
    """Whether it has as many digits as a telephone number (E.164: at most 15), not all of them equal."""
    digits = [c for c in text if c.isdigit()]
    return 8 <= len(digits) <= 15 and len(set(digits)) > 2


def has_entropy(text: str) -> bool:
    """Whether a token is as mixed as a random secret: digits and letters, few of them repeated."""
    return (
        any(c.isdigit() for c in text) and any(c.isalpha() for c in text) and 2 * len(set(text)) >= min(len(text), 20)
    )
