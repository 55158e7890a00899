"""A trader killed at random moments ends with the ledger, the state and the account of one that was not."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import subprocess
import sys

import pytest

from tests.live.desk import holds_then_sells, market, trader
from trading_gymnax.live.store import LEDGER_FILE, Store

ROOT = pathlib.Path(__file__).resolve().parents[2]
KILLS = 20


@pytest.mark.slow
def test_twenty_kills(tmp_path):
    whole = trader(holds_then_sells, tmp_path / "whole")
    for bar in market().coming:
        whole.on_bar(bar)
    rng, folder, kills = random.Random(4), tmp_path / "killed", 0
    while True:
        before = _size(folder)
        lines = rng.randrange(1, 2 * len(market().coming) // KILLS) if kills < KILLS else None
        if not _run(folder, lines, rng):
            break
        kills += 1
        assert _size(folder) > before
    assert kills == KILLS
    texts = [(tmp_path / name / LEDGER_FILE).read_text() for name in ("whole", "killed")]
    assert texts[0] == texts[1]
    states = [Store(tmp_path / name, durable=False).load() for name in ("whole", "killed")]
    for state in states:  # what is on the disk differs: only one of the two waited for it
        assert state is not None
        del state["crc32"], state["ledger_bytes"], state["ledger_lines"]
    assert states[0] == states[1]


def _size(folder: pathlib.Path) -> int:
    return (folder / LEDGER_FILE).stat().st_size if (folder / LEDGER_FILE).is_file() else 0


def _run(folder: pathlib.Path, lines: int | None, rng: random.Random) -> bool:
    """Start the process; kill it some bars on, and a random moment later. Returns whether it was killed."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "tests.live.killed_trader", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for number, line in enumerate(process.stdout, 1):
            if line == "end\n":
                return False
            if number == lines:
                for _ in range(rng.randrange(2000)):  # within a bar, wherever that may be
                    pass
                process.send_signal(signal.SIGKILL)
                return True
    raise AssertionError("the process ended by itself, and not at the end of the bars")
