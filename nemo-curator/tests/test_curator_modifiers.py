"""Each modifier takes away its kind of thing and leaves the rest; every extraction engine finds the main content."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_curator import curate
from nemo_curator.clean.modifiers import (
    NormalizeNewlines,
    NormalizeWhitespace,
    RemoveBoilerplate,
    RemoveLines,
    RemoveMarkdown,
    RemoveOuterQuotes,
    RemoveSymbolLines,
    RemoveUrls,
    SliceText,
    UnifyQuotes,
)
from nemo_curator.clean.pieces import (
    NormalizePunctuation,
    RemoveCharacters,
    RemoveCopyright,
    RemoveRepeatedSentences,
    RemoveWords,
    ReplaceText,
)
from nemo_curator.extract.html import Extract, extract
from nemo_curator.foundation.errors import ConfigError
from nemo_curator.testing.corpora import prose, read_folder, write_jsonl

CASES = [
    (NormalizeNewlines(), "a\n\n\n\nb\r\nc\rd", "a\n\nb\nc\nd"),
    (NormalizeNewlines(longest=1), "a\n\nb", "a\nb"),
    (NormalizeWhitespace(), "  a \t b\u3000c \n d  ", "a b c\nd"),
    (RemoveUrls(), "see https://a.org/x?y=1#z, or www.b.com.", "see , or ."),
    (RemoveUrls(), "(see http://a.org/b_(c)) and ftp://d/e", "(see ) and "),
    (RemoveUrls(replacement="<url>"), "at HTTP://A.ORG!", "at <url>!"),
    (RemoveUrls(), "no address: a.b or awww.x", "no address: a.b or awww.x"),
    (UnifyQuotes(), "\u201cIt\u2019s\u201d \u00abso\u00bb \u201eja\u201c", '"It\'s" "so" "ja"'),
    (RemoveOuterQuotes(), '"quoted text"', "quoted text"),
    (RemoveOuterQuotes(), '"one" and "two"', '"one" and "two"'),
    (RemoveOuterQuotes(), '"a\nb"', "a\nb"),
    (RemoveOuterQuotes(), '"a"\nb"', '"a"\nb"'),
    (RemoveOuterQuotes(), '  "a"', '  "a"'),
    (RemoveOuterQuotes(), '""', '""'),
    (
        RemoveMarkdown(),
        "# Title #\n**bold** and *it* and _u_ and `code` ~~no~~",
        "Title\nbold and it and u and code no",
    ),
    (RemoveMarkdown(), "[text](http://x) ![alt](y.png) [ref][1]\n[1]: http://z\n", "text alt ref\n"),
    (RemoveMarkdown(), "> quoted\n---\n```python\nx = 1\n```\n", "quoted\nx = 1\n"),
    (RemoveMarkdown(), "2 * 3 * 4 snake_case_name a_b", "2 * 3 * 4 snake_case_name a_b"),
    (RemoveMarkdown(), "**a *b* c** ***d*** **e****f** *g", "a b c d ef *g"),
    (RemoveMarkdown(), "2**3**4, f(**a, **b), f(**a,**b)", "2**3**4, f(**a, **b), f(**a,**b)"),
    (RemoveBoilerplate(), "We use cookies.\n\nText.\n\nAll rights reserved.", "Text."),
    (RemoveBoilerplate(), "Text.\n\nOur Privacy Policy.\n\nMore.", "Text.\n\nOur Privacy Policy.\n\nMore."),
    (RemoveBoilerplate(everywhere=True), "Text.\n\nOur Privacy Policy.\n\nMore.", "Text.\n\nMore."),
    (RemoveBoilerplate(), "Terms of use", ""),
    (RemoveLines(containing=["AD:"], equal=["Share"], pattern=r"^\d+$"), "a\nAD: x\n Share \n12\nb", "a\nb"),
    (SliceText(after="BEGIN", before="END"), "x BEGIN kept END y", "kept"),
    (SliceText(start=2, stop=-1, strip=False), "ab cd.", " cd"),
    (SliceText(after="nowhere"), " all ", "all"),
    (SliceText(after="nowhere", missing="empty"), " all ", ""),
    (SliceText(before="nowhere", missing="empty"), " all ", ""),
    (SliceText(after="--", before="--", keep_marks=True, last=True), "a--b--c--d", "--b--c--"),
    (SliceText(after="--", before="--", keep_marks=True), "a--b--c--d", "--b--"),
    (SliceText(after="<", keep_marks=True), "a <b> c", "<b> c"),
    (SliceText(start=7, stop=12), "Hello, world!", "world"),
    (SliceText(start=10), "short", ""),
    (RemoveBoilerplate(), "Our Privacy & Cookies Policy\n\nText.", "Text."),
    (RemoveSymbolLines(), "-\n--\n> a -\n\n \n| *\nb - \n\u2022", "> a -\n\n \nb - "),
    (RemoveSymbolLines(replacement="~"), "a\n-\n-\nb\n...\n", "a\n~\nb\n~"),
    (
        RemoveRepeatedSentences(),
        "The river runs to the sea. It is 3.5 m wide. THE RIVER, runs to the sea!\nYes. Yes.",
        "The river runs to the sea. It is 3.5 m wide.\nYes. Yes.",
    ),
    (
        RemoveRepeatedSentences(min_characters=3),
        "\u6211\u8d70\u8def\u3002\u6211\u8d70\u8def\u3002\u597d\u3002",
        "\u6211\u8d70\u8def\u3002\u597d\u3002",
    ),
    (RemoveRepeatedSentences(min_characters=3, ignore_case=False), "Read on. read on. Read on.", "Read on. read on."),
    (
        RemoveRepeatedSentences(min_characters=3),
        'He said "go." Then "go." Dr. A and Dr. B.',
        'He said "go." Then "go." Dr. A and Dr. B.',
    ),
    (RemoveWords(longest=6), "a\tlengthy, short! word\n(within)", "a\tshort! word\n(within)"),
    (RemoveWords(shortest=2), "a b\u00e9 I,  ab", "b\u00e9 I, ab"),
    (RemoveWords(containing=["http", "//"]), "see http://a.b and c//d or e", "see and or e"),
    (RemoveCharacters(), "\u25cf one \u25a1two\u2026", " one two\u2026"),
    (RemoveCharacters(characters="^]"), "a^b]c[", "abc["),
    (
        NormalizePunctuation(),
        "\uff08\u4e2d\u6587\uff0c\u300c\u662f\u300d\uff1f\uff11\uff09\u2014a\u2013b\u2026",
        '(\u4e2d\u6587,"\u662f"?\uff11) - a-b...',
    ),
    (ReplaceText(pattern=r"(\d+) km", replacement=r"\1 kilometres"), "5 km, 6 km", "5 kilometres, 6 kilometres"),
    (RemoveCopyright(), "/* Copyright 2020 A\n * B */\n\nint x; /* (c) */", "int x; /* (c) */"),
    (RemoveCopyright(), "#!/bin/sh\n# Copyright A\n# more\n\nls # x", "#!/bin/sh\nls # x"),
    (RemoveCopyright(), "-- All Rights Reserved\nSELECT 1", "SELECT 1"),
    (RemoveCopyright(), "# A heading\ntext on copyright", "# A heading\ntext on copyright"),
    (RemoveCopyright(), "/* what it does */\n/* Copyright */ x", "/* what it does */\n/* Copyright */ x"),
    (RemoveSymbolLines(), "1\n\u5b57\n\u3002\n\u00e9", "1\n\u5b57\n\u00e9"),
]


@pytest.mark.parametrize(("modifier", "text", "wanted"), CASES)
def test_modifiers(modifier, text, wanted):
    assert modifier.rewrite(text) == wanted


@pytest.mark.parametrize(
    "modifier", [NormalizeNewlines(), NormalizeWhitespace(), UnifyQuotes(), RemoveUrls(), RemoveRepeatedSentences()]
)
@given(text=st.text(max_size=60))
def test_a_second_time_changes_nothing(modifier, text):
    once = modifier.rewrite(text)
    assert modifier.rewrite(once) == once


@given(st.text(max_size=80))
def test_plain_words_survive_every_modifier(text):
    for modifier, _, _ in CASES:
        assert isinstance(modifier.rewrite(text), str)
    assert RemoveMarkdown().rewrite("The river runs.") == "The river runs."


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RemoveLines(), "says of no line that it goes"),
        (lambda: RemoveLines(pattern="("), "is no regular expression"),
        (lambda: RemoveWords(), "says of no word that it goes"),
        (lambda: ReplaceText(pattern="(", replacement="x"), r"pattern='\(' replacement='x': missing \)"),
        (lambda: ReplaceText(pattern="a", replacement=r"\2"), "invalid group reference 2"),
    ],
)
def test_impossible_modifiers_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet="ab c.!?\u3002\n", max_size=60))
def test_every_sentence_survives_once(text):
    from nemo_curator.clean.pieces import SENTENCE_END

    def said(text):
        return {"".join(filter(str.isalnum, s)) for line in text.split("\n") for s in SENTENCE_END.split(line)} - {""}

    assert said(RemoveRepeatedSentences(min_characters=1).rewrite(text)) == said(text)


def test_modifiers_are_steps_and_empty_texts_are_dropped_with_a_reason(tmp_path):
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": "http://only/an/address"}, {"text": "\u201c# Kept\u201d"}])
    result = curate(tmp_path / "in", tmp_path / "out", pipeline=["remove_urls", "unify_quotes"], workers=1)
    assert result.dropped == {"nothing_left": 1}
    assert [r["text"] for r in read_folder(tmp_path / "out/data")] == ['"# Kept"']


PAGE = (
    "<html lang='en'><head><title>The  river</title><meta name='description' content='About a  river'>"
    "<meta property='article:published_time' content='2020-01-02'><link rel=canonical href='http://x/river'></head>"
    "<body><nav><a href='/home'>Home</a> <a href='/about'>About</a></nav><article><h1>The river</h1>"
    + "".join(f"<p>{prose(n)}</p>" for n in range(4))
    + "<p><a href='http://sea/'>the sea</a></p></article><footer>Copyright, cookies and terms</footer></body></html>"
)


@pytest.mark.parametrize("engine", ["resiliparse", "trafilatura", "justext"])
def test_every_engine_finds_the_main_content(engine):
    text, title = extract(PAGE.encode(), "", Extract(engine=engine))
    assert title == "The river"
    assert all(prose(n) in text for n in range(4))
    assert "cookies and terms" not in text and "About" not in text


@pytest.mark.parametrize("engine", ["resiliparse", "trafilatura", "justext"])
@pytest.mark.parametrize(
    "page", [b"", b"<html></html>", b"\0\1\2<", b"<p", "<p>\ud83d".encode("utf-8", "surrogatepass")]
)
def test_no_engine_fails_on_what_is_no_page(engine, page):
    text, title = extract(page, "", Extract(engine=engine))
    (text + title).encode()


def test_what_a_page_says_of_itself_is_kept_when_asked_for(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.html").write_text(PAGE)
    step = {"extract": {"metadata": True, "keep_links": True}}
    curate(tmp_path / "in", tmp_path / "out", pipeline=[step], workers=1)
    (row,) = read_folder(tmp_path / "out/data")
    links = [
        {"url": "/home", "text": "Home"},
        {"url": "/about", "text": "About"},
        {"url": "http://sea/", "text": "the sea"},
    ]
    assert json.loads(row["metadata"]) == {
        "description": "About a river",
        "published": "2020-01-02",
        "canonical": "http://x/river",
        "declared_language": "en",
        "links": links,
    }


def test_justext_names_the_languages_that_have_stop_words():
    with pytest.raises(ConfigError, match=r"no stop words of language 'xx' \(af, an, ar, .*zh\)"):
        extract(PAGE.encode(), "", Extract(engine="justext", language="xx"))
