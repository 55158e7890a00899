"""Several processes as one run: how they find one another, agree on what comes next, and end together.

JAX's coordination service, which process 0 holds, carries a few short texts in every chunk of iterations; what is
learned goes over the devices' own links (`sharding`). Process 0 alone decides and writes; the others follow.
"""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh

from purejaxrl_ppo.failures import ProcessLost
from purejaxrl_ppo.options import Parallel
from purejaxrl_ppo.sharding import make_mesh

T = TypeVar("T")
HEARTBEAT_SECONDS = 20  # without a sign of life for this long, a process counts as dead and JAX ends the others
SHUTDOWN_SECONDS = 600  # how long processes that are done wait for one that still writes; heartbeats find the dead
_LOOK_MS = 1000  # a waiting process looks up this often, so that signals and failures reach it
_KEPT = 8  # notes of process 0 that stay: more than two chunks' worth, and every chunk brings all processes together
_TEAMS = itertools.count()
_WITNESS = "import sys; sys.stdin.read() or print(sys.argv[1], file=sys.stderr, flush=True)"


def start_processes(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    wait_seconds: int = 300,
) -> None:
    """Join the other processes of a run.

    To be called before JAX computes anything, and so before gymnax is imported, which computes.

    Args:
        coordinator: host:port of process 0, a free port that all can reach. Under SLURM (and where else
            `jax.distributed` knows the launcher) the three may be left out.
        num_processes: how many there are.
        process_id: which this one is, from 0.
        wait_seconds: how long to wait for the others.

    Raises:
        ValueError: for values that cannot be, for some of the three without the others, and where JAX has computed
            already.
        ProcessLost: where the others cannot be reached in time.
    """
    _check(coordinator, num_processes, process_id)
    from jax._src import xla_bridge  # no public face tells it; one process alone imports none of it

    if xla_bridge.backends_are_initialized():
        raise ValueError(
            "start_processes was called after JAX had computed something: call it first, before gymnax or an "
            "environment is imported"
        )
    # its handler of SIGTERM would take the place of the one that saves
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=wait_seconds,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=SHUTDOWN_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0][:200]
        where = f"process 0 at {coordinator}" if coordinator else "process 0, which the launcher should have named,"
        raise ProcessLost(
            f"the processes did not come together within {wait_seconds} s ({reason}): see that all were started with "
            f"the same number of processes, and that {where} can be reached"
        ) from error


def _check(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    given = {"coordinator": coordinator, "num_processes": num_processes, "process_id": process_id}
    missing = [name for name, value in given.items() if value is None]
    if missing and len(missing) < len(given):
        there = " and ".join(name for name in given if name not in missing)
        raise ValueError(f"{there} without {' and '.join(missing)}: give all three, or none where SLURM knows them")
    if coordinator is None or num_processes is None or process_id is None:
        return
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"coordinator={coordinator!r} must be host:port of process 0, such as 10.0.0.1:1234")
    if num_processes < 1:
        raise ValueError(f"num_processes={num_processes} must be at least 1")
    if not 0 <= process_id < num_processes:
        raise ValueError(
            f"process_id={process_id} must lie between 0 and {num_processes - 1}, for {num_processes} of them"
        )


def start_parallel(parallel: Parallel) -> Mesh | None:
    """Join the other processes, if there are any; the mesh to train on, or None for one device.

    Raises:
        ValueError: as `start_processes` and `make_mesh` do.
    """
    named = (parallel.coordinator, parallel.num_processes, parallel.process_id)
    if parallel.devices is not None and named == (None, None, None):
        split_cpu(parallel.devices)
    several = named != (None, None, None) or int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1
    if several:
        start_processes(*named)
    return make_mesh(parallel.devices) if several or parallel.devices is not None else None


def split_cpu(devices: int) -> None:
    """Let a CPU be as many devices, where JAX has not begun and nobody else has said how many."""
    if devices > 1 and "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        with contextlib.suppress(RuntimeError):  # it has begun: `make_mesh` counts what there is
            jax.config.update("jax_num_cpu_devices", devices)


class Team:
    """This process among those of a run. All of them make the same calls in the same order; one alone sends nothing."""

    def __init__(self, mesh: Mesh | None) -> None:
        """Raises ValueError for several processes whose devices the mesh does not hold."""
        self.size, self.number = jax.process_count(), jax.process_index()
        self.leads = self.number == 0
        if self.size > 1 and (mesh is None or {d.process_index for d in mesh.devices.flat} != set(range(self.size))):
            raise ValueError(
                f"{self.size} processes can train together only on a mesh of all their devices: "
                "give fit the argument mesh=make_mesh()"
            )
        self._prefix, self._told = f"purejaxrl_ppo/{next(_TEAMS)}", 0

    def broadcast_value(self, value: T) -> T:
        """Process 0's value, which must survive JSON, in all processes; they wait for it however long it takes.

        Raises:
            ProcessLost: when one of them failed.
        """
        if self.size == 1:
            return value
        self._look_for_failure()
        self._told += 1
        if not self.leads:
            found: T = json.loads(self._wait_for(str(self._told)))
            return found
        self._client.key_value_set(f"{self._prefix}/{self._told}", json.dumps(value))
        if self._told > _KEPT:
            self._client.key_value_delete(f"{self._prefix}/{self._told - _KEPT}")
        return value

    def refuse_difference(self, run: dict[str, Any]) -> None:
        """Raises ValueError where this process was started with something else than process 0.

        run: a description of nested JSON values, the same in all processes.
        """
        if self.size == 1:
            return
        first = self.broadcast_value(run)
        here = json.loads(json.dumps(run))
        for name in first:
            if first[name] != here[name]:
                there, mine = first[name], here[name]
                if isinstance(there, dict) and isinstance(mine, dict):
                    name += ": " + ", ".join(k for k in sorted({*there, *mine}) if there.get(k) != mine.get(k))
                raise ValueError(
                    f"process {self.number} was started with something else than process 0 ({name}): all processes of "
                    "a run need the same command and the same data; runs of their own need no --coordinator, and under "
                    "SLURM a step each"
                )

    def any(self, flag: bool) -> bool:
        """Whether any process has ever raised the flag; the same answer in all of them."""
        if self.size > 1 and flag:
            self._client.key_value_set(f"{self._prefix}/flag", "raised", allow_overwrite=True)
        return self.broadcast_value(flag or (self.leads and self._note("flag") is not None))

    def broadcast_arrays(self, arrays: dict[str, Any]) -> dict[str, Any]:
        """Process 0's NumPy arrays, bit for bit, in all processes; the others give arrays of the same shapes."""
        if self.size == 1:
            return arrays
        from jax.experimental import multihost_utils

        # as bytes: JAX broadcasts by adding zeros, which would turn -0.0 into 0.0
        whole = np.concatenate([np.frombuffer(np.ascontiguousarray(x).tobytes(), np.uint8) for x in arrays.values()])
        whole = np.asarray(multihost_utils.broadcast_one_to_all(whole))
        ends = np.cumsum([x.nbytes for x in arrays.values()])
        parts = np.split(whole, ends[:-1])
        return {
            name: np.frombuffer(part.tobytes(), x.dtype).reshape(x.shape)
            for (name, x), part in zip(arrays.items(), parts, strict=True)
        }

    @contextlib.contextmanager
    def ending_together(self, how_to_go_on: str) -> Iterator[None]:
        """Tell the others when this process fails, and say what it means where this one ends because of them.

        Should the process be killed, from outside or by JAX because another one died, a small process that outlives it
        prints the sentence.

        Raises:
            ProcessLost: in place of what JAX raises where another process is gone.
        """
        if self.size == 1:
            yield
            return
        advice = f"start all {self.size} processes again: {how_to_go_on}"
        words = (
            f"process {self.number} of {self.size} was ended from outside, or by JAX because another process died or "
            f"was not heard of for {HEARTBEAT_SECONDS} s; {advice}"
        )
        # in a session of its own, so that Ctrl-C and the signals of a launcher leave it alone
        witness = subprocess.Popen(
            [sys.executable, "-c", _WITNESS, words], stdin=subprocess.PIPE, start_new_session=True
        )
        try:
            yield
        except ProcessLost as error:
            if (
                self.leads
            ):  # the notes go with process 0, and JAX ends the others: the one that failed has to speak first
                time.sleep(4 * _LOOK_MS / 1000)
            raise ProcessLost(str(error) if error.wrong_input else f"{error}; {advice}", error.wrong_input) from error
        except Exception as error:
            if _means_lost(error):
                raise ProcessLost(f"another process of this run has ended; {advice}") from error
            with contextlib.suppress(RuntimeError):
                why = {"why": f"process {self.number} failed ({error})", "wrong_input": isinstance(error, ValueError)}
                self._client.key_value_set(f"{self._prefix}/failed", json.dumps(why))
                time.sleep(3 * _LOOK_MS / 1000)  # until the others have looked: with process 0, what it said is gone
            raise
        finally:
            witness.communicate(b"ended by itself")

    @property
    def _client(self) -> Any:
        from jax._src import distributed  # no public face tells it

        return distributed.global_state.client

    def _wait_for(self, name: str) -> str:
        while True:
            try:
                return str(self._client.blocking_key_value_get(f"{self._prefix}/{name}", _LOOK_MS))
            except jax.errors.JaxRuntimeError as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise ProcessLost("process 0 of this run has ended") from error
            self._look_for_failure()

    def _look_for_failure(self) -> None:
        failure = self._note("failed")
        if failure is not None:
            raise ProcessLost(*json.loads(failure).values())

    def _note(self, name: str) -> str | None:
        if self.size == 1:
            return None
        try:
            return str(self._client.key_value_try_get(f"{self._prefix}/{name}"))
        except jax.errors.JaxRuntimeError as error:
            if "NOT_FOUND" in str(error):
                return None
            raise ProcessLost("process 0 of this run has ended") from error


def _means_lost(error: Exception) -> bool:
    """Whether JAX raised this because a message to or from another process failed."""
    signs = ("Gloo", "NCCL", "UNAVAILABLE", "CoordinationService")
    return isinstance(error, RuntimeError | ValueError) and any(sign in str(error) for sign in signs)
