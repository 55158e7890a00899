"""Hyperparameter search in one program: seeds x configurations side by side, the losers halved at rungs.

Configurations are drawn from the ranges and trained side by side, each with the same seeds. At every rung all that are
left are judged by the mean, over their seeds, of the return on the validation parameters (one episode in each of
`eval_episodes` environments, actions drawn, the same keys for all), and the best 1 / eta go on. This is Sequential
Halving (Karnin, Koren and Somekh 2013, "Almost optimal exploration in multi-armed bandits") in the setting of Jamieson
and Talwalkar (2016, "Non-stochastic best arm identification and hyperparameter optimization"), but with rungs at
fractions of one budget: schedules of learning rate, clip range and entropy run over the whole of it, whoever is dropped
on the way.

The winner's score is the best of many, hence too high. Validation parameters must therefore never be those of the test:
judge the retrained winner once on data that neither training nor search has seen.

Run s of a configuration has the key `jax.random.key(config.seed + s)`, so that `fit` with `config_of(i)` and that seed
repeats it but for rounding (see `make_train`). Where not all runs fit side by side, those that are left at a rung form
blocks of one size, which is filled up by repeating a run; a new size compiles once.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_ppo.checkpoint import Arrays, from_arrays, to_arrays
from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.estimate import training_memory
from purejaxrl_ppo.evaluate import evaluate
from purejaxrl_ppo.host import check_arguments, refuse_tracers
from purejaxrl_ppo.hyperparameters import Hyperparameters
from purejaxrl_ppo.learn import Metrics
from purejaxrl_ppo.memory import check_memory, memory_in_words
from purejaxrl_ppo.policy import policy_of_state
from purejaxrl_ppo.programs import kept_with_environment
from purejaxrl_ppo.sweep.halving import NAMES, Range, check_ranges, draw, rung_iterations, survivors
from purejaxrl_ppo.train import ParamsSchedule, TrainState, make_trainer, strong
from purejaxrl_ppo.wrappers import hashable, prepare

_SEARCH = 0x5EA7C  # sets the keys of draws and evaluations apart from those that training splits off the same seed


@dataclasses.dataclass(frozen=True)
class SweepResult:
    """What a search found; N configurations, R rungs counted with the end of training, S seeds."""

    config: PPOConfig  # as given
    ranges: dict[str, tuple[float, float]]  # lowest and highest value, every hyperparameter
    hyperparameters: dict[str, np.ndarray]  # drawn values, float32 [N] each
    steps: tuple[int, ...]  # environment steps of one run at every rung, [R]
    seed_scores: np.ndarray  # mean return on the validation parameters, float64 [N, R, S]; NaN: not trained so far
    train_returns: np.ndarray  # of the training episodes that ended last, float64 [N, R, S]; NaN likewise
    diverged: np.ndarray  # first iteration with a NaN or infinite number in any seed, int64 [N]; 0: none
    programs: int  # sizes of block, each of which compiled the training once

    @property
    def scores(self) -> np.ndarray:
        """Mean over seeds, float64 [N, R]; NaN where not trained so far.

        Minus infinity where a seed diverged, or its return on the validation parameters is no number.
        """
        return self.seed_scores.mean(axis=-1)

    @property
    def rungs_reached(self) -> np.ndarray:
        """Rungs at which a configuration was judged, int64 [N], 1 to R."""
        return (~np.isnan(self.scores)).sum(axis=-1)

    @property
    def last_scores(self) -> np.ndarray:
        """Score at the last rung that a configuration reached, float64 [N]."""
        return self.scores[np.arange(len(self.scores)), self.rungs_reached - 1]

    @property
    def ranking(self) -> np.ndarray:
        """Configurations, best first: by the rung they reached, then by their score there."""
        return np.lexsort((-self.last_scores, -self.rungs_reached))

    @property
    def winner(self) -> int:
        """The best of the configurations that were trained to the end.

        Raises:
            FloatingPointError: when none was, because all that had not been dropped became NaN or infinite.
        """
        best = int(self.ranking[0])
        if self.rungs_reached[best] < len(self.steps) or self.last_scores[best] == -np.inf:
            raise FloatingPointError(
                "no configuration is left, all that were not dropped became NaN or infinite: lower the upper end of "
                "learning_rate, or train one of them with --debug-nans (FitOptions.debug_nans) to find the operation"
            )
        return best

    def config_of(self, configuration: int) -> PPOConfig:
        """The settings that train a configuration alone, to the last bit of its hyperparameters."""
        # the shortest decimal of a float32 is read back as the same float32
        values: dict[str, Any] = {name: float(str(self.hyperparameters[name][configuration])) for name in NAMES}
        return dataclasses.replace(self.config, **values)


@memory_in_words("the search", "runs_at_once, num_envs, num_steps, hidden_sizes or eval_episodes")
def sweep(
    env: Any,
    env_params: Any,
    config: PPOConfig,
    ranges: Mapping[str, Range],
    *,
    validation_params: Any = None,
    configurations: int = 16,
    seeds: int = 2,
    rungs: Sequence[float] = (0.25, 0.5),
    eta: int = 2,
    key: jax.Array | None = None,
    runs_at_once: int | None = None,
    params_schedule: ParamsSchedule | None = None,
    eval_episodes: int = 64,
    eval_max_steps: int = 10_000,
    report: Callable[[str], None] | None = None,
) -> SweepResult:
    """Search hyperparameters by successive halving, as this module's text describes it.

    Args:
        env, env_params: gymnax environment and the parameters to train under.
        config: settings of every run; hyperparameters that have no range are its own.
        ranges: by name of a field of `Hyperparameters`: one number, or the lower and the higher end.
        validation_params: parameters to judge under (another view of the data, say); `env_params` by default.
        configurations, seeds: N and S; N x S runs begin.
        rungs: fractions of the budget at which the worse ones are dropped; none for a search without halving.
        eta: one in so many stays at a rung, rounded up.
        key: of the draws and of the evaluations; `config.seed`'s by default.
        runs_at_once: most runs on the device at one time; None: all. The rest waits in the memory of the host.
        params_schedule: as in `make_train`; the validation parameters are not scheduled.
        eval_episodes, eval_max_steps: episodes of one run's evaluation, and the steps after which one is cut off.
        report: gets a line of text at the start and after every rung.

    Raises ValueError for ranges, rungs or numbers that cannot be, validation parameters that make another kind of
    environment, and inside `jit` or `vmap`; MemoryError with how much is wanted and which setting to lower.
    """
    refuse_tracers((env_params, validation_params), "sweep")
    check_arguments(env, config, params_schedule=params_schedule)
    _check_counts(configurations, seeds, eta, runs_at_once, eval_episodes, eval_max_steps)
    checked, stops = check_ranges(ranges, config), rung_iterations(rungs, config)
    key_draw, key_eval = jax.random.split(
        jax.random.fold_in(jax.random.key(config.seed) if key is None else key, _SEARCH)
    )
    env, params = hashable(env), jax.tree.map(strong, env_params)
    judged = params if validation_params is None else jax.tree.map(strong, validation_params)
    _same_kind(env, params, judged)
    hyper, say = draw(checked, configurations, key_draw), report or (lambda line: None)
    say(f"{configurations} configurations x {seeds} seeds = {configurations * seeds} runs of {config.budget_note}")
    together = min(runs_at_once or configurations * seeds, configurations * seeds)
    _check_memory(env, params, config, params_schedule, eval_episodes, together)
    programs = _programs(env, config, params_schedule, eval_episodes, eval_max_steps)
    runs = _Runs(programs, params, judged, hyper, config.seed, seeds, together, key_eval)
    scores, returns = _halve(runs, stops, (configurations, seeds), eta, config.batch_size, say)
    steps = tuple(stop * config.batch_size for stop in stops)
    values = {name: np.asarray(getattr(hyper, name)) for name in NAMES}
    return SweepResult(config, checked, values, steps, scores, returns, runs.diverged(), len(runs.sizes))


def _check_memory(
    env: Any, params: Any, config: PPOConfig, schedule: ParamsSchedule | None, eval_episodes: int, together: int
) -> None:
    """Refuse so many runs side by side where their sizes alone tell that no memory holds them."""
    one = training_memory(env, config, params, schedule, eval_episodes)
    sizes = {f"runs_at_once or {name}": size * together for name, size in one.items()}
    check_memory(f"training {together:,} runs side by side", sizes)


def _halve(
    runs: "_Runs", stops: Sequence[int], shape: tuple[int, int], eta: int, batch_size: int, say: Callable[[str], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Train to each rung, judge, and go on with the best 1 / eta; scores and returns [configurations, rungs, seeds]."""
    configurations, seeds = shape
    scores, returns = (np.full((configurations, len(stops), seeds), np.nan) for _ in range(2))
    alive, began = np.arange(configurations), 0
    for rung, stop in enumerate(stops):
        scores[alive, rung], returns[alive, rung] = runs.advance(alive, stop - began, rung)
        mean = scores[alive, rung].mean(axis=-1)
        stay = survivors(mean, eta) if stop < stops[-1] else np.flatnonzero(mean > -np.inf)
        say(_rung_line(stop * batch_size, mean, len(stay), stop == stops[-1]))
        alive, began = alive[stay], stop
        if not len(alive):
            break
    return scores, returns


def _check_counts(configurations: int, seeds: int, eta: int, runs_at_once: int | None, *evaluation: int) -> None:
    counts = {"configurations": (configurations, 2), "seeds": (seeds, 1), "eta": (eta, 2)}
    counts |= {name: (n, 1) for name, n in zip(("eval_episodes", "eval_max_steps"), evaluation, strict=True)}
    if runs_at_once is not None:
        counts["runs_at_once"] = (runs_at_once, 1)
    for name, (value, least) in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name}={value!r} must be a whole number, {least} or more")
        if value >= 2**31:
            raise ValueError(f"{name}={value} must be below {2**31:,}")


def _same_kind(env: Any, params: Any, judged: Any) -> None:
    """Validation must be played by the policies that are trained."""
    specs = [prepare(env, p)[1] for p in (params, judged)]
    ours, theirs = ((s.obs_shapes, s.action.num_actions, s.action.shape, s.masked) for s in specs)
    if ours != theirs:
        raise ValueError(
            "validation_params make an environment of other observations or actions than env_params: "
            "use parameters of the same environment"
        )


def _rung_line(steps: int, mean: np.ndarray, stay: int, last: bool) -> str:
    lost = int((mean == -np.inf).sum())
    line = f"{steps:,} steps: {len(mean)} configurations, best score {mean.max():.4g}"
    line += f", {lost} became NaN or infinite" if lost else ""
    return line if last else f"{line}; {stay} go on"


class _Runs:
    """All runs of a search: their states on the host, and the blocks in which they go to the device."""

    def __init__(
        self,
        programs: Any,
        env_params: Any,
        validation_params: Any,
        hyper: Hyperparameters,
        first_seed: int,
        seeds: int,
        runs_at_once: int,
        key: jax.Array,
    ) -> None:
        self._init, self._stage = programs
        self._params, self._judged, self._hyper = env_params, validation_params, hyper
        self._seeds, self._at_once, self._key = seeds, runs_at_once, key
        self._keys = jax.vmap(jax.random.key)(first_seed + jnp.arange(seeds))
        self._states: dict[int, Arrays] = {}  # by run = configuration x seeds + seed
        self._good = np.zeros(seeds * len(hyper.gamma), np.int32)  # iterations before the first bad one
        self._done = np.zeros_like(self._good)
        self.sizes: set[int] = set()

    def advance(self, alive: np.ndarray, count: int, rung: int) -> tuple[np.ndarray, np.ndarray]:
        """Train the configurations `alive` for `count` iterations and judge them: scores and returns [alive, S]."""
        runs = (alive[:, None] * self._seeds + np.arange(self._seeds)[None]).ravel()
        blocks = math.ceil(len(runs) / self._at_once)
        size = math.ceil(len(runs) / blocks)
        self.sizes.add(size)
        scores, returns = (np.empty(len(runs)) for _ in range(2))
        for start in range(0, len(runs), size):
            block = runs[start : start + size]
            here = slice(start, start + len(block))
            scores[here], returns[here] = self._one_block(block, size, count, jax.random.fold_in(self._key, rung))
        shape = (len(alive), self._seeds)
        return scores.reshape(shape), returns.reshape(shape)

    def diverged(self) -> np.ndarray:
        """First bad iteration of any seed of every configuration, [N]; 0: none."""
        bad = np.where(self._good < self._done, self._good + 1, np.iinfo(np.int32).max)
        first = bad.reshape(-1, self._seeds).min(axis=-1).astype(np.int64)
        return np.where(first == np.iinfo(np.int32).max, 0, first)

    def _one_block(self, block: np.ndarray, size: int, count: int, key: jax.Array) -> tuple[np.ndarray, np.ndarray]:
        filled = np.concatenate([block, np.full(size - len(block), block[-1], block.dtype)])
        configuration, seed = filled // self._seeds, filled % self._seeds
        hyper = jax.tree.map(lambda x: x[configuration], self._hyper)
        states, scores, good = self._stage(
            self._from_host(filled, seed),
            jnp.asarray(self._good[filled]),
            self._params,
            self._judged,
            hyper,
            jnp.int32(count),
            jax.vmap(jax.random.fold_in, (None, 0))(key, seed),
        )
        arrays = to_arrays(states)
        for i, run in enumerate(block):
            self._states[int(run)] = {name: array[i] for name, array in arrays.items()}
        here = slice(len(block))
        self._good[block] = np.asarray(good)[here]
        self._done[block] = np.asarray(states.iteration)[here]
        lost = self._good[block] < self._done[block]
        found = np.where(lost, -np.inf, np.asarray(scores, np.float64)[here])
        return np.where(np.isfinite(found), found, -np.inf), np.asarray(states.episode_return, np.float64)[here]

    def _from_host(self, filled: np.ndarray, seed: np.ndarray) -> TrainState:
        keys = self._keys[seed]
        if int(filled[0]) not in self._states:
            return self._init(keys, self._params)
        held = [self._states[int(run)] for run in filled]
        stacked = {name: np.stack([arrays[name] for arrays in held]) for name in held[0]}
        return from_arrays(jax.eval_shape(self._init, keys, self._params), stacked)


@kept_with_environment
def _programs(
    env_of: Callable[[], Any],
    config: PPOConfig,
    schedule: ParamsSchedule | None,
    eval_episodes: int,
    eval_max_steps: int,
) -> tuple[Any, Any]:
    """Compiled `init` and `stage` of a block of runs; kept, so that a second search does not compile again."""

    def init(keys: jax.Array, env_params: Any) -> TrainState:
        return jax.vmap(make_trainer(env_of(), config, schedule).init, (0, None))(keys, env_params)

    def stage(
        states: TrainState,
        good: jax.Array,
        env_params: Any,
        validation_params: Any,
        hyper: Hyperparameters,
        count: jax.Array,
        keys: jax.Array,
    ) -> tuple[TrainState, jax.Array, jax.Array]:
        env = env_of()
        trainer, spec = make_trainer(env, config, schedule), prepare(env, env_params)[1]

        def body(_: jax.Array, carry: tuple[TrainState, jax.Array]) -> tuple[TrainState, jax.Array]:
            states, good = carry
            new, metrics = jax.vmap(trainer.update, (0, None, 0))(states, env_params, hyper)
            fine = _finite(metrics, (new.params, new.obs_moments, new.return_moments))
            return new, good + (fine & (good == states.iteration))

        def score(state: TrainState, key: jax.Array) -> jax.Array:
            policy = policy_of_state(state, spec, config, sampled=True)
            return evaluate(env, validation_params, policy, key, eval_episodes, eval_max_steps).returns.mean()

        # the number of iterations is an argument: rungs of every length run one program
        states, good = jax.lax.fori_loop(0, count, body, (states, good))
        return states, jax.vmap(score)(states, keys), good

    return jax.jit(init), jax.jit(stage)


def _finite(metrics: Metrics, arrays: Any) -> jax.Array:
    """Which runs [B] have nothing but numbers, by the rule of `check_numbers`."""
    held = [jnp.isfinite(x) for name, x in metrics.items() if not name.startswith("schedule/")]
    held += [~jnp.isnan(x) for name, x in metrics.items() if name.startswith("schedule/")]
    held += [jnp.isfinite(x).reshape(x.shape[0], -1).all(axis=1) for x in jax.tree.leaves(arrays)]
    return jnp.stack(held).all(axis=0)
