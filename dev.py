"""Set this checkout up and run one of its sessions: ``python3 dev.py <session> [arguments]``.

Needs only Python >= 3.11 and its venv module. Makes ``.dev/`` with nox and uv inside, then hands over to nox; nothing
outside this folder is changed. Old Pythons must be able to read this file as far as the sentence that refuses them.
"""

import ast
import hashlib
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))
HOME = os.path.join(ROOT, ".dev")
STAMP = os.path.join(HOME, "ready")
TOOLS = ["nox>=2025.5.1", "uv>=0.5"]
OLDEST = (3, 11)


def refusal():
    """Why this Python cannot be used, as one sentence; "" where it can."""
    have = "%d.%d" % sys.version_info[:2]
    if sys.version_info < OLDEST:
        return (
            "Python %d.%d or newer is needed and this is %s: install a newer one, then run e.g. python3.12 dev.py."
            % (OLDEST + (have,))
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        return (
            "this Python lacks its %s module: on Debian or Ubuntu run "
            "'sudo apt install python%s-venv', elsewhere install a complete Python, then try again."
            % (error.name, have)
        )
    return ""


def sessions():
    """Name, first line of the docstring, and whether it is one of several, of every session; read without nox."""
    with open(os.path.join(ROOT, "noxfile.py"), encoding="utf-8") as handle:
        tree = ast.parse(handle.read())
    return [
        (
            node.name,
            (ast.get_docstring(node) or "").split("\n")[0],
            len(node.args.args) > 1,
        )
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any("'session'" in ast.dump(d) for d in node.decorator_list)
    ]


def overview():
    """The text of --help."""
    rows = ["  %-12s %s" % (name, about) for name, about, _ in sessions()]
    return "\n".join(
        ["usage: python3 dev.py <session> [arguments]", "", "sessions:"]
        + rows
        + [
            "",
            "examples:",
            "  python3 dev.py quickstart                from web text to a served, aligned model",
            "  python3 dev.py quickstart input=PATH     the same from your own WARC, HTML, JSONL or Parquet files",
            "  python3 dev.py tests                     the tests of everything",
            "  python3 dev.py tests core -k artifact    one package's tests; the rest goes to pytest",
            "",
            "The first run makes .dev/ (nox, uv) and .nox/ (environments) in this folder; delete both to undo.",
        ]
    )


def wanted_state():
    """What .dev/ was made from; another value means that it has to be made again."""
    facts = [sys.version, sys.base_prefix, HOME] + TOOLS
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def is_ready():
    """Whether .dev/ is complete and belongs to this Python and this place."""
    if not os.path.isfile(STAMP):
        return False
    with open(STAMP, encoding="utf-8") as handle:
        return handle.read() == wanted_state()


def python_of(folder):
    """The interpreter of a virtual environment."""
    inside = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return os.path.join(folder, *inside)


def set_up():
    """Make .dev/; the stamp is written last, so that an interrupted attempt is started again from nothing."""
    say("setting up .dev/ (nox and uv; about ten seconds, once)")
    shutil.rmtree(HOME, ignore_errors=True)
    attempt([sys.executable, "-m", "venv", HOME], "could not make a virtual environment in .dev/")
    attempt(
        [python_of(HOME), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"] + TOOLS,
        "could not install nox and uv: see pip's lines above; check the network, or name a mirror in PIP_INDEX_URL "
        "or a folder of wheels in PIP_FIND_LINKS, then run the same command again",
    )
    with open(STAMP, "w", encoding="utf-8") as handle:
        handle.write(wanted_state())


def attempt(words, failure):
    """Run a command; end with the sentence `failure` where it does not succeed."""
    if subprocess.call(words) != 0:
        sys.exit("dev.py: %s." % failure)


def say(text):
    """Tell what is being done, on stderr."""
    sys.stderr.write("dev.py: %s\n" % text)
    sys.stderr.flush()


def nox_words(words):
    """The nox arguments for a session and what follows it: ``tests core -q`` becomes ``tests(core) -- -q``."""
    name, rest = words[0], words[1:]
    known = {session: choices for session, _, choices in sessions()}
    if name.split("(")[0] not in known:
        sys.exit("dev.py: unknown session %r; one of %s." % (name, ", ".join(known)))
    if known.get(name) and rest and rest[0].replace("nemo-", "", 1).isalpha():
        name, rest = "%s(%s)" % (name, rest[0].replace("nemo-", "", 1)), rest[1:]
    return ["-s", name] + (["--"] + rest if rest else [])


def main(words):
    """Set up what is missing, then become nox."""
    reason = refusal()
    if reason:
        sys.exit("dev.py: " + reason)
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        sys.exit(0 if words else 2)
    arguments = nox_words(words)
    try:
        if not is_ready():
            set_up()
    except KeyboardInterrupt:
        sys.exit("dev.py: interrupted; the same command starts again.")
    os.chdir(ROOT)
    command = [python_of(HOME), "-m", "nox", "--non-interactive"] + arguments
    if os.name == "nt":
        sys.exit(subprocess.call(command))
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
