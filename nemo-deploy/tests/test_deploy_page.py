"""The chat page in a real browser, typed into as a person would."""

import os
import re
import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")]


playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 900, "height": 700})
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    yield page
    assert [fault for fault in faults if "status of 40" not in fault] == []
    page.close()


def keep_picture(page, name):
    """Where DEPLOY_PICTURES names a folder, a picture for a person to look at."""
    if folder := os.environ.get("DEPLOY_PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png")


def test_question_is_answered_in_the_page(page, client):
    page.goto(client.url)
    page.wait_for_selector("#status.ready")
    assert page.inner_text("#model") == "tiny"
    keep_picture(page, "welcome")
    page.fill("#max-tokens", "60")
    page.keyboard.press("Tab")
    page.click("#question")
    page.keyboard.type("What is textwrap?")
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn.assistant:not(.growing)")
    assert page.inner_text(".turn.user") == "What is textwrap?"
    assert "cut off at the token limit" in page.inner_text(".turn.assistant")
    assert "60 tokens" in page.inner_text("#speed")
    keep_picture(page, "answer")
    page.click("#theme")
    keep_picture(page, "dark")
    page.set_viewport_size({"width": 380, "height": 700})
    keep_picture(page, "phone")
    page.click("#question")
    page.keyboard.press("ArrowUp")
    assert page.input_value("#question") == "What is textwrap?"
    page.click("#clear")
    assert page.query_selector_all(".turn") == []
    assert page.is_visible("#welcome")


def test_oldest_turns_are_left_out_when_the_context_is_full(page, client):
    page.goto(client.url)
    page.wait_for_selector("#status.ready")
    page.fill("#max-tokens", "200")
    for count in (1, 2, 3):
        page.fill("#question", "word " * 20)
        page.keyboard.press("Enter")
        page.wait_for_selector(f".turn.assistant:not(.growing) >> nth={count - 1}")
    assert page.query_selector_all(".turn.fault") == []
    assert "the oldest turns are no longer sent" in page.inner_text(".turn.assistant >> nth=2")


def test_stop_button_ends_an_answer_and_frees_the_slot(page, serve_gated):
    with serve_gated() as (client, gated):
        page.goto(client.url)
        page.wait_for_selector("#status.ready")
        page.fill("#max-tokens", "4000")
        page.fill("#question", "Go on for ever")
        page.keyboard.press("Enter")
        gated.gate.release(30)
        playwright.expect(page.locator(".turn.assistant")).to_contain_text(re.compile(".{5}"))
        keep_picture(page, "growing")
        page.click("#stop")
        page.wait_for_selector(".turn.assistant:not(.growing)")
        assert "stopped" in page.inner_text(".turn.assistant")
        assert page.is_visible("#send")
        gated.open()
        client.wait_for_requests(0)


def test_error_is_shown_and_the_key_field_opens_a_locked_server(page, serve_bytes, monkeypatch):
    monkeypatch.setenv("DEPLOY_TEST_KEY", "s3cret")
    with serve_bytes(api_key_env="DEPLOY_TEST_KEY") as client:
        page.goto(client.url)
        page.wait_for_selector("#key-field:not([hidden])")
        keep_picture(page, "locked")
        page.fill("#key", "s3cret")
        page.keyboard.press("Tab")
        page.wait_for_selector("#status.ready")
        page.fill("#max-tokens", "9")
        page.fill("#question", "x")
        page.focus("#question")
        page.keyboard.press("Enter")
        page.wait_for_selector(".turn.assistant:not(.growing)")
        assert "9 tokens" in page.inner_text("#speed")
