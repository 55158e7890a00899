"""The loader's advice in the syntax of the command line."""

import pytest

from trading_gymnax.cli.wording import as_typed, sentence
from trading_gymnax.data.findings import DataError, Finding, Report

TEXTS = {
    "columns={'timestamp': ...}, --columns timestamp=NAME": "--columns timestamp=NAME",
    "columns={'close': 'Last price'}": "--columns close='Last price'",
    "symbol=('NQH5', 'NQM5') with roll": "--symbol NQH5 NQM5 with roll",
    "symbol=('ESM5', 'ESU5') with roll='volume', --symbol ESM5 ESU5 --roll volume": "--symbol ESM5 ESU5 --roll volume",
    "pass timezone='America/New_York' or 'UTC-4', --timezone America/New_York or 'UTC-4', under": (
        "pass --timezone America/New_York or 'UTC-4', under"
    ),
    "; under timezone='New York', --timezone 'New York' the bars": "; under --timezone 'New York' the bars",
    "judge with --from 2025-01-02": "judge with --from 2025-01-02",
    "timestamp_format='%d %b %Y'": "--timestamp-format '%d %b %Y'",
    "(as snap_to_tick=True does)": "(as --snap-to-tick does)",
    "pass timestamps_mark='end', --timestamps-mark end (row 1)": "pass --timestamps-mark end (row 1)",
    "repair=('nan',), or --repair nan": "--repair nan",
    "--set sl_atr_mult=x: 'x' is not a number": "--set sl_atr_mult=x: 'x' is not a number",
}


@pytest.mark.parametrize("text", TEXTS)
def test_arguments_become_options(text):
    assert as_typed(text) == TEXTS[text]


def test_a_refused_table_names_the_options_that_allow_it():
    findings = tuple(Finding(name, "many bars", "refused", 3, allow=True) for name in ("off_tick", "nan"))
    said = sentence(DataError(Report("nq.csv as NQ", findings=findings)))
    assert "[to allow: --repair off_tick, rounds" in said
    assert said.endswith("To load it all the same: --repair off_tick nan")
    assert "repair=" not in said
