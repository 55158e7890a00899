"""What one bar hides, as a section of the report: what `trading-gymnax path` found for the run's own settings."""

from __future__ import annotations

import json
import pathlib

from trading_gymnax.report.material import Material
from trading_gymnax.report.page import Section, join, paragraph

PATH_FILE = "path.json"


def path_section(run_dir: pathlib.Path, material: Material) -> Section:
    """The sentences that `path` left in the run's folder, or how to get them."""
    path = run_dir / PATH_FILE
    if not path.is_file():
        text = f"Not measured: trading-gymnax path {run_dir} says what the rules take or give under these settings."
        return Section("What a bar hides", paragraph(text, "quiet"))
    found = dict(json.loads(path.read_text()))
    remark = "Random entries on a martingale of this market's noise, settled by the rules and by a path of 60 steps."
    sentences = [paragraph(text) for text in found["sentences"]]
    return Section("What a bar hides", join([*sentences, paragraph(remark, "quiet")]))
