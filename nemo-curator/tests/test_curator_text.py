"""Text is extracted, mended and its language found."""

import pytest

from nemo_curator.clean.repair import Repair, mend
from nemo_curator.extract.html import Extract, decode, extract, open_engine, page_or_text
from nemo_curator.language.identify import Language, fault, identify

PAGE = """<html><head><title> A  page about
rivers </title></head><body><nav><ul><li><a href="/">Home</a></li><li><a href="/x">More</a></li></ul></nav>
<main><article><h1>Rivers</h1><p>The river runs to the sea, and the <a href="http://sea">sea</a> is wide.</p>
<p>It has done so for a very long time, as all the people of the town will tell you.</p></article></main>
<footer>Copyright and terms of use</footer></body></html>"""


def test_main_content_and_title_are_kept_and_furniture_is_not():
    text, title = extract(PAGE.encode(), "", Extract())
    assert title == "A page about rivers"
    assert "The river runs to the sea" in text
    assert "very long time" in text
    assert "Home" not in text
    assert "Copyright" not in text


def test_a_page_nested_without_end_is_dropped_at_once():
    rest = {**dict.fromkeys(("charset", "text", "title", "metadata"), ""), "settings": Extract()}
    assert page_or_text(str, html=b"<div>" * 500_000 + b"x", **rest)[3] == "nested_too_deeply"
    engine = open_engine(Extract())
    assert page_or_text(engine, html=b"<p>hello there<br>" * 10_000, **rest)[3] is None


def test_link_targets_are_kept_on_demand():
    assert "http://sea" in extract(PAGE.encode(), "", Extract(links=True))[0]
    assert "http://sea" not in extract(PAGE.encode(), "", Extract())[0]


def test_all_text_on_demand():
    assert "Copyright" in extract(PAGE.encode(), "", Extract(main_content=False))[0]


@pytest.mark.parametrize(
    ("data", "charset"),
    [
        ("Größe über alles".encode(), ""),
        ("Größe über alles".encode(), "iso-8859-1"),
        ("\ufeffGröße über alles".encode(), ""),
        ("Größe über alles".encode("latin-1"), "iso-8859-1"),
        ('<meta charset="iso-8859-15">Größe über alles'.encode("iso-8859-15"), ""),
        ("\ufeffGröße über alles".encode("utf-16-le"), ""),
        ("\ufeffGröße über alles".encode("utf-16-be"), ""),
        ("Größe über alles".encode("latin-1"), "no-such-charset"),
        ("Größe über alles".encode("latin-1"), "utf-8"),
    ],
)
def test_bytes_are_decoded_as_what_they_are(data, charset):
    assert decode(data, charset).endswith("Größe über alles")


def test_bytes_of_no_encoding_still_become_text():
    extract(bytes(range(256)) * 20, "utf-8", Extract())[0].encode()


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("The caf\u00c3\u00a9 of Fran\u00c3\u00a7ois", "The caf\u00e9 of Fran\u00e7ois"),
        ("It\u00e2\u20ac\u2122s here", "It\u2019s here"),
        ("e\u0301t\u00e9", "\u00e9t\u00e9"),
        ("a\x00b\x07c\u200bd\ufeff", "abcd"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("trailing   \n\n\n\n\nblank \t", "trailing\n\nblank"),
        ("non\u00a0breaking", "non breaking"),
        ("    code = 1\n    more", "    code = 1\n    more"),
        ("plain text", "plain text"),
        ("\u201cquoted\u201d \u2013 and \u4f60\u597d", "\u201cquoted\u201d \u2013 and \u4f60\u597d"),
    ],
)
def test_repair(broken, whole):
    assert mend(broken, Repair()) == whole
    assert mend(whole, Repair()) == whole


def test_repair_can_collapse_blanks():
    assert mend("  a   b\n\tc", Repair(keep_indentation=False)) == " a b\n c"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The river that runs through the valley has been the reason for the town to be there.", "en"),
        ("Der Fluss, der durch das Tal fließt, war der Grund dafür, dass die Stadt dort entstand.", "de"),
        ("La rivière qui traverse la vallée est la raison pour laquelle la ville se trouve là.", "fr"),
        ("谷を流れる川が、町がそこにある理由である。", "ja"),
    ],
)
def test_language_is_found(text, language):
    name, probability = identify(text)
    assert name == language
    assert probability > 0.8


def test_no_words_have_no_language():
    assert identify(" \n ") == ("", 0.0)


def test_language_verdicts():
    english = Language(keep=["en"])
    assert fault("en", 0.9, english) is None
    assert fault("de", 0.9, english) == "language_not_wanted"
    assert fault("en", 0.5, english) == "language_uncertain"
    assert fault("de", 0.1, Language()) is None


SAID = "<html><head><meta charset='{}'></head><body><p>Über Flüsse, Brücken und Städte: déjà vu.</p></body></html>"


@pytest.mark.parametrize(
    ("page", "charset", "wanted"),
    [
        (SAID.format("utf-8").encode() + b"<p>caf\xc3", "", "Über Flüsse, Brücken und Städte: déjà vu."),
        (SAID.format("latin-1").encode() + b"\xc3", "iso-8859-1", "Über Flüsse, Brücken und Städte: déjà vu."),
        (SAID.format("utf-8").encode("latin-1"), "", "Über Flüsse, Brücken und Städte: déjà vu."),
        (SAID.format("utf-8").encode("latin-1"), "utf-8", "Über Flüsse, Brücken und Städte: déjà vu."),
        (SAID.format("utf-16").encode("utf-16-le"), "UTF-16LE", "Über Flüsse, Brücken und Städte: déjà vu."),
        (SAID.format("utf-16").encode("utf-16-be"), "utf-16", "Über Flüsse, Brücken und Städte: déjà vu."),
    ],
)
def test_a_page_cut_within_a_character_or_wrongly_labelled_is_read_in_its_own_encoding(page, charset, wanted):
    assert wanted in decode(page, charset)
