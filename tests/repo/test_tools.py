"""The scripts that decide what is tested, released and installed."""

import pytest
from changed_packages import concerned
from installer import parse_pip_config, uv_environment
from markdown_blocks import blocks, script, session_names
from packages import ALL
from release import problems
from summarise_tests import count, main, summary


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], []),
        (["docs/index.md", "README.md"], []),
        (["nemo-curator/src/nemo_curator/cli.py"], ["curator"]),
        (["nemo-core/README.md"], ["core", "aligner", "deploy"]),
        (["nemo-deploy/tests/test_x.py", "nemo-launcher/a"], ["launcher", "deploy"]),
        (["constraints.txt"], list(ALL)),
        (["tools/packages.py"], list(ALL)),
        (["tests/integration/test_quickstart.py"], list(ALL)),
        (["nemo-unknown/file"], []),
    ],
)
def test_a_change_concerns_its_package_and_the_dependants(paths, expected):
    assert concerned(paths) == expected


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("core-v1.0.0", "not of the form"),
        ("nemo-corer-v1.0.0", "not of the form"),
        ("nemo-core-v99.0.0", "says 99.0.0, nemo-core/src/nemo_core/__init__.py says"),
        ("nemo-core-v99.0.0", "CHANGELOG.md has no heading '## 99.0.0"),
    ],
)
def test_a_wrong_tag_is_told_what_is_wrong(tag, expected):
    assert any(expected in line for line in problems(tag))


def test_pip_settings_are_ranked_as_pip_ranks_them():
    listing = "global.index-url='https://a/simple'\n:env:.index-url='https://b/simple'\ninstall.find-links='/w1 /w2'\n"
    assert parse_pip_config(listing) == {"index-url": "https://b/simple", "find-links": "/w1 /w2"}


def test_uv_is_told_of_pips_indexes_and_wheel_folders():
    added = uv_environment({"find-links": "/w1 /w2", "extra-index-url": "https://x/simple"}, {})
    assert added == {
        "UV_FIND_LINKS": "/w1,/w2",
        "UV_INDEX": "https://x/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_what_the_user_told_uv_is_kept():
    assert uv_environment({"find-links": "/w"}, {"UV_FIND_LINKS": "/mine"}) == {}


MARKDOWN = """
# Title

```bash
python3 dev.py tests
echo one
```

````text
```bash
not a block of its own
```
````

```python no-run
print(1)
```
"""


def test_blocks_are_found_with_their_lines_and_marks():
    first, nested, last = blocks(MARKDOWN)
    assert (first.language, first.line, first.runs) == ("bash", 5, True)
    assert (nested.language, nested.runs) == ("text", False)
    assert (last.language, last.text, last.runs) == ("python", "print(1)\n", False)


def test_commands_that_start_a_session_are_named_but_not_run_inside_one():
    first = next(blocks(MARKDOWN))
    assert session_names(first.text) == ["tests"]
    assert script(first) == "echo one\n"


def test_an_unclosed_block_is_an_error_that_names_the_line():
    with pytest.raises(ValueError, match="starts on line 2 is never closed"):
        list(blocks("\n```bash\necho"))


def test_junit_files_add_up_to_one_summary_line(tmp_path):
    suite = '<testsuites><testsuite tests="5" failures="1" errors="0" skipped="2" time="1.5"/></testsuites>'
    (tmp_path / "a.xml").write_text(suite)
    (tmp_path / "b.xml").write_text(suite.replace('failures="1"', 'failures="0"'))
    assert summary(count(tmp_path), 0) == "===== 5 passed, 1 failed, 4 skipped in 3.00s ====="
    assert main([str(tmp_path), "0"]) == 1


def test_a_run_without_any_test_fails(tmp_path):
    assert main([str(tmp_path), "0"]) == 1


def test_a_failed_session_fails_the_run(tmp_path):
    (tmp_path / "a.xml").write_text(
        '<testsuites><testsuite tests="1" failures="0" errors="0" skipped="0"/></testsuites>'
    )
    assert main([str(tmp_path), "0"]) == 0
    assert main([str(tmp_path), "1"]) == 1
