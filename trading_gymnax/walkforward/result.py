"""What came of a walk-forward: results of folds and of seeds, the chained equity, and the sentence that they prove."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd

from trading_gymnax.evaluation import ratios
from trading_gymnax.evaluation.summary import (
    DOUBTFUL_SHARE,
    SIGNIFICANCE,
    UNDECIDABLE,
    max_drawdown,
    mean_and_error,
    share,
    upper_tail_of_t,
)
from trading_gymnax.text import count_text, number, plain, usd
from trading_gymnax.walkforward.folds import Fold


@dataclasses.dataclass(frozen=True, eq=False)
class FoldRun:
    """One policy: where it was trained, and its sessions (frames of `Evaluation.sessions`)."""

    fold: int
    seed: int
    seen: pd.DataFrame  # in sample
    unseen: pd.DataFrame  # out of sample
    trades: pd.DataFrame  # out of sample, as `Evaluation.trades`


@dataclasses.dataclass(frozen=True)
class Result:
    """Out of sample, all folds one after another: of one seed, or of the mean of the seeds. Dollars."""

    sessions: int
    trades: float  # a mean's trades are those of its seeds divided by their number
    win_rate: float  # trades with a net profit > 0, of all
    net_per_session_usd: float
    standard_error_usd: float  # of that mean, from the spread between dates
    t_value: float
    p_value: float  # chance of such a mean or a higher one if the true mean were 0; Student's t
    net_usd: float
    max_drawdown_usd: float  # of the chained equity, from session to session
    sharpe: float  # annual, on daily returns over the initial balance

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, NaN as None."""
        return {name: plain(value) for name, value in dataclasses.asdict(self).items()}


@dataclasses.dataclass(frozen=True)
class FoldResult:
    """One fold, means over its seeds. Dollars a session."""

    number: int
    train: str  # dates
    test: str
    train_sessions: int
    test_sessions: int
    seen_usd: float  # in sample
    unseen_usd: float  # out of sample
    spread_usd: float  # standard deviation of the out-of-sample means between seeds; NaN for one seed

    @property
    def decay_usd(self) -> float:
        """What is lost from in sample to out of sample."""
        return self.seen_usd - self.unseen_usd

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, NaN as None."""
        return {name: plain(x) for name, x in {**dataclasses.asdict(self), "decay_usd": self.decay_usd}.items()}


@dataclasses.dataclass(frozen=True, eq=False)
class WalkForward:
    """What came of all folds and seeds."""

    folds: tuple[Fold, ...]
    runs: tuple[FoldRun, ...]  # by fold, then by seed
    configurations_tried: int  # settings that were judged before these were chosen, these too
    initial_balance_usd: float

    def __repr__(self) -> str:
        sizes = f"{count_text(len(self.folds), 'fold')} x {count_text(len(self.seeds), 'seed')}"
        return f"WalkForward({sizes}, net {usd(float(self.nets().mean(axis=1).sum()))} a seed)"

    @property
    def seeds(self) -> list[int]:
        """Numbers of the seeds, from 0."""
        return sorted({run.seed for run in self.runs})

    def nets(self) -> pd.DataFrame:
        """Net dollars of every out-of-sample session, in order: index (date, market), a column a seed."""
        columns = {}
        for seed in self.seeds:
            sessions = pd.concat([run.unseen for run in self.runs if run.seed == seed])
            columns[seed] = sessions.set_index(["date", "market"])["net_usd"]
        return pd.DataFrame(columns)

    def equity(self) -> pd.DataFrame:
        """Chained out-of-sample equity after each session, dollars: a column a seed ("seed 0" say), and "mean"."""
        nets = self.nets()
        paths = nets.rename(columns=lambda seed: f"seed {seed}").assign(mean=nets.mean(axis=1))
        return self.initial_balance_usd + paths.cumsum()

    def of_seed(self, seed: int) -> Result:
        """One seed's folds one after another."""
        trades = [run.trades["net_usd"].to_numpy() for run in self.runs if run.seed == seed]
        return self._result(self.nets()[seed], np.concatenate(trades), 1)

    def mean(self) -> Result:
        """The mean of the seeds, session by session: an account that gives each of them an equal part."""
        trades = np.concatenate([run.trades["net_usd"].to_numpy() for run in self.runs])
        return self._result(self.nets().mean(axis=1), trades, len(self.seeds))

    def _result(self, nets: pd.Series, trades: np.ndarray, seeds: int) -> Result:
        values, dates = nets.to_numpy(), nets.index.get_level_values("date").to_numpy()
        mean, error = mean_and_error(values, dates)
        t_value = mean / error if error > 0 else math.nan
        start = self.initial_balance_usd
        return Result(
            sessions=len(values),
            trades=len(trades) / seeds,
            win_rate=share((trades > 0).sum(), len(trades)),
            net_per_session_usd=mean,
            standard_error_usd=error,
            t_value=t_value,
            p_value=upper_tail_of_t(t_value, len(np.unique(dates)) - 1),
            net_usd=float(values.sum()),
            max_drawdown_usd=max_drawdown(start + np.cumsum(values), start),
            sharpe=ratios.sharpe(self._returns(nets)),
        )

    def _returns(self, nets: pd.Series) -> np.ndarray:
        return nets.groupby(level="date").sum().to_numpy() / self.initial_balance_usd

    def by_fold(self) -> list[FoldResult]:
        """Each fold in sample and out of sample."""
        rows = []
        for fold in self.folds:
            runs = [run for run in self.runs if run.fold == fold.number]
            seen, unseen = (
                np.array([frame["net_usd"].mean() for frame in frames])
                for frames in ([run.seen for run in runs], [run.unseen for run in runs])
            )
            rows.append(
                FoldResult(
                    number=fold.number,
                    train=fold.train.date_text(),
                    test=fold.test.date_text(),
                    train_sessions=len(runs[0].seen),
                    test_sessions=len(runs[0].unseen),
                    seen_usd=float(seen.mean()),
                    unseen_usd=float(unseen.mean()),
                    spread_usd=_spread(unseen),
                )
            )
        return rows

    @property
    def seen_usd(self) -> float:
        """Dollars a session in sample, over the training sessions of all runs."""
        return float(np.concatenate([run.seen["net_usd"].to_numpy() for run in self.runs]).mean())

    @property
    def seed_spread_usd(self) -> float:
        """Standard deviation of the seeds' dollars a session, all folds together; NaN for one seed."""
        return _spread(self.nets().mean(axis=0).to_numpy())

    @property
    def verdict(self) -> str:
        """What the unseen sessions prove, in one or two sentences."""
        found = self.mean()
        if found.sessions < 2 or len(self.nets().index.unique("date")) < 2:
            return "One session out of sample proves nothing: walk forward through more."
        if found.trades == 0:
            return "The policies never traded out of sample: they neither earn nor lose."
        seeds = self.nets().mean(axis=0)
        found_text = (
            f"{found.net_per_session_usd:+,.0f} dollars a session, mean of {count_text(len(seeds), 'seed')}, standard "
            f"error {found.standard_error_usd:,.0f} between the {found.sessions} sessions"
        )
        found_text += f" (t = {found.t_value:.1f})" if math.isfinite(found.t_value) else ""
        if len(seeds) > 1:
            found_text += f"; the seeds lie between {seeds.min():+,.0f} and {seeds.max():+,.0f}"
        doubtful = share(sum(run.unseen["ambiguous_bars"].sum() for run in self.runs), sum(map(_trades, self.runs)))
        if doubtful > DOUBTFUL_SHARE:
            return (
                f"The result out of sample is {UNDECIDABLE}: {doubtful:.1%} of the trades met a bar that reached both "
                f"stop and target, and more than {DOUBTFUL_SHARE:.0%} is too many; as counted, {found_text}."
            )
        return self._judged(found, found_text)

    def _judged(self, found: Result, found_text: str) -> str:
        if found.net_per_session_usd <= 0:
            surely = found.p_value > 1 - SIGNIFICANCE
            return (
                f"The policies LOSE out of sample: {found_text}{'' if surely else '; chance alone could lose as much'}."
            )
        if not found.p_value < SIGNIFICANCE:
            return (
                f"The policies CANNOT BE TOLD FROM ZERO out of sample: {found_text}; chance alone could make as much."
            )
        deflated = self.deflated_sharpe
        if self.configurations_tried > 1 and not deflated > 1 - SIGNIFICANCE:
            return (
                f"The policies CANNOT BE TOLD FROM LUCK out of sample: {found_text}; the best of "
                f"{self.configurations_tried} settings without any edge could make as much (deflated Sharpe ratio "
                f"{deflated:.2f})."
            )
        return f"The policies earn out of sample: {found_text}."

    @property
    def deflated_sharpe(self) -> float:
        """Of the mean of the seeds: chance that its true Sharpe ratio beats the best of as many settings by luck."""
        return ratios.deflated_sharpe(self._returns(self.nets().mean(axis=1)), self.configurations_tried)

    def sessions(self) -> pd.DataFrame:
        """Every session of every run, in and out of sample: fold, seed, sample, and `Evaluation.sessions`' columns."""
        parts = [
            frame.assign(fold=run.fold, seed=run.seed, sample=name)
            for run in self.runs
            for name, frame in (("in", run.seen), ("out", run.unseen))
        ]
        table = pd.concat(parts, ignore_index=True)
        first = ["fold", "seed", "sample"]
        return table[[*first, *(name for name in table.columns if name not in first)]]

    def trades(self) -> pd.DataFrame:
        """Every trade out of sample of every run: fold, seed, and `Evaluation.trades`' columns."""
        table = pd.concat([run.trades.assign(fold=run.fold, seed=run.seed) for run in self.runs], ignore_index=True)
        return table[["fold", "seed", *(name for name in table.columns if name not in ("fold", "seed"))]]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        equity = self.equity()
        dates = [f"{date:%Y-%m-%d}" for date in equity.index.get_level_values("date")]
        paths = {str(name): [round(float(x), 2) for x in path] for name, path in equity.items()}
        return {
            "verdict": self.verdict,
            "configurations_tried": self.configurations_tried,
            "deflated_sharpe": plain(self.deflated_sharpe),
            "mean": self.mean().to_dict(),
            "in_sample_usd": self.seen_usd,
            "decay_usd": self.seen_usd - self.mean().net_per_session_usd,
            "seeds": {str(seed): self.of_seed(seed).to_dict() for seed in self.seeds},
            "seed_spread_usd": plain(self.seed_spread_usd),
            "folds": [row.to_dict() for row in self.by_fold()],
            "equity_usd": {"date": dates, "market": list(equity.index.get_level_values("market")), **paths},
        }

    def __str__(self) -> str:
        return "\n".join([*_fold_lines(self), "", *_seed_lines(self), "", self.verdict])


def _trades(run: FoldRun) -> int:
    return len(run.trades)


def _spread(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan


# -- as text --


def _fold_lines(found: WalkForward) -> list[str]:
    lines = ["dollars a session, mean of the seeds, net of costs:"]
    lines += [
        f"{'fold':>4}  {'learnt from':24}  {'judged on':24}  in sample  out of sample    decay  between seeds",
    ]
    rows = found.by_fold()
    for row in rows:
        lines.append(
            f"{row.number:4d}  {row.train:24}  {row.test:24}  {row.seen_usd:9,.0f}  {row.unseen_usd:13,.0f}"
            f"  {row.decay_usd:7,.0f}  {number(row.spread_usd):>13}"
        )
    seen, unseen = found.seen_usd, found.mean().net_per_session_usd
    return [*lines, f"{'all':>4}  {'':50}  {seen:9,.0f}  {unseen:13,.0f}  {seen - unseen:7,.0f}"]


def _seed_lines(found: WalkForward) -> list[str]:
    lines = ["out of sample, the folds one after another:"]
    lines.append(f"{'':6}  sessions  trades  win %  $/session  std.err.     total $  max DD $  Sharpe")
    named = {f"seed {seed}": found.of_seed(seed) for seed in found.seeds}
    for name, row in [*named.items(), ("mean", found.mean())]:
        lines.append(
            f"{name:6}  {row.sessions:8,d}  {row.trades:6,.0f}  {number(100 * row.win_rate, 1):>5}"
            f"  {row.net_per_session_usd:9,.0f}  {number(row.standard_error_usd):>8}  {row.net_usd:10,.0f}"
            f"  {row.max_drawdown_usd:8,.0f}  {number(row.sharpe, 1):>6}"
        )
    lines.append(
        f"standard deviation of $/session between seeds: {number(found.seed_spread_usd)}; "
        f"{count_text(found.configurations_tried, 'configuration')} tried"
    )
    return lines
