"""Permutation tests and cross-validations as files: statistics as JSON, what was printed, and a picture."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np

from trading_gymnax.render import ENTRY, INK, STOP, TARGET, calm, new_picture
from trading_gymnax.skill.cpcv import CrossValidation
from trading_gymnax.skill.permutation import PermutationTest
from trading_gymnax.text import probability, usd

_NULL = "#9aa3ad"


def write_test(folder: pathlib.Path, name: str, found: Any, text: str, made: dict[str, Any]) -> pathlib.Path:
    """`name`.json, .txt and .png of a permutation test or a cross-validation; returns the picture's path.

    made: how it was made, plain JSON values.
    """
    values = {**found.to_dict(), **made}
    (folder / f"{name}.json").write_text(json.dumps(values, indent=2, allow_nan=False, default=str) + "\n")
    (folder / f"{name}.txt").write_text(text + "\n")
    draw = draw_permutation if isinstance(found, PermutationTest) else draw_cross_validation
    draw(found).savefig(folder / f"{name}.png", dpi=110)
    return folder / f"{name}.png"


def draw_permutation(found: PermutationTest) -> Any:
    """What the null tapes made, and where the real bars stand among them."""
    picture = new_picture(8, 4)
    axes = picture.subplots()
    axes.hist(found.null_usd, bins=_bins(len(found.null_usd)), color=_NULL, label=f"null tapes ({found.null})")
    p = found.found
    color = TARGET if p.p_value < 0.05 else STOP
    axes.axvline(found.real_usd, color=color, linewidth=2.4, label="the real bars")
    title = f"p = {probability(p.p_value)} +- {p.error:.2g}: {p.exceedances} of {p.tapes} tapes did as well or better"
    _finish(axes, title, "net dollars a session, held out")
    return picture


def draw_cross_validation(found: CrossValidation) -> Any:
    """The paths through all sessions as chained nets, beside the distribution of their means."""
    picture = new_picture(10, 4)
    left, right = picture.subplots(1, 2, width_ratios=[3, 2])
    paths = found.paths()
    left.plot(np.arange(1, len(paths) + 1), paths.cumsum().to_numpy(), color=_NULL, linewidth=0.9)
    left.plot(np.arange(1, len(paths) + 1), paths.mean(axis=1).cumsum().to_numpy(), color=ENTRY, linewidth=2.2)
    left.axhline(0, color=INK, linewidth=0.8, linestyle=":")
    calm(left)
    left.set_title("Every path out of sample; their mean in blue", loc="left", fontsize=10)
    left.set_xlabel("sessions")
    left.yaxis.set_major_formatter(lambda value, _: usd(value, sign=False))
    right.hist(paths.mean(axis=0), bins=_bins(paths.shape[1]), color=ENTRY, alpha=0.7, label="paths")
    right.axvline(0, color=INK, linewidth=1.2, linestyle=":", label="zero")
    _finish(right, "Mean of each path", "net dollars a date")
    return picture


def _bins(count: int) -> int:
    return int(np.clip(count // 4, 5, 30))


def _finish(axes: Any, title: str, label: str) -> None:
    calm(axes)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(label)
    axes.set_ylabel("how many")
    axes.xaxis.set_major_formatter(lambda value, _: usd(value, sign=False))
    axes.legend(frameon=False, fontsize=9)
