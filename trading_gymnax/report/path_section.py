"""What one bar hides, as a section of the report: what `trading-gymnax path` found for the run's own settings."""

from __future__ import annotations

import json
import pathlib

from trading_gymnax.report.material import Material
from trading_gymnax.report.page import Section, join, paragraph

PATH_FILE = "path.json"
_TITLE = "What a bar hides"
_TARGET_FIRST = "stop_first is off: the run is paid in every bar that holds stop and target, which nobody can count on."


def path_section(run_dir: pathlib.Path, material: Material) -> Section:
    """The sentences that `path` left in the run's folder, or how to get them."""
    path = run_dir / PATH_FILE
    gifts = [] if bool(material.split.test_params.stop_first) else [paragraph(_TARGET_FIRST, "notice")]
    if not path.is_file():
        text = f"Not measured: trading-gymnax path {run_dir} says what the rules take or give under these settings."
        return Section(_TITLE, join([*gifts, paragraph(text, "quiet")]))
    found = dict(json.loads(path.read_text()))
    remark = "Random entries on a martingale of this market's noise, settled by the rules and by a path of 60 steps."
    sentences = [paragraph(text) for text in found["sentences"]]
    return Section(_TITLE, join([*gifts, *sentences, paragraph(remark, "quiet")]))
