"""Files of strangers run no code, and nothing here talks to a network.

That the report escapes what it prints is in test_report.py.
"""

import ast
import io
import json
import pathlib
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from purejaxrl_ppo import CheckpointError, FitOptions, PPOConfig, fit, load_policy
from purejaxrl_ppo.environments import make_environment, parse_pairs
from tests.data.tables import PLAIN
from tests.ppo.probes import Table, table
from trading_gymnax.data.loader import load_bars
from trading_gymnax.runs import SETTINGS_FILE, read_settings

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = sorted(path for package in ("trading_gymnax", "purejaxrl_ppo") for path in (ROOT / package).rglob("*.py"))
CONFIG = PPOConfig(num_envs=4, num_steps=8, total_timesteps=64, hidden_sizes=(8,), num_epochs=1, minibatch_by="rows")
OPTIONS = FitOptions(eval_every=0, checkpoint_every=1, quiet=True)

MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "yaml",
    "socket",
    "http",
    "urllib",
}
MODULES |= {"requests", "subprocess", "ftplib", "smtplib", "xmlrpc", "socketserver", "asyncio"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {"system", "popen", "read_pickle", "to_pickle", "urlopen", "import_module", "exec_module"}
# where what a user named is imported, or a module of ours when it is needed; where the program asks git for its own
# commit, and where Python itself is started to outlive a process and say why it ended
NAMED_BY_THE_USER = {
    ("environments.py", "import_module"),
    ("audit.py", "exec_module"),
    ("version.py", "subprocess"),
    ("processes.py", "subprocess"),
    ("named.py", "import_module"),  # a tracker of a list of our own
    ("__init__.py", "import_module"),  # a name of the face, from a table of our own
    ("main.py", "import_module"),  # what does the work of a command, from a table of our own
    ("codec.py", "import_module"),  # a module of this package, and of it dataclasses alone
    ("whole_programs.py", "pickle"),  # compiled programs, code themselves; of files that only the user can have written
}


def doubtful(path: pathlib.Path) -> set[str]:
    """What in a source file can run code from outside, or reach a network."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module).split(".")[0]} & MODULES
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found |= {node.func.id} & CALLS
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found |= {node.func.attr} & METHODS
        if isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "shell"):
            if isinstance(node.value, ast.Constant) and node.value.value is False:
                continue  # forbidden, in so many words
            found.add(f"{node.arg}=")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_source_can_run_what_a_file_says(path):
    assert {what for what in doubtful(path) if (path.name, what) not in NAMED_BY_THE_USER} == set()


def test_the_search_finds_what_it_looks_for(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text("import pickle, os\nfrom yaml import load\neval('1')\nos.system('x')\nf(x, shell=True)\n")
    assert doubtful(path) == {"pickle", "yaml", "eval", "system", "shell="}


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: pathlib.Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return pathlib.Path.write_text, (self.marker, "code was run")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("safety") / "run"
    fit(Table(), table(reward=1.0), CONFIG, run_dir=folder, options=OPTIONS)
    return folder


@pytest.fixture
def payloads(tmp_path) -> tuple[pathlib.Path, list[bytes]]:
    """The file that a payload writes, and payloads: a pickle, a NumPy array of objects, an archive of such."""
    marker = tmp_path / "marker"
    evil = Payload(marker)
    array, archive = io.BytesIO(), io.BytesIO()
    np.save(array, np.array([evil], object), allow_pickle=True)
    np.savez(archive, state=np.array([evil], object), policy=np.array([evil], object))
    found = [pickle.dumps(evil), array.getvalue(), archive.getvalue()]
    pickle.loads(found[0])
    assert marker.read_text() == "code was run"  # they are live
    marker.unlink()
    return marker, found


@pytest.mark.parametrize("kind", range(3), ids=["pickle", "npy", "npz"])
def test_no_file_of_a_run_is_ever_unpickled(finished, payloads, tmp_path, kind):
    marker, contents = payloads
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    for name in ("state.pkl", "policy.pickle", "params.npz", "checkpoints/state.npy", "best/policy.pkl"):
        (folder / name).write_bytes(contents[kind])
    assert load_policy(folder).sampled  # what lies beside the checkpoints is not looked at
    for path in [path for path in folder.rglob("*") if path.is_file() and path.name != "run.json"]:
        path.write_bytes(contents[kind])
    with pytest.raises(CheckpointError, match="is damaged"):
        load_policy(folder)
    with pytest.raises(CheckpointError, match="is damaged"):
        fit(Table(), table(reward=1.0), CONFIG, run_dir=folder, options=OPTIONS)
    (folder / "run.json").write_bytes(contents[kind])
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        load_policy(folder)
    assert not marker.exists()


def test_values_in_a_description_stay_values(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    run = json.loads((folder / "run.json").read_text())
    code = f"__import__('pathlib').Path({str(tmp_path / 'marker')!r}).write_text('x')"
    run["source"] = {"env": "tests.no_such_module:X", "env_args": {"x": code}, "params": {}}
    run["env"] = run["warm_start"] = code
    (folder / "run.json").write_text(json.dumps(run))
    assert load_policy(folder).sampled  # a policy needs no environment, so it imports none
    run["config"]["activation"] = code
    (folder / "run.json").write_text(json.dumps(run))
    with pytest.raises(ValueError, match="unknown activation"):
        load_policy(folder)
    assert not (tmp_path / "marker").exists()


def test_arguments_are_literals_and_nothing_is_computed(tmp_path):
    code = f"__import__('pathlib').Path({str(tmp_path / 'marker')!r}).write_text('x')"
    assert parse_pairs((f"a={code}", "b=(1, 2)")) == {"a": code, "b": (1, 2)}
    assert not (tmp_path / "marker").exists()


def test_only_the_named_module_is_imported(tmp_path, monkeypatch):
    (tmp_path / "wanted.py").write_text("from tests.ppo.probes import Table\n")
    (tmp_path / "beside.py").write_text("raise RuntimeError('nobody asked for this')\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    make_environment("wanted:Table")
    assert {name for name in set(sys.modules) - before if not name.startswith(("tests.", "wanted"))} == set()
    with pytest.raises(ValueError, match="there is no environment 'wanted'"):
        make_environment("wanted")  # without a colon nothing is imported


def test_a_file_of_bars_is_never_unpickled(payloads, tmp_path):
    marker, contents = payloads
    for content in contents:
        (tmp_path / "bars").write_bytes(content)
        with pytest.raises(ValueError, match="refused"):
            load_bars(tmp_path / "bars", PLAIN)
    frame = pd.DataFrame({"timestamp": ["2025-03-03"], "open": [Payload(marker)]})
    with pytest.raises(ValueError, match="refused"):
        load_bars(frame, PLAIN)
    (tmp_path / SETTINGS_FILE).write_bytes(contents[0])
    with pytest.raises(ValueError):  # noqa: PT011
        read_settings(tmp_path)
    assert not marker.exists()


OFFLINE = """
import socket, sys
real = socket.socket
class Refused(real):
    def __init__(self, family=socket.AF_INET, *args, **kwargs):
        if family not in (-1, socket.AF_UNIX):
            raise SystemExit(f"a socket of family {family} was asked for")
        super().__init__(family, *args, **kwargs)
    def bind(self, *args):
        raise SystemExit("something listens")
socket.socket = Refused
socket.create_connection = socket.getaddrinfo = lambda *args, **kwargs: sys.exit(f"the network was asked for {args}")
sys.argv[0] = "trading-gymnax"
from trading_gymnax.cli.main import main
main()
"""


@pytest.mark.slow
def test_training_and_its_report_never_touch_the_network(tmp_path):
    tiny = ["--total-timesteps", "2048", "--num-envs", "16", "--num-steps", "64", "--run-dir", str(tmp_path / "run")]
    command = [sys.executable, "-c", OFFLINE]
    done = subprocess.run([*command, "train", *tiny], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert "report.html shows the rest" in done.stdout
    probe = OFFLINE.partition("sys.argv")[0] + "socket.socket()"
    refused = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert "a socket of family" in refused.stderr  # the guard is awake
