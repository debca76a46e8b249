"""Research a folder of text: read every file, extract what matters, write a report.

Every @checkpoint's result is recorded before the flow sees it. Kill this at any moment: `kitaru executions resume ID`
continues with the first call that has no recorded result. Run it on your own folder:

    kitaru run research.py:research --args '{"folder": "docs"}'
"""

import ast
import importlib.util
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kitaru import checkpoint, flow

FILES_MAX = 200
LOOKED_AT_MAX = 5_000
BYTES_MAX = 1_000_000
SENTENCES_PER_FILE = 2
TERMS_PER_FILE = 6

# What to read when no folder is given: documentation that every Python installation carries in its source files.
STANDARD_LIBRARY = ["argparse", "difflib", "doctest", "heapq", "logging", "pickle", "random", "shelve"]
STANDARD_LIBRARY += ["statistics", "tarfile", "textwrap", "threading", "timeit", "tokenize", "uuid", "zipfile"]

COMMON = """about above after again against also another argument arguments because been before being below between both
called can cannot could default does done down during each either else every false first following from function given
have having here into itself just like make many method more most must name need neither none object objects once only
other otherwise over raise raises return returned returns same self should since some such than that their them then
there these they this those through true type under until upon used user using value values very want were what when
where whether which while will with within without would your"""
STOP_WORDS = set(COMMON.split())


@dataclass
class Folder:
    """What there is to read, and what was left out and why."""

    files: list[str]
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass
class Document:
    path: str
    text: str


@dataclass
class Findings:
    path: str
    words: int
    sentences: list[str]
    terms: list[str]


@flow(max_concurrency=4)
def research(folder: str | None = None, report: str = "research-report.md", pace: float = 0.25) -> str:
    """The path of the report. `pace` is how many seconds an extraction takes at least: a model would need them."""
    found = list_files(folder)
    documents = read_file.map(found.files)
    findings = [future.result() for future in extract.map(documents, pace=pace)]
    summary = summarise(findings)
    path: str = write_report(report, summary, findings, found.skipped)
    return path


@checkpoint
def list_files(folder: str | None) -> Folder:
    return find_files(folder)


@checkpoint
def read_file(path: str) -> Document:
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    return Document(path, docstrings(text) if path.endswith(".py") else text)


@checkpoint(retries=2, backoff=0.2)
def extract(document: Document, pace: float) -> Findings:
    """The sentences that carry the most frequent terms: an extractive summary, without any model."""
    started = time.monotonic()
    words = re.findall(r"[A-Za-z][a-z]{3,}", document.text)
    counts = Counter(word.lower() for word in words if word.lower() not in STOP_WORDS)
    sentences = best_sentences(document.text, counts)
    terms = [term for term, _ in counts.most_common(TERMS_PER_FILE)]
    time.sleep(max(0.0, pace - (time.monotonic() - started)))
    return Findings(document.path, len(words), sentences, terms)


@checkpoint
def summarise(findings: list[Findings]) -> str:
    terms = Counter(term for found in findings for term in found.terms)
    shared = ", ".join(term for term, _ in terms.most_common(10))
    words = sum(found.words for found in findings)
    return f"{len(findings)} files, {words:,} words. They are mostly about: {shared or 'nothing that repeats'}."


@checkpoint
def write_report(report: str, summary: str, findings: list[Findings], skipped: dict[str, str]) -> str:
    lines = ["# Research report", "", summary]
    for found in findings:
        lines += ["", f"## {name_of(found.path)}", "", f"Terms: {', '.join(found.terms) or 'none'}", ""]
        lines += [f"- {sentence}" for sentence in found.sentences]
    if skipped:
        lines += ["", "## Left out", "", *(f"- {path}: {reason}" for path, reason in skipped.items())]
    path = Path(report).expanduser().resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


# -- plain helpers: no checkpoints, nothing recorded -----------------------------------------------------------------


def find_files(folder: str | None) -> Folder:
    """The text files under a folder, sorted; without one, source files of the standard library."""
    if folder is None:
        specs = (importlib.util.find_spec(name) for name in STANDARD_LIBRARY)
        return Folder([spec.origin for spec in specs if spec and spec.origin and Path(spec.origin).is_file()])
    root = Path(folder).expanduser().resolve()
    if not root.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    found = Folder([])
    for number, path in enumerate(walk(root)):
        if len(found.files) == FILES_MAX or number == LOOKED_AT_MAX:
            found.skipped[str(root)] = f"only the first {len(found.files)} texts were read"
            break
        reason = why_not(path)
        if reason is None:
            found.files.append(str(path))
        else:
            found.skipped[str(path)] = reason
    return found


def walk(root: Path) -> Iterator[Path]:
    """The files under a folder in a fixed order, without what is hidden."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def name_of(path: str) -> str:
    """`random.py`, and `logging/__init__.py` with its folder."""
    return "/".join(Path(path).parts[-2:]) if Path(path).stem == "__init__" else Path(path).name


def why_not(path: Path) -> str | None:
    """Why a file is not read; None if it is text of a sane size."""
    try:
        if not path.is_file():
            return "not a file, or a link to nowhere"
        if path.stat().st_size > BYTES_MAX:
            return f"larger than {BYTES_MAX // 1000} kB"
        with path.open("rb") as file:
            return "not a text file" if b"\0" in file.read(8192) else None
    except OSError as error:
        return f"unreadable ({error.strerror})"


def docstrings(source: str) -> str:
    """The documentation inside Python source."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return source
    places = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, places)]
    return "\n\n".join(filter(None, texts))


def best_sentences(text: str, counts: Counter[str]) -> list[str]:
    """The sentences with the highest average frequency of their words, in the order of the text."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text) if ">>>" not in paragraph]
    sentences = [one for paragraph in paragraphs for one in re.split(r"(?<=[.!?])\s+(?=[A-Z])", paragraph)]

    def score(sentence: str) -> float:
        words = re.findall(r"[A-Za-z][a-z]{3,}", sentence)
        whole = re.fullmatch(r"[A-Z].*[.!?]", sentence) is not None and 6 <= len(words) <= 40
        return sum(counts[word.lower()] for word in words) / len(words) if whole else 0.0

    best = sorted(set(sentences), key=lambda one: (-score(one), one))[:SENTENCES_PER_FILE]
    return sorted((one for one in best if score(one) > 0), key=text.find)
