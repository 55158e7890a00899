"""The programs in `examples/` run, in small, and say something."""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAMS = sorted(set((ROOT / "examples").glob("*.py")) - {ROOT / "examples" / "live_rest.py"})  # of tests/live
ONE_ITERATION = "32768"  # steps


def test_there_are_examples_of_a_size_to_read():
    assert len(PROGRAMS) >= 5
    for path in PROGRAMS:
        assert 20 <= len(path.read_text().splitlines()) <= 40, path
        assert f"python examples/{path.name} [steps]" in path.read_text(), path


def test_what_the_examples_import_is_there():
    """Names that moved are found without the minute that running them takes."""
    for path in PROGRAMS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith(("trading_gymnax", "purejaxrl_ppo")):
                found: dict[str, object] = {}
                exec(ast.unparse(node), found)
                assert {alias.asname or alias.name for alias in node.names} <= set(found), (path, node.module)


@pytest.mark.slow
@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_an_example_runs(path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(path), ONE_ITERATION]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "nan" not in done.stdout.splitlines()[-1]
