"""The packages meet only through gymnax: who may import whom, read from the sources."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("trading_gymnax", "purejaxrl_ppo")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported(path: pathlib.Path) -> set[str]:
    """Every module that a file imports, wherever in the file, by its full name."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full here"
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_there_is_something_to_read():
    assert len(SOURCES) > 20


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_import_crosses_the_border(path):
    packages = {name.split(".")[0] for name in imported(path)}
    if path.parent.name == "purejaxrl_ppo":
        assert "trading_gymnax" not in packages
    elif path.name != "cli.py":
        assert "purejaxrl_ppo" not in packages


@pytest.mark.parametrize(
    ("name", "forbidden"),
    [
        ("rules", ("gymnax", "gymnasium", "pandas", "trading_gymnax.data", "trading_gymnax.phase1")),
        ("reference", ("jax", "gymnax", "trading_gymnax.rules", "trading_gymnax.phase1", "trading_gymnax.market")),
        ("contracts", ("trading_gymnax",)),
        ("features", ("trading_gymnax", "jax")),
    ],
)
def test_the_picture_of_the_architecture(name, forbidden):
    names = imported(ROOT / "trading_gymnax" / f"{name}.py")
    typing_only = {"trading_gymnax.market", "trading_gymnax.market.Bar"} if name == "rules" else set()
    for module in forbidden:
        assert not [x for x in names - typing_only if x == module or x.startswith(f"{module}.")]
