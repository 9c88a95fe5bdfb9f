"""`make lint`: the English of docs, help, messages, docstrings and comments.

proselint looks for what is said twice, worn out or misspelt, and with its checks for the words that
`audit/prose.toml` lists, which are those of docs/reference/glossary.md.
"""

from __future__ import annotations

import ast
import bisect
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from proselint.checks import __register__
from proselint.registry.checks import Check, types

from audit import toml

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = Path(__file__).with_name("prose.toml")
_CODE_BLOCK = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
_NOT_PROSE = re.compile(
    r"`[^`\n]*`"  # code
    r"|\]\([^)\s]*\)"  # where a link leads
    r"|https?://\S+"
    r"|<[^>]*>"  # tags
    r"|\{[{%#].*?[}%#]\}",  # templates
    re.DOTALL,
)
_FILLER = "¤"


class Passage(NamedTuple):
    """What somebody reads in one piece."""

    line: int
    """where it begins"""
    text: str


class Finding(NamedTuple):
    """What is wrong with a passage."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def passages(path: Path) -> Iterator[Passage]:
    """Yield what there is to read in a file."""
    content = path.read_text()
    if path.suffix == ".py":
        yield from _comments(content)
        # what tests send and expect is not prose
        yield from _strings(content, documentation="tests" in path.parts)
    elif path.suffix == ".md":
        yield Passage(1, _CODE_BLOCK.sub(_blank, content))
    else:
        yield Passage(1, content)


def _blank(match: re.Match[str]) -> str:
    """Return nothing to read that is as long, in as many lines."""
    return "".join(each if each.isspace() else _FILLER for each in match[0])


def _comments(content: str) -> Iterator[Passage]:
    lines: list[str] = []
    begin = 0
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != begin + len(lines):
            if lines:
                yield Passage(begin, "\n".join(lines))
            begin, lines = token.start[0], []
        lines.append(token.string.lstrip("#"))
    if lines:
        yield Passage(begin, "\n".join(lines))


def _strings(content: str, *, documentation: bool) -> Iterator[Passage]:
    """Yield the strings of more than a word, or only those that document something."""
    nodes = [*ast.walk(ast.parse(content))]
    if documentation:
        nodes = [node.value for node in nodes if isinstance(node, ast.Expr)]
    within = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "" for part in node.values]
            text = _FILLER.join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = "" if id(node) in within else node.value
        else:
            continue
        if " " in text:
            yield Passage(node.lineno, text.encode(errors="replace").decode())


def checks(words: Path = WORDS) -> list[Check]:
    """Return what is looked for: some of proselint's checks, and one for each word that is listed."""
    rules = toml.read(words)
    chosen = tuple(rules["proselint"])
    found = [check for check in __register__ if check.path.startswith(chosen)]
    for rule in rules["word"]:
        for pattern in rule["not"]:
            kind = types.ExistenceSimple(rf"(?i)\b(?:{pattern})\b", tuple(rule.get("but", ())))
            found.append(Check(kind, message=f"'{{}}': {rule['say']}"))
    return found


def findings(path: Path, looked_for: list[Check]) -> list[Finding]:
    """Return what is wrong with the prose in a file, in its order."""
    begins, lines, texts = [0], [], []
    for line, text in passages(path):
        # proselint wants something around each word
        texts.append(f" {_NOT_PROSE.sub(_blank, text)} {_FILLER}")
        lines.append(line)
        begins.append(begins[-1] + len(texts[-1]))
    whole = "".join(texts)
    # a line end is as good as a blank
    prose = whole.replace("\n", " ")
    found = set()
    # all at once, since a check takes longer to begin than to look
    for check in looked_for:
        for result in check.check_with_flags(prose):
            at = result.span[0]
            number = bisect.bisect_right(begins, at) - 1
            line = lines[number] + whole.count("\n", begins[number], at)
            found.add(Finding(path, line, result.message))
    return sorted(found)


def files(folder: Path) -> list[Path]:
    """Return the files under version control that people read."""
    command = ["git", "ls-files", *toml.read(WORDS)["files"]]
    listed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return [folder / name for name in listed.stdout.splitlines() if (folder / name).is_file()]


def main(arguments: list[str], folder: Path) -> int:
    """Look at the files that are named, by default at all; return 1 if something was found."""
    named = [folder / name for name in arguments] or files(folder)
    looked_for = checks()
    found = [each for path in named for each in findings(path, looked_for)]
    for each in found:
        print(each._replace(path=each.path.relative_to(folder)))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path.cwd()))
