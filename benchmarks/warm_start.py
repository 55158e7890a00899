"""Phase 2 from a trained Phase 1 against Phase 2 from nothing, on the `regime` market.

Run `python benchmarks/warm_start.py`. For each seed: Phase 1 is trained for 2 million steps, then Phase 2 twice for 2
million, once warm-started from it and once cold, with the settings of `trading-gymnax train`. Written to
`benchmarks/results/warm_start.md` and `.png`: the return of an episode by steps of Phase 2, mean over seeds, and the
steps after which the warm mean first reaches what the cold one reaches in the end (mean of its last 20 iterations).
"""

from __future__ import annotations

import csv
import dataclasses
import pathlib
import tempfile

import matplotlib
import numpy as np
import tyro

from purejaxrl_ppo import FitOptions, fit
from trading_gymnax import TradingPhase1, TradingPhase2, load_market_data
from trading_gymnax.cli.trader import TRADER
from trading_gymnax.synthetic import regime

matplotlib.use("Agg")

HERE = pathlib.Path(__file__).parent
LAST = 20  # iterations that make a curve's end
SMOOTH = 10  # iterations in the moving mean that has to reach it


@dataclasses.dataclass(frozen=True)
class Options:
    """What to run."""

    seeds: int = 5
    """Runs of each kind."""
    sessions: int = 300
    """Length of each seed's tape."""
    total_timesteps: int = TRADER.total_timesteps
    """Of each training."""


def main(options: Options) -> None:
    """Train, draw and write."""
    curves: dict[str, list[np.ndarray]] = {"warm": [], "cold": []}
    for seed in range(options.seeds):
        tape = regime(options.sessions, seed=700 + seed)
        market = load_market_data(tape.frame, tape.spec)
        config = dataclasses.replace(TRADER, seed=seed, total_timesteps=options.total_timesteps)
        first = _train(TradingPhase1(market), config, None)[1]
        second = TradingPhase2(market)
        for kind, source in (("warm", first), ("cold", None)):
            curves[kind].append(_train(second, config, source)[0])
            print(f"seed {seed}, {kind}: {curves[kind][-1][-LAST:].mean():.2f} at the end", flush=True)
    means = {kind: np.mean(rows, axis=0) for kind, rows in curves.items()}
    goal = float(means["cold"][-LAST:].mean())
    smooth = np.convolve(means["warm"], np.ones(SMOOTH) / SMOOTH, "valid")
    reached = np.flatnonzero(smooth >= goal)
    steps = None if len(reached) == 0 else int(reached[0] + SMOOTH) * config.batch_size
    _draw(curves, config.batch_size, goal)
    _write(options, curves, goal, steps, config.num_iterations * config.batch_size)


def _train(env: TradingPhase1, config: object, source: object) -> tuple[np.ndarray, object]:
    """Returns of the iterations, and the policy."""
    with tempfile.TemporaryDirectory() as folder:
        quiet = FitOptions(eval_every=0, tensorboard=False, quiet=True)
        run = pathlib.Path(folder) / "run"
        result = fit(env, env.default_params, config, run_dir=run, options=quiet, warm_start=source)
        with open(run / "metrics.csv", newline="") as file:
            returns = [float(row["episode_return"]) for row in csv.DictReader(file)]
    return np.array(returns), result.policy


def _draw(curves: dict[str, list[np.ndarray]], batch_size: int, goal: float) -> None:
    import matplotlib.pyplot as plt

    picture, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for (kind, rows), color in zip(curves.items(), ("#1d8a34", "#7d848e"), strict=True):
        steps = (1 + np.arange(len(rows[0]))) * batch_size / 1e6
        for row in rows:
            axes.plot(steps, row, color=color, linewidth=0.5, alpha=0.35)
        axes.plot(steps, np.mean(rows, axis=0), color=color, linewidth=2, label=f"{kind} start, mean of {len(rows)}")
    axes.axhline(goal, color="#7d848e", linestyle=":", label="where the cold start ends")
    axes.set(xlabel="steps of phase 2, millions", ylabel="return of an episode, ordinary stops")
    axes.set_title("Phase 2 on the regime market, from a trained phase 1 and from nothing", loc="left", fontsize=11)
    axes.legend(loc="lower right", frameon=False)
    picture.savefig(HERE / "results" / "warm_start.png", dpi=110)


def _write(options: Options, curves: dict[str, list[np.ndarray]], goal: float, steps: int | None, budget: int) -> None:
    rows = [
        f"| {seed} | {warm[:LAST].mean():.2f} | {warm[-LAST:].mean():.2f} | {cold[:LAST].mean():.2f} "
        f"| {cold[-LAST:].mean():.2f} |"
        for seed, (warm, cold) in enumerate(zip(curves["warm"], curves["cold"], strict=True))
    ]
    said = "never" if steps is None else f"after {steps:,} steps, {steps / budget:.0%} of the cold start's {budget:,}"
    lines = [
        f"`python benchmarks/warm_start.py --seeds {options.seeds} --sessions {options.sessions} "
        f"--total-timesteps {options.total_timesteps}`",
        "",
        f"The warm start reaches the cold one's end ({goal:.2f} ordinary stops an episode) {said}.",
        "",
        f"Return of an episode in ordinary stops, mean of the first and of the last {LAST} iterations:",
        "",
        "| seed | warm, first | warm, last | cold, first | cold, last |",
        "|---|---|---|---|---|",
        *rows,
        "",
        "![Return by steps of phase 2, warm and cold](warm_start.png)",
    ]
    (HERE / "results" / "warm_start.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
