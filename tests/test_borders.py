"""The packages meet only through gymnax: who may import whom, read from the sources."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

import purejaxrl_ppo

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


def picture() -> list[tuple[tuple[str, ...], str]]:
    """Lines of the picture in docs/architecture.md from the ground up: names of modules, and what is said of them."""
    block = (ROOT / "docs" / "architecture.md").read_text().split("```")[1].strip("\n").partition("\n\n")[0]
    cut = (re.split(r" {3,}", line, maxsplit=1) for line in block.splitlines())
    return [(tuple(name.removesuffix("/") for name in names.split()), said) for names, said in cut]


# A file imports those of earlier lines, and of its own.
LAYERS = [(*names, "__main__") if "cli" in names else names for names, _ in picture()]
MAY_IMPORT_THE_TRAINER = ("cli", "__main__")
# A second reading of the rules shares nothing with the first.
REFERENCE_MAY_IMPORT = {"reference": ("data", "text"), "reference_life": ("reference",)}


def place(name: str) -> str | None:
    """First folder or module below `trading_gymnax` in a full name; None for other packages and the package itself."""
    parts = name.split(".")
    return parts[1] if parts[0] == "trading_gymnax" and len(parts) > 1 else None


def layer(where: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if where in layer)


def homes(path: pathlib.Path) -> set[str]:
    """Folders and modules of `trading_gymnax` that a file imports from; names of the package itself are no module."""
    found = {place(name) for name in imported(path)} - {None}
    return {
        one for one in found if (ROOT / "trading_gymnax" / one).is_dir() or (ROOT / f"trading_gymnax/{one}.py").exists()
    }


TRADING = [
    path for path in SOURCES if path.is_relative_to(ROOT / "trading_gymnax") and path.parent.name != "__pycache__"
]


def whereabouts(path: pathlib.Path) -> str:
    return path.relative_to(ROOT / "trading_gymnax").with_suffix("").parts[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_import_crosses_the_border(path):
    packages = {name.split(".")[0] for name in imported(path)}
    if path.is_relative_to(ROOT / "purejaxrl_ppo"):
        assert "trading_gymnax" not in packages
    elif whereabouts(path) not in MAY_IMPORT_THE_TRAINER:
        assert "purejaxrl_ppo" not in packages


@pytest.mark.parametrize("path", TRADING, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_go_one_way(path):
    where = whereabouts(path)
    if where == "__init__":
        return  # the package's face imports what it shows
    if where in REFERENCE_MAY_IMPORT:
        assert homes(path) <= set(REFERENCE_MAY_IMPORT[where])
        return
    later = {one for one in homes(path) if one in REFERENCE_MAY_IMPORT or layer(one) > layer(where)}
    assert not later, f"{path.name} of {where} imports {sorted(later)}, which stand above it"


def test_every_module_has_a_layer():
    named = {name for layer in LAYERS for name in layer} | {*REFERENCE_MAY_IMPORT, "__init__"}
    assert {whereabouts(path) for path in TRADING} <= named


def test_what_stands_below_the_market_or_says_so_needs_no_jax():
    """Imports for type checkers do not count, and those of modules further down do: so they are made."""
    market = next(at for at, layer in enumerate(LAYERS) if "market" in layer)
    bare = {name for at, (names, said) in enumerate(picture()) if at < market or "no JAX" in said for name in names}
    assert {"data", "limits", "text"} <= bare
    bare |= set(REFERENCE_MAY_IMPORT)
    paths = [path.relative_to(ROOT).with_suffix("") for path in TRADING if whereabouts(path) in bare]
    lines = [f"import {'.'.join(path.parts).removesuffix('.__init__')}" for path in paths]
    program = "\n".join(["import sys", *lines, "print('jax' in sys.modules)"])
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr


def test_no_circle_of_imports():
    """Of modules, imports for type checkers and inside functions included."""
    modules = {path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."): path for path in SOURCES}
    graph = {
        name: {other for other in imported(path) if other in modules and other != name}
        for name, path in modules.items()
    }
    while graph:
        ground = [name for name, needs in graph.items() if not needs & set(graph)]
        assert ground, f"these import one another: {sorted(graph)}"
        for name in ground:
            del graph[name]


@pytest.mark.parametrize(
    ("name", "forbidden"),
    [
        ("rules", ("gymnax", "gymnasium", "pandas", "trading_gymnax.data", "trading_gymnax.phase1")),
        ("reference", ("jax", "gymnax", "trading_gymnax.rules", "trading_gymnax.phase1", "trading_gymnax.market")),
        ("reference_life", ("jax", "gymnax", "trading_gymnax.rules", "trading_gymnax.life")),
        ("data/contracts", ("jax", "trading_gymnax.market")),
        ("data/indicators", ("trading_gymnax", "jax")),
        ("text", ("trading_gymnax", "jax", "numpy", "pandas")),
    ],
)
def test_what_a_module_does_without(name, forbidden):
    names = imported(ROOT / "trading_gymnax" / f"{name}.py")
    for module in forbidden:
        assert not [x for x in names if x == module or x.startswith(f"{module}.")]


@pytest.mark.parametrize("path", sorted((ROOT / "trading_gymnax" / "cli").glob("*.py")), ids=lambda path: path.name)
def test_the_command_line_uses_the_trainer_by_its_public_names(path):
    public = set(purejaxrl_ppo.__all__)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "purejaxrl_ppo":
            assert node.module == "purejaxrl_ppo"
            assert {alias.name for alias in node.names} <= public
        elif isinstance(node, ast.Import):
            assert not [alias for alias in node.names if alias.name.startswith("purejaxrl_ppo")]
