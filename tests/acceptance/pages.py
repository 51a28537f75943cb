"""The pages of the documentation, and the code blocks in them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(path for path in DOCS.rglob("*.md") if "reference" not in path.parts)]
FENCE = re.compile(
    r"(?:<!-- not run: (?P<why>.+?) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A code block; `why_not` it is not run, if it is marked so."""

    page: str
    language: str
    text: str
    why_not: str | None

    def commands(self):
        """Return what is typed in a console block, each with the answer that is shown."""
        found = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append([line[2:], []])
            elif "<<'END'" in found[-1][0] and not found[-1][0].endswith("\nEND"):
                found[-1][0] += f"\n{line}"
            else:
                found[-1][1].append(line)
        return [
            (command.partition("  #")[0] if "\n" not in command else command, said) for command, said in found
        ]


def blocks(path):
    """Return the code blocks of a page."""
    page = str(path.relative_to(ROOT))
    return [Block(page, one["language"], one["text"], one["why"]) for one in FENCE.finditer(path.read_text())]


def every(language):
    """Return all blocks of one language."""
    return [block for path in PAGES for block in blocks(path) if block.language == language]
