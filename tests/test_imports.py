"""The names of the package's face, whatever was imported before."""

import subprocess
import sys

import pytest

import trading_gymnax

FACE = "from trading_gymnax import survival"
MODULE = "import trading_gymnax.survival.tape"
INSIDE = "from trading_gymnax.survival import Survival"


def test_every_name_of_the_face_is_there():
    assert all(hasattr(trading_gymnax, name) for name in trading_gymnax.__all__)
    assert sorted(trading_gymnax.__all__) == trading_gymnax.__all__


@pytest.mark.parametrize("lines", [(FACE, MODULE, INSIDE), (MODULE, INSIDE, FACE)], ids=["face first", "module first"])
def test_survival_is_a_function_and_a_folder(lines):
    checks = "assert callable(survival) and sys.modules['trading_gymnax.survival.tape'].Tape and Survival.table"
    program = "\n".join(["import sys", *lines, checks, "print(survival.__name__, survival.__module__)"])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("survival trading_gymnax.survival.odds\n", 0), done.stderr
