"""Where compiled programs are kept, by whose wish they are not, and that a second process finds them."""

import os
import pathlib
import subprocess
import sys

import jax

from purejaxrl_ppo.compilation_cache import cache_folder

PROGRAM = """
import jax, jax.numpy as jnp
from purejaxrl_ppo.compilation_cache import use_compilation_cache
print(use_compilation_cache())
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((8, 8))).block_until_ready()
"""


def run(home: pathlib.Path, **settings: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XDG_"))}
    env = {**kept, "JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(home), **settings}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def files(folder: pathlib.Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and "atime" not in path.name}


def test_a_second_process_compiles_nothing(tmp_path):
    folder = pathlib.Path(run(tmp_path))
    kept = files(folder)
    assert folder.is_relative_to(tmp_path / "purejaxrl_ppo")
    assert jax.__version__ in folder.name
    assert any("lambda" in name for name in kept)
    run(tmp_path)
    assert files(folder) == kept  # what was there was used: a program that is compiled anew would be kept anew


def test_jax_settings_go_first(tmp_path):
    assert run(tmp_path / "a", JAX_ENABLE_COMPILATION_CACHE="false") == "None"
    assert run(tmp_path / "b", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own")) == "None"
    assert not (tmp_path / "a").exists()
    assert any("lambda" in name for name in files(tmp_path / "own"))


def test_a_folder_that_cannot_be_made_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file") == "None"


def test_the_folder_is_below_the_home_where_nothing_else_is_said(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder().parent == tmp_path / ".cache" / "purejaxrl_ppo"
