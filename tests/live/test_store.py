"""The files of a live account after a write that was cut off, and after the machine itself went down."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from trading_gymnax.live import StateError, read_ledger, store
from trading_gymnax.live.store import LEDGER_FILE, OTHER_STATE_FILE, STATE_FILE, Store

SAVES = 5


def fill(folder: pathlib.Path, *, durable: bool) -> None:
    """States 1 to 5, each with a line of its number; the state grows and shrinks."""
    made = Store(folder, durable=durable)
    assert made.load() is None
    for number in range(1, SAVES + 1):
        made.note({"bar": number})
        made.save({"bar": number, "filler": "x" * 3000 * (number % 3)})


def bars(folder: pathlib.Path) -> list[int]:
    return [line["bar"] for line in read_ledger(folder)]


@pytest.mark.parametrize("durable", [False, True])
def test_a_write_cut_off_anywhere_leaves_the_state_before(tmp_path, durable):
    """The fifth state is the third of its file: behind every byte of it that the disk took stand those of the third."""
    fill(tmp_path, durable=durable)
    ledger, new = (tmp_path / LEDGER_FILE).read_bytes(), (tmp_path / STATE_FILE).read_bytes()
    old = b"o" * len(new)
    assert len(new) % 4096 == 0
    assert json.loads(new)["bar"] == SAVES
    for cut in (0, 1, 9, 30, 2000, 4096, len(new.rstrip()) - 1):
        (tmp_path / STATE_FILE).write_bytes(new[:cut] + old[cut:])
        (tmp_path / LEDGER_FILE).write_bytes(ledger)
        again = Store(tmp_path, durable=durable)
        saved = again.load()
        assert saved is not None
        assert (saved["bar"], again.cut_off) == (SAVES - 1, STATE_FILE)
        assert bars(tmp_path) == [1, 2, 3, 4]
    again.note({"bar": SAVES})
    again.save({"bar": SAVES, "filler": "x" * 6000})
    assert (tmp_path / LEDGER_FILE).read_bytes() == ledger
    last = Store(tmp_path, durable=durable)
    saved = last.load()
    assert saved is not None
    assert (saved["bar"], last.cut_off) == (SAVES, "")


def test_a_durable_state_brings_the_lines_that_the_ledger_lost(tmp_path, monkeypatch):
    """The machine goes down: of the ledger nothing is certain but what the disk was waited for, of the state all."""
    flushed: list[str] = []

    def flush(descriptor: int) -> None:
        flushed.append(pathlib.Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)

    monkeypatch.setattr(store, "_flush", flush)
    monkeypatch.setattr(store, "_REPEATED", 35)  # three lines of ten bytes and a rest
    fill(tmp_path, durable=True)
    assert flushed.count(LEDGER_FILE) == 1  # at the fourth line
    assert len(flushed) == SAVES + 1
    ledger = (tmp_path / LEDGER_FILE).read_bytes()
    os.truncate(tmp_path / LEDGER_FILE, ledger.index(b'{"bar":5}'))
    assert Store(tmp_path).load() is not None
    assert (tmp_path / LEDGER_FILE).read_bytes() == ledger
    (tmp_path / LEDGER_FILE).write_bytes(ledger[:39])
    with pytest.raises(StateError, match="shorter"):
        Store(tmp_path).load()


def test_what_is_no_state(tmp_path):
    fill(tmp_path, durable=False)
    (tmp_path / STATE_FILE).write_text("{")
    (tmp_path / OTHER_STATE_FILE).write_text("")
    with pytest.raises(StateError, match=r"state\.json is damaged"):
        Store(tmp_path).load()
    (tmp_path / STATE_FILE).write_text('{"version":1,"ledger_bytes":0}')
    with pytest.raises(StateError, match="version 1 and this program writes 2"):
        Store(tmp_path).load()
    for name in (STATE_FILE, OTHER_STATE_FILE):
        (tmp_path / name).unlink()
    with pytest.raises(StateError, match=r"ledger\.jsonl has no state\.json beside it"):
        Store(tmp_path).load()
