"""Comments of program text: Python's by its own tokenizer, those of other languages by their marks."""

import ast
import io
import re
import tokenize
import warnings

from ...foundation.errors import ConfigError
from ...foundation.settings import did_you_mean

STRING = r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
MARKS = {
    "slashes": r"//(?P<line>[^\n]*)|/\*(?P<block>.*?)\*/",
    "hash": r"#(?P<line>[^\n]*)|(?P<block>(?!))",
    "dashes": r"--(?P<line>[^\n]*)|/\*(?P<block>.*?)\*/",
    "percent": r"%(?P<line>[^\n]*)|(?P<block>(?!))",
    "semicolon": r";(?P<line>[^\n]*)|(?P<block>(?!))",
    "markup": r"<!--(?P<block>.*?)-->|(?P<line>(?!))",
}
LANGUAGES = {
    **dict.fromkeys(
        [
            "c",
            "c++",
            "cpp",
            "c-sharp",
            "java",
            "javascript",
            "typescript",
            "go",
            "rust",
            "swift",
            "kotlin",
            "scala",
            "dart",
            "php",
            "css",
            "groovy",
            "objective-c",
            "solidity",
            "verilog",
            "zig",
        ],
        "slashes",
    ),
    **dict.fromkeys(
        [
            "ruby",
            "perl",
            "shell",
            "bash",
            "r",
            "yaml",
            "toml",
            "makefile",
            "dockerfile",
            "julia",
            "elixir",
            "cmake",
            "powershell",
        ],
        "hash",
    ),
    **dict.fromkeys(["sql", "haskell", "lua", "ada", "elm", "vhdl"], "dashes"),
    **dict.fromkeys(["tex", "matlab", "erlang", "prolog"], "percent"),
    **dict.fromkeys(["lisp", "scheme", "clojure", "assembly", "racket"], "semicolon"),
    **dict.fromkeys(["html", "xml", "markdown"], "markup"),
}


def length_of_comments(source: str, language: str) -> int | None:
    """Characters of comments and docstrings, marks left out but in Python; None where the source cannot be read.

    Raises ConfigError for a language whose comments are not known.
    """
    if language == "python":
        return of_python(source)
    if language not in LANGUAGES:
        known = ["python", *LANGUAGES]
        raise ConfigError(
            f"comments_of={language!r} is unknown{did_you_mean(language, known)} (known: {', '.join(known)})"
        )
    pattern = re.compile(f"{STRING}|{MARKS[LANGUAGES[language]]}", re.DOTALL)
    found = [match["line"] or match["block"] or "" for match in pattern.finditer(source)]
    return len(" ".join(text for text in found if text))


def of_python(source: str) -> int | None:
    """Characters of the comments and docstrings of a Python module; None where it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        return None
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [text for n in ast.walk(tree) if isinstance(n, documented) and (text := ast.get_docstring(n))]
    return len("\n".join(docstrings)) + sum(len(t.string) for t in tokens if t.type == tokenize.COMMENT)
