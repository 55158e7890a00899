"""What the documents say about the repository is true of it: sections, functions, scenarios, paths, lengths."""

import importlib
import pathlib
import re

import pytest

from tests.rules.scenarios import SCENARIOS
from tests.rules.scenarios_starts import STARTS

ROOT = pathlib.Path(__file__).resolve().parents[1]
RULES = (ROOT / "docs" / "rules.md").read_text()
HEADINGS = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?)\.? ", RULES, re.MULTILINE))
SOURCES = [path for folder in ("trading_gymnax", "tests", "examples") for path in sorted((ROOT / folder).rglob("*.py"))]
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part in ("runs", "mutants") for part in path.relative_to(ROOT).parts)
)
FOLDERS = ("trading_gymnax", "purejaxrl_ppo", "tests", "benchmarks", "docs", "examples")
MADE_LATER = re.compile(r"[*<>{}]")  # a pattern, not a path


def cited(text: str) -> set[str]:
    """Numbers of the sections that a text names: "section 3.4", "sections 1, 2 and 5", "section 3.5 to 3.8"."""
    lists = re.findall(r"\b[Ss]ections? (\d+(?:\.\d+)?(?:(?:, | and | to )\d+(?:\.\d+)?)*)", text)
    return {number for one in lists for number in re.findall(r"\d+(?:\.\d+)?", one)}


def test_the_rule_book_has_its_sections():
    assert {str(number) for number in range(1, 9)} | {f"3.{rule}" for rule in range(1, 12)} <= HEADINGS


def test_every_section_that_is_cited_exists():
    """In sources, which say once whose sections they mean, in pages, and in the scenarios."""
    for path in (*SOURCES, *PAGES):
        text = path.read_text()
        if path != pathlib.Path(__file__) and cited(text):
            assert cited(text) <= HEADINGS, path
            assert "rules.md" in text or path.name == "rules.md", f"{path}: whose sections are these?"
    assert {scenario.rule for scenario in SCENARIOS} <= HEADINGS


# -- where each rule lives --

PLACES = dict(
    re.findall(r"^#{2,3} (\d+(?:\.\d+)?)\.? (?:(?!\n#{1,3} )[\s\S])*?\n(Lives in: [\s\S]*?)(?=\n\n|\Z)", RULES, re.M)
)


def test_every_section_says_where_it_lives():
    assert set(PLACES) == HEADINGS - {"2", "4", "5"}  # these hold nothing but parts
    shown = {section for section, text in PLACES.items() if re.search(r"scenario|`tests/", text)}
    assert shown == set(PLACES), "a section needs a scenario or a test"


@pytest.mark.parametrize("section", PLACES)
def test_the_functions_named_there_exist(section):
    code, _, reference = PLACES[section].partition("reference")
    names = re.findall(r"`([\w.]+)`", code)
    assert names
    for name in names:
        assert found("trading_gymnax." + name), name
    for name in re.findall(r"`([\w.]+)`", reference):
        if not name.endswith(".py"):
            assert found("trading_gymnax.reference." + name) or found("trading_gymnax.reference_life." + name), name


def found(full_name: str) -> bool:
    """Whether a dotted name leads through modules to something in one of them."""
    parts = full_name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            place = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            place = getattr(place, part, None)
        return place is not None
    return False


@pytest.mark.parametrize("section", PLACES)
def test_the_scenarios_named_there_exist(section):
    known = {scenario.name for scenario in SCENARIOS} | {start.name for start in STARTS}
    named = re.findall(r'"([^"]+)"', " ".join(PLACES[section].split()))
    assert set(named) <= known, set(named) - known


def test_the_scenarios_named_lie_in_the_files_named():
    for section, text in PLACES.items():
        for file, names in re.findall(r'`(scenarios_\w+\.py)`: ((?:"[^"]+",? ?)+)', " ".join(text.split())):
            source = (ROOT / "tests" / "rules" / file).read_text()
            for name in re.findall(r'"([^"]+)"', names):
                assert f'"{name}"' in source, (section, file, name)


# -- pages --


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_path_in_a_page_exists(page):
    """What stands in backticks and begins with a folder of the repository, and what is linked."""
    text = page.read_text()
    quoted = {word for words in re.findall(r"`([^`\n]+)`", text) for word in words.split()}
    paths = {word.rstrip(".,:;").split("::")[0] for word in quoted if re.match(rf"({'|'.join(FOLDERS)})/", word)}
    missing = [path for path in paths if not MADE_LATER.search(path) and not (ROOT / path).exists()]
    linked = [link.split("#")[0] for link in re.findall(r"\]\((?!http)([^)#][^)]*)\)", text)]
    missing += [link for link in linked if not (page.parent / link).exists()]
    assert not missing


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150
