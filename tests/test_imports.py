"""The names of the package's face and the ids in gymnax, whatever was imported before; and what is not imported."""

import subprocess
import sys

import trading_gymnax

FACE = "from trading_gymnax import survival"
MODULE = "import trading_gymnax.survival.tape"
INSIDE = "from trading_gymnax.survival import Survival"
OURS, GYMNAX = "import trading_gymnax", "import gymnax"
ALL_SAID = "print(survival.__name__, survival.__module__)"


def run(*lines: str) -> str:
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_name_of_the_face_is_there():
    assert all(hasattr(trading_gymnax, name) for name in trading_gymnax.__all__)
    assert sorted(trading_gymnax.__all__) == trading_gymnax.__all__


ORDERS = [(OURS, GYMNAX, FACE, MODULE, INSIDE), (MODULE, INSIDE, FACE, GYMNAX), (GYMNAX, OURS, FACE, INSIDE, MODULE)]


def test_names_and_ids_are_there_in_every_order_of_imports():
    """`survival` is a function and a folder; the environments are in gymnax once, whatever was imported before.

    Each order is a fork of a process that has imported what both need, and neither of them.
    """
    checks = "assert callable(survival) and sys.modules['trading_gymnax.survival.tape'].Tape and Survival.table"
    counted = "print([gymnax.registered_envs.count(f'TradingPhase{n}-v0') for n in (1, 2)])"
    made = "env, params = gymnax.make('TradingPhase2-v0'); print(env.name)"
    programs = ["\n".join([*lines, counted, made, checks, ALL_SAID]) for lines in ORDERS]
    fork = [f"for program in {programs!r}:", "    pid = os.fork()", "    if pid == 0:", "        exec(program)"]
    fork += ["        sys.exit()", "    assert os.waitpid(pid, 0)[1] == 0, program"]
    said = run("import os, sys, jax, flax, pandas", "assert 'gymnax' not in sys.modules", *fork)
    assert said == len(ORDERS) * "[1, 1]\nTradingPhase2-v0\nsurvival trading_gymnax.survival.odds\n"


def test_to_import_the_package_imports_neither_jax_nor_gymnax_nor_pandas():
    assert run("import sys, trading_gymnax, purejaxrl_ppo", "print({'jax', 'gymnax', 'pandas'} & {*sys.modules})") == (
        "set()\n"
    )


def test_help_and_mistakes_of_the_trainer_need_no_jax():
    program = "from purejaxrl_ppo.cli.main import main\nimport contextlib, sys"
    loop = "for line in ('--help', '--version', 'trian', 'train CartPole-v1 --num-envs 0', 'sweep --help'):"
    body = "    with contextlib.suppress(SystemExit):\n        main(line.split())"
    checked = "    assert 'jax' not in sys.modules, line"
    assert "purejaxrl-ppo of trading-gymnax 0." in run(program, loop, body, checked)
