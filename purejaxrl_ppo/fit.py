"""The host loop: the same update step as `make_train`, in chunks, with logs, evaluation and checkpoints.

The folder of a run gets `run.json`, `metrics.csv` (a row per iteration), `evaluations.csv`, TensorBoard event files,
`checkpoints/` (complete states) and `best/` (the policy that evaluated best). SIGTERM and SIGINT finish the running
chunk, save, and raise `SystemExit(0)`.

Over several processes (`start_processes`), all call `fit` alike. Process 0 alone reads and writes the folder, evaluates
and prints, so the others need not see it; a signal to any of them stops all at the same iteration. A checkpoint holds
whole arrays, so that a run goes on with another number of devices or processes.
"""

import contextlib
import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from purejaxrl_ppo.checkpoint import Checkpoints, blank_arrays, from_arrays, to_arrays
from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.evaluate import evaluate
from purejaxrl_ppo.host import (
    check_arguments,
    check_numbers,
    interruptible,
    jax_settings,
    one_run,
    only_process,
    refuse_tracers,
)
from purejaxrl_ppo.hyperparameters import Hyperparameters
from purejaxrl_ppo.logs import RETURN_UNIT, CsvLog, Terminal, rows_of
from purejaxrl_ppo.memory import check_memory, memory_in_words, training_bytes
from purejaxrl_ppo.options import FitOptions
from purejaxrl_ppo.policy import Policy, policy_of_state
from purejaxrl_ppo.processes import Team
from purejaxrl_ppo.programs import compiler_options, kept_with_environment
from purejaxrl_ppo.rollout import keeps_states
from purejaxrl_ppo.rundir import (
    BEST,
    LAST,
    RUN_FILE,
    describe_run,
    folder_of,
    policy_arrays,
    read_run,
    refuse_other_run,
    write_run,
)
from purejaxrl_ppo.sharding import axis_of, gather, local, place
from purejaxrl_ppo.trackers import TrackedRun, Tracker, named_trackers
from purejaxrl_ppo.train import ParamsSchedule, TrainState, make_trainer, scheduled_params, state_specs, strong
from purejaxrl_ppo.transfer import warm_started
from purejaxrl_ppo.whole_programs import ProgramStore, loaded
from purejaxrl_ppo.wrappers import EnvSpec, concrete_spec, hashable, prepare

MAX_CHUNK = 512  # iterations between two looks of the host
_EVALUATION = 0xE7A1  # sets the keys of evaluations apart from those that training splits off the same seed


@dataclasses.dataclass(frozen=True)
class FitResult:
    """Where a run ended."""

    state: TrainState  # the last state
    policy: Policy  # the last policy, sampled
    run_dir: pathlib.Path
    iterations: int  # done in all
    best_score: float  # highest evaluated return (highest training return where none was evaluated)
    compile_seconds: float  # that the first chunk was waited for: what was left of its compiling, and its run


@memory_in_words("training", "num_envs, num_steps, hidden_sizes or eval_episodes")
def fit(
    env: Any,
    env_params: Any,
    config: PPOConfig,
    *,
    run_dir: pathlib.Path | str,
    options: FitOptions | None = None,
    params_schedule: ParamsSchedule | None = None,
    hyperparameters: Hyperparameters | None = None,
    eval_params: Any = None,
    warm_start: Policy | None = None,
    env_source: dict[str, Any] | None = None,
    mesh: Mesh | None = None,
    trackers: Sequence[Tracker] = (),
    return_unit: str = RETURN_UNIT,
    made_from: str | None = None,
) -> FitResult:
    """Train with progress, logs and checkpoints; in the folder of an unfinished run, go on with it.

    Args:
        env, env_params: gymnax environment and its parameters.
        config: settings of the training.
        run_dir: folder of the run; created if missing. What it gets stands in this module's text.
        options: settings of the host loop.
        params_schedule: as in `make_train`; give the same one when resuming.
        hyperparameters: traced settings in place of the config's.
        eval_params: parameters to evaluate under (held-out data, say); `env_params` by default.
        warm_start: policy whose network and normaliser a new run starts from, widened where inputs or actions
            are new (`transfer_parameters`); what was done is printed. A resumed run does not need it.
        env_source: how the command line makes the environment, stored for `resume`; another program gives
            {"typed": {"resume": ..., "evaluate": ...}}, what is typed to go on with its run and to judge it.
        mesh: devices that share the environments, as in `make_train`; with several processes, of all of them.
        trackers: of your own, beside TensorBoard and those that `options.track` names.
        return_unit: what a return is counted in, for the lines of progress.
        made_from: tells everything that `env` and `params_schedule` are made from, but for the code of modules: the
            programs are then kept whole beside JAX's compilation cache, where one is used on one device, and a second
            start traces nothing. None where a file, a variable or a value set from elsewhere counts as well.

    Raises:
        ValueError: when the folder holds another run (differences are listed), another process trains in it or it
            cannot be written; for arguments that do not fit, a mesh that cannot share evenly, and inside `jit` or
            `vmap`, which `make_train` is for.
        CheckpointError: when all checkpoints of the run are damaged, or one cannot be written (a full disk, say).
        OSError: when a log cannot be written.
        FloatingPointError: when a metric or a parameter is NaN or infinite; the checkpoint before it stays.
        ProcessLost: when another process of the run ended or failed.
        MemoryError: how much is wanted and which setting to lower, before anything is written where sizes tell it.
    """
    check_arguments(
        env,
        config,
        options=options,
        params_schedule=params_schedule,
        hyperparameters=hyperparameters,
        warm_start=warm_start,
        trackers=trackers,
    )
    settings = (config, folder_of(run_dir), options or FitOptions(), params_schedule, hyperparameters, eval_params)
    return _Loop(env, env_params, *settings, mesh, trackers, return_unit, made_from).train(warm_start, env_source)


class _Loop:
    """One call of `fit`: the state on the device and the files it is written to."""

    def __init__(
        self,
        env: Any,
        env_params: Any,
        config: PPOConfig,
        run_dir: pathlib.Path,
        options: FitOptions,
        params_schedule: ParamsSchedule | None,
        hyperparameters: Hyperparameters | None,
        eval_params: Any,
        mesh: Mesh | None,
        trackers: Sequence[Tracker],
        return_unit: str,
        made_from: str | None,
    ) -> None:
        self.env, self.config, self.run_dir, self.options = hashable(env), config, run_dir, options
        refuse_tracers((env_params, hyperparameters, eval_params))
        self.env_params = jax.tree.map(strong, env_params)
        self.eval_params = self.env_params if eval_params is None else jax.tree.map(strong, eval_params)
        self.params_schedule = params_schedule
        self.hyper = config.hyperparameters if hyperparameters is None else one_run(hyperparameters)
        self.mesh, self.team = mesh, Team(mesh)
        self.init, self.chunk = _programs(self.env, config, params_schedule, mesh)
        self.arguments = place((self.env_params, self.hyper), mesh, P())
        self.store: ProgramStore | None = None
        if made_from is not None and not self._is_bound() and not options.debug_nans:
            self.store = ProgramStore.of(made_from, config, self.arguments)
        self.kept = None if self.store is None else self.store.load()
        about: tuple[EnvSpec, bool, TrainState] = self._traced() if self.kept is None else self.kept.about
        self.spec, self.keeps_states, self.shapes = about
        self._check_memory()
        self.best_score, self.compile_seconds, self.speed = float("-inf"), 0.0, 0.0
        self.last_saved, self.saved_at = -1, time.monotonic()
        self.to_close: list[Any] = []
        self.ahead: Future[Any] | None = None
        self.own_trackers, self.trackers = trackers, list[Tracker]()
        self.return_unit = return_unit

    def _is_bound(self) -> bool:
        """Whether the programs are for a mesh, or for arguments that are bound to a device."""
        return self.mesh is not None or any(getattr(x, "committed", False) for x in jax.tree.leaves(self.arguments))

    def _traced(self) -> tuple[EnvSpec, bool, TrainState]:
        """The environment's description, whether rollouts keep its states, and the shapes of a state of training."""
        six_values, spec = prepare(self.env, self.env_params)
        shapes = jax.eval_shape(self.init, self.key, self.arguments[0])
        return concrete_spec(spec), keeps_states(six_values, self.config), shapes

    @functools.cached_property
    def key(self) -> jax.Array:
        """The key of the first state."""
        return place(jax.random.key(self.config.seed), self.mesh, P())

    def _check_memory(self) -> None:
        """Refuse what cannot fit; on a mesh the environments lie in several memories, the devices' or the machines'."""
        parts = 1
        if self.mesh is not None:
            parts = self.team.size if jax.default_backend() == "cpu" else self.mesh.size
        episodes = self.options.eval_episodes if self._eval_every() else 0
        wanted = training_bytes(self.config, self.spec, self.shapes, self.keeps_states, episodes, parts)
        check_memory("training", wanted)

    def train(self, warm_start: Policy | None, env_source: dict[str, Any] | None) -> FitResult:
        """Open the folder, train until the end or a signal, close."""
        ending = f"the run in {self.run_dir} goes on from its last checkpoint"
        settings, together = jax_settings(self.options), self.team.ending_together(ending)
        lock = only_process(self.run_dir) if self.team.leads else contextlib.nullcontext()
        quiet = self.options.quiet or not self.team.leads
        with settings, together, lock, interruptible(quiet) as interrupted:
            try:
                self.open(warm_start, env_source)
                self.run(interrupted)
            finally:
                self.close()
        return self.result()

    # -- opening and closing ------------------------------------------------------------------------------

    def open(self, warm_start: Policy | None, env_source: dict[str, Any] | None) -> None:
        """Start a run or go on with the one in the folder."""
        run = self._describe(warm_start, env_source) if self.team.leads or self.team.size > 1 else {}
        self.team.refuse_difference({key: run[key] for key in run if key not in ("source", "warm_start")})
        found, exists = self._open_folder(run) if self.team.leads else (None, False)
        report = self._start(found, warm_start)
        self.iteration = int(self.state.iteration)
        if self.team.leads:
            self.checkpoints.remove_newer(self.iteration)
            self.best.remove_newer(self.iteration)
        self._open_logs(run, resumed=found is not None)
        if exists and found is None:
            self.terminal.say(f"{self.run_dir} holds no checkpoint yet: starting from the beginning")
        for line in report:
            self.terminal.say(f"warm start: {line}")

    def _describe(self, warm_start: Policy | None, env_source: dict[str, Any] | None) -> dict[str, Any]:
        """What `run.json` holds."""
        return describe_run(
            self.config,
            self.hyper,
            self.spec,
            self.env,
            self.env_params,
            env_source,
            eval_params=self.eval_params,
            params_schedule=self.params_schedule,
            warm_start=warm_start,
        )

    def _open_folder(self, run: dict[str, Any]) -> tuple[Any, bool]:
        """What was saved last, if anything, and whether the folder holds the run already."""
        exists = (self.run_dir / "run.json").is_file()
        if exists:
            refuse_other_run(self.run_dir, read_run(self.run_dir), run)
        self.checkpoints = Checkpoints(self.run_dir / LAST, self.options.keep_checkpoints)
        self.best = Checkpoints(self.run_dir / BEST, keep=2)  # a resumed run may have to step back by one
        self.to_close += [self.checkpoints, self.best]
        found = self.checkpoints.restore(("state",)) if exists else None
        if not exists:
            write_run(self.run_dir, run)
        return found, exists

    def _start(self, found: Any, warm_start: Policy | None) -> list[str]:
        """The first state, fresh or from what process 0 found; returns what a warm start did."""
        shapes = self.shapes
        if self.kept is not None:
            self.ahead = ThreadPoolExecutor(1).submit(loaded, self.kept.chunk, self.chunk)
        if self.team.broadcast_value(found is not None):
            saved = blank_arrays(shapes)
            if found is not None:
                from_arrays(shapes, found[0]["state"])  # what does not fit is refused here, and not by every process
                saved = {name: found[0]["state"][name] for name in saved}
                self.best_score = found[1]["best_score"]
            self.state = self._owned(from_arrays(shapes, self.team.broadcast_arrays(saved)))
            return []
        if self.kept is not None:
            self.init = loaded(self.kept.init, self.init)
        if warm_start is None:
            self._compile_ahead()
            self.state = self.init(self.key, self.arguments[0])
            return []
        fresh = self.init(self.key, self.arguments[0])
        if self.mesh is not None:  # on one device: a warm start plays a rollout to see what the old policy thinks
            fresh = from_arrays(shapes, to_arrays(gather(fresh, self.mesh)))
        began = scheduled_params(self.config, self.params_schedule, jnp.int32(0), self.env_params)
        warm, report = warm_started(fresh, warm_start, self.env, began, self.config)
        self.state = self._owned(warm)
        return report

    def _compile_ahead(self) -> None:
        """Compile the chunk while the first state is made, in a thread; whoever calls the chunk finds it compiled.

        It is traced here, where the caller's settings of JAX count. On a mesh, and where arguments are bound to a
        device, the first call compiles as ever; so it does for a warm start, which may be refused: a process does not
        end before its threads do.
        """
        if self.kept is not None or self._is_bound():
            return
        lowered = self.chunk.lower(self.shapes, *self.arguments, np.int32(1))
        if self.store is None:
            self.ahead = ThreadPoolExecutor(1).submit(lowered.compile)
            return
        self.ahead = ThreadPoolExecutor(1).submit(self.store.compiled, "chunk", lowered)
        self.init = self.store.compiled("init", self.init.lower(self.key, self.arguments[0]))

    def _owned(self, state: TrainState) -> TrainState:
        """A state of whole arrays on the mesh, copied: the chunk donates its input, which NumPy must not own."""
        return jax.tree.map(jnp.copy, place(state, self.mesh, state_specs(axis_of(self.mesh))))

    def _open_logs(self, run: dict[str, Any], resumed: bool) -> None:
        config = self.config
        steps = self.iteration * config.batch_size
        quiet = self.options.quiet or not self.team.leads
        self.terminal: Terminal = Terminal(
            config.num_iterations * config.batch_size, steps, quiet, unit=self.return_unit
        )
        self.to_close.append(self.terminal)
        if not self.team.leads:
            return
        self.metrics = CsvLog(self.run_dir / "metrics.csv", self.iteration)
        self.evaluations = CsvLog(self.run_dir / "evaluations.csv", self.iteration)
        self.to_close += [self.metrics, self.evaluations]
        for tracker in (*named_trackers(self.options.track, self.options.tensorboard), *self.own_trackers):
            tracker.start(TrackedRun(self.run_dir, run, steps))
            self.trackers.append(tracker)
            self.to_close.append(tracker)
        self.terminal.say(config.budget_note)
        if self.mesh is not None:
            devices = f"{self.mesh.size} devices" + f" of {self.team.size} processes" * (self.team.size > 1)
            self.terminal.say(f"{devices}, {config.num_envs // self.mesh.size:,} environments on each")
        if resumed:
            self.terminal.say(f"resuming {self.run_dir} after iteration {self.iteration:,}")

    def close(self) -> None:
        """Finish the files."""
        with contextlib.ExitStack() as parts:  # all of them, whatever one raises
            for part in self.to_close:
                parts.callback(part.close)

    def result(self) -> FitResult:
        """What `fit` returns."""
        policy = self._policy(sampled=True)
        return FitResult(self.state, policy, self.run_dir, self.iteration, self.best_score, self.compile_seconds)

    def _policy(self, sampled: bool) -> Policy:
        """The present policy, on a device of this process alone."""
        params, moments = local((self.state.params, self.state.obs_moments), self.mesh)
        return policy_of_state(self.state.replace(params=params, obs_moments=moments), self.spec, self.config, sampled)

    # -- the loop -----------------------------------------------------------------------------------------

    def run(self, interrupted: Callable[[], bool]) -> None:
        """Chunk after chunk until the last iteration or a signal."""
        total = self.config.num_iterations
        if self.iteration < total:
            self.terminal.say("compiling the update step, once; the first progress follows it")
        self.terminal.start()
        chunks = 0
        while self.iteration < total:
            self._one_chunk(self.team.broadcast_value(self._chunk_length(chunks)), first=chunks == 0)
            chunks += 1
            if self.team.any(interrupted()) and self.iteration < total:
                self._end()
                self.terminal.close()
                if self.team.leads:
                    done = f"stopped after iteration {self.iteration:,} and saved"
                    self.terminal.say(f"{done}; to go on: {self._command()}")
                self._wait_for_all()
                raise SystemExit(0)
        self._end()
        self._wait_for_all()

    def _end(self) -> None:
        """Save, and hand the trackers what there is to keep."""
        self.save()
        paths = [self.run_dir / name for name in (RUN_FILE, "metrics.csv", "evaluations.csv", BEST)]
        for tracker in self.trackers:
            tracker.files([path for path in paths if path.exists()])

    def _wait_for_all(self) -> None:
        """Until process 0 has written: one that ended before would be taken for dead, and take the others with it."""
        self.team.broadcast_value(None)

    def _one_chunk(self, count: int, first: bool) -> None:
        began = time.monotonic()
        with self.terminal.waiting("compiling" if first else f"{count} {'iterations' if count > 1 else 'iteration'}"):
            if first and self.ahead is not None:
                failed = self.ahead.exception()  # waits; it goes wrong again in the call, and is told there
                if self.store is not None and failed is None:
                    self.chunk = self.ahead.result()
            self.state, metrics = self.chunk(self.state, *self.arguments, np.int32(count))
            metrics = jax.device_get(metrics)
        seconds = time.monotonic() - began
        rows = rows_of(metrics, count, self.iteration, self.config.batch_size)
        if self.team.leads:
            self.metrics.write(rows)
        # statistics too: an infinite observation is clipped for the network, and would be saved with them
        checked = {"params": self.state.params, "moments": (self.state.obs_moments, self.state.return_moments)}
        check_numbers(rows, to_arrays(checked), self.run_dir / LAST)
        self.iteration += count
        if first:
            self.compile_seconds = seconds
            if self.store is not None:
                self.store.save((self.spec, self.keeps_states, self.shapes))
        else:
            self.speed = count * self.config.batch_size / seconds
        steps, total = (n * self.config.batch_size for n in (self.iteration, self.config.num_iterations))
        self.terminal.update(steps, total, self.speed, rows[-1]["episode_return"], time.monotonic())
        for tracker in self.trackers:
            tracker.metrics(rows)
        illegal = sum(row.get("all_illegal_rows", 0.0) for row in rows)
        if illegal:
            self.terminal.say(f"warning: {illegal:,.0f} rows had no legal action; they were played at random")
        if self.team.leads:
            self._evaluate_if_due(rows)
        self._save_if_due()

    def _chunk_length(self, chunks: int) -> int:
        """Iterations until the host looks again: never past an evaluation, a checkpoint or the end."""
        length = self.options.chunk_iterations
        if length is None:  # one to compile, one to measure, then about a second's worth
            per_second = self.speed / self.config.batch_size
            length = 1 if chunks < 2 else max(1, round(per_second))
        stops = [self.config.num_iterations]
        for every in (self._eval_every(), self.options.checkpoint_every or 0):
            if every:
                stops.append((self.iteration // every + 1) * every)
        return min(length, MAX_CHUNK, *(stop - self.iteration for stop in stops))

    def _eval_every(self) -> int:
        every = self.options.eval_every
        return max(1, self.config.num_iterations // 10) if every is None else every

    def _evaluate_if_due(self, rows: list[dict[str, float]]) -> None:
        every = self._eval_every()
        if not every:
            score = max(row["episode_return"] for row in rows)
        elif self.iteration % every and self.iteration != self.config.num_iterations:
            return
        else:
            score = self._evaluate()
        if score > self.best_score:
            self.best_score = score
            record = {"best_score": score}
            self.best.save(self.iteration, {"policy": policy_arrays(self.state)}, record)

    def _evaluate(self) -> float:
        key = evaluation_key(self.config.seed, self.iteration)
        row: dict[str, float] = {
            "iteration": self.iteration,
            "steps": self.iteration * self.config.batch_size,
        }
        for kind, sampled in (("sampled", True), ("argmax", False)):
            policy, options = self._policy(sampled), self.options
            played = evaluate(self.env, self.eval_params, policy, key, options.eval_episodes, options.eval_max_steps)
            row |= {f"{kind}_{name}": value for name, value in played.summary().items()}
        self.evaluations.write([row])
        for tracker in self.trackers:
            tracker.evaluation(row)
        return row["sampled_return"]

    def _save_if_due(self) -> None:
        every = self.options.checkpoint_every
        due = time.monotonic() - self.saved_at > 60 if every is None else every and self.iteration % every == 0
        if self.team.broadcast_value(bool(due)):
            self.save()

    def save(self) -> None:
        """Write a complete checkpoint of the present iteration, unless there is one."""
        if self.last_saved == self.iteration:
            return
        state = gather(self.state, self.mesh)
        if self.team.leads:
            groups = {"state": to_arrays(state), "policy": policy_arrays(self.state)}
            self.checkpoints.save(self.iteration, groups, {"best_score": self.best_score})
        self.last_saved, self.saved_at = self.iteration, time.monotonic()

    def _command(self) -> str:
        source = read_run(self.run_dir).get("source")
        if source:
            return str(source.get("typed", {}).get("resume", f"purejaxrl-ppo resume {self.run_dir}"))
        return f"call fit again with run_dir={str(self.run_dir)!r}"


def evaluation_key(seed: int, iteration: int) -> jax.Array:
    """The key of the evaluation after an iteration; 0 for one outside of training.

    The key of the seed itself is training's: `split(key, n)[i]` is `fold_in(key, i)`, so folding the iteration into it
    would give the keys that made network and environments again.
    """
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), _EVALUATION), iteration)


@kept_with_environment
def _programs(
    env_of: Callable[[], Any], config: PPOConfig, params_schedule: ParamsSchedule | None, mesh: Mesh | None
) -> tuple[Any, Any]:
    """Compiled `init` and `chunk`; kept, so that a second run of the same settings does not compile again."""

    def init(key: jax.Array, env_params: Any) -> TrainState:
        return make_trainer(env_of(), config, params_schedule, mesh=mesh).init(key, env_params)

    def chunk(state: TrainState, env_params: Any, hyper: Hyperparameters, count: jax.Array) -> tuple[Any, Any]:
        update = jax.jit(make_trainer(env_of(), config, params_schedule, mesh=mesh).update)  # traced once for both uses
        # the number of iterations is an argument: chunks of every length run one program, bit for bit alike
        shapes = jax.eval_shape(update, state, env_params, hyper)[1]
        rows = {name: jnp.zeros((MAX_CHUNK, *s.shape), s.dtype) for name, s in shapes.items()}

        def body(i: jax.Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            state, rows = carry
            state, metrics = update(state, env_params, hyper)
            return state, {name: rows[name].at[i].set(metrics[name]) for name in rows}

        return jax.lax.fori_loop(0, count, body, (state, rows))

    make_trainer(env_of(), config, params_schedule, mesh=mesh)  # refuses what cannot work, before anything is written
    options = compiler_options()
    return jax.jit(init, compiler_options=options), jax.jit(chunk, donate_argnums=0, compiler_options=options)
