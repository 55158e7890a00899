"""Plays the same random episodes on the JAX environment and on the reference, and compares every number."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax import TradingPhase1, TradingPhase2
from trading_gymnax.market import pack
from trading_gymnax.reference import ReferenceEnv
from trading_gymnax.reference_life import ReferenceLifeEnv, ReferenceLifeState

INFO = "equity_cents balance_cents trade_pnl_cents exit_reason done_reason invalid_action ambiguous_bar position"
INFO = [*INFO.split(), "market_id"]
LIFE_INFO = ["paid_out_cents", "fees_cents", "payouts", "funded"]


def random_params(rng: np.random.Generator, phase: int) -> dict[str, Any]:
    """Parameters from wide but sensible ranges; each rule is off in part of the draws. Floats are exact in float32."""

    def sometimes(chance: float, value: Any, otherwise: Any) -> Any:
        return value if rng.random() < chance else otherwise

    def real(low: float, high: float) -> float:
        return float(np.float32(rng.uniform(low, high)))

    params: dict[str, Any] = {
        "max_steps_in_episode": int(rng.integers(5, 450)),
        "initial_balance": float(rng.integers(5_000, 200_000)),
        "position_size": int(rng.integers(1, 4)) if rng.random() < 0.2 else 1,
        "risk_per_trade": sometimes(0.3, real(0, 3_000), 0.0),
        "max_contracts": int(rng.integers(1, 8)),
        "sl_atr_mult": real(0.1, 4),
        "tp_sl_ratio": real(0.1, 4),
        "min_stop_ticks": int(rng.integers(0, 12)),
        "slippage_ticks": int(rng.integers(0, 4)),
        "slippage_atr_mult": sometimes(0.3, real(0, 0.3), 0.0),
        "stop_slippage_ticks": int(rng.integers(0, 4)),
        "stop_slippage_atr_mult": sometimes(0.3, real(0, 0.3), 0.0),
        "target_through_ticks": int(rng.integers(0, 3)),
        "commission_per_side": float(rng.integers(0, 500)) / 100,
        "fill_at_close": bool(rng.random() < 0.4),
        "stop_first": bool(rng.random() < 0.5),
        "trailing_dd_limit": sometimes(0.8, real(50, 4_000), np.inf),
        "high_water_mode": int(rng.integers(0, 3)),
        "floor_lock": sometimes(0.4, real(0, 500), np.inf),
        "daily_loss_limit": sometimes(0.5, real(0, 1_500), np.inf),
        "daily_loss_fails": bool(rng.random() < 0.3),
        "profit_target": sometimes(0.4, real(0, 3_000), np.inf),
        "rth_open": sometimes(0.5, real(0, 24), 9.5),
        "rth_close": sometimes(0.4, real(10, 17.5), float(np.float32(16 + 59 / 60))),
        "terminate_at_session_end": bool(rng.random() < 0.5),
        "min_bars_left": int(rng.integers(0, 60)),
        "reward_scale": real(1, 1_000),
        "reward_realized": bool(rng.random() < 0.3),
        "pass_reward": sometimes(0.5, real(0, 5), 0.0),
        "violation_penalty": sometimes(0.5, real(0, 5), 0.0),
    }
    if phase == 2:
        params["trail_atr_mult"] = real(0.1, 3)
        params["be_min_profit_atr"] = sometimes(0.5, real(0, 2), 0.0)
        params["mask_no_ops"] = bool(rng.random() < 0.5)
    return params


def random_life(rng: np.random.Generator) -> dict[str, Any]:
    """Parameters of a whole life in short sessions: small goals, so that accounts pass and are paid."""

    def sometimes(chance: float, value: Any, otherwise: Any) -> Any:
        return value if rng.random() < chance else otherwise

    def real(low: float, high: float) -> float:
        return float(np.float32(rng.uniform(low, high)))

    def plan(low: float, high: float, length: int) -> list[float]:
        return [sometimes(0.7, real(low, high), np.inf) for _ in range(length)]

    opening = sometimes(0.8, 9.5, real(9, 15))
    params: dict[str, Any] = {
        "max_steps_in_episode": int(rng.integers(50, 450)),
        "rth_open": opening,
        "rth_close": sometimes(0.9, float(np.float32(opening + rng.integers(6, 40) / 60)), 16.5),
        "terminate_at_session_end": bool(rng.random() < 0.05),
        "profit_target": sometimes(0.9, real(0, 400), np.inf),
        "trailing_dd_limit": sometimes(0.8, real(200, 4_000), np.inf),
        "daily_loss_limit": sometimes(0.4, real(50, 1_500), np.inf),
        "daily_loss_fails": bool(rng.random() < 0.1),
        "session_limit": sometimes(0.2, int(rng.integers(1, 40)), 0),
        "funded_phase": bool(rng.random() < 0.9),
        "start_funded": bool(rng.random() < 0.3),
        "funded_trailing_dd_limit": sometimes(0.8, real(200, 4_000), np.inf),
        "funded_high_water_mode": int(rng.integers(0, 3)),
        "payout_buffer": sometimes(0.4, real(0, 300), 0.0),
        "payout_minimum": sometimes(0.5, real(0.01, 200), 0.01),
        "payout_share": sometimes(0.5, real(0, 1), 1.0),
        "payout_cap": plan(1, 500, 6),
        "payout_split": real(0, 1),
        "payout_floor": sometimes(0.4, real(-500, 100), np.inf),
        "payouts_at_most": sometimes(0.3, int(rng.integers(1, 4)), 0),
    }
    params |= {f"{name}_fee": sometimes(0.7, real(0, 200), 0.0) for name in ("evaluation", "monthly", "activation")}
    for prefix in ("", "funded_"):
        params |= {
            f"{prefix}floor_lock": sometimes(0.4, real(-500, 500), np.inf),
            f"{prefix}contract_limit": sometimes(0.5, int(rng.integers(1, 4)), 0),
            f"{prefix}scaling_profit": plan(-300, 500, 4),
            f"{prefix}scaling_contracts": rng.integers(1, 5, 4).tolist(),
        }
    params["funded_daily_loss_limit"] = sometimes(0.4, real(50, 1_500), np.inf)
    params["funded_daily_loss_fails"] = bool(rng.random() < 0.1)
    for prefix in ("", "payout_"):
        params |= {
            f"{prefix}minimum_days": sometimes(0.3, int(rng.integers(1, 4)), 0),
            f"{prefix}winning_days": sometimes(0.3, int(rng.integers(1, 3)), 0),
            f"{prefix}winning_day_profit": sometimes(0.5, real(0.01, 100), 0.01),
            f"{prefix}consistency": sometimes(0.3, real(0.2, 1), np.inf),
            f"{prefix}consistency_of_wins": bool(rng.random() < 0.5),
        }
    return params


def in_reference(name: str) -> bool:
    """Whether the reference's state has that field too."""
    return name in {f.name for f in dataclasses.fields(ReferenceLifeState)}


class Parity:
    """One set of markets under both implementations."""

    def __init__(self, tables: list[Any], phase: int, num_steps: int, life: bool = False, **shape: Any) -> None:
        self.phase, self.num_steps, self.life = phase, num_steps, life
        self.env = (TradingPhase1 if phase == 1 else TradingPhase2)(pack(tables), account_life=life, **shape)
        self.params = self.env.default_params
        self.reference = (ReferenceLifeEnv if life else ReferenceEnv)(tables, phase=phase, **shape)
        self.info = INFO + LIFE_INFO * life
        self.state_names = [f.name for f in dataclasses.fields(self.env.State) if in_reference(f.name)]
        mapped = dict.fromkeys(self._draw(np.random.default_rng(0)), 0)
        axes = {f.name: mapped.get(f.name) for f in dataclasses.fields(self.params)}
        in_axes = type(self.params)(**axes)
        self._play = jax.jit(jax.vmap(self._episode, in_axes=(0, in_axes, in_axes, 0, 0, 0, 0)))

    def _draw(self, rng: np.random.Generator) -> dict[str, Any]:
        return random_params(rng, self.phase) | (random_life(rng) if self.life else {})

    def _episode(self, key: Any, early: Any, late: Any, switch: Any, market_id: Any, bar: Any, forced: Any) -> Any:
        """`num_steps` steps of random actions, four in five legal; the parameters change at step `switch`."""
        obs, state = self.env._reset_at(early, market_id, bar)
        state = state.replace(forced_side=forced)
        hold_share, legal_share = jax.random.uniform(key, (2,)) * jnp.array([0.9, 0.4]) + jnp.array([0.0, 0.6])
        num_actions = self.env.num_actions

        def step(state: Any, key: Any) -> Any:
            bare = [dataclasses.replace(params, market=None) for params in (early, late)]
            params = jax.tree.map(lambda a, b: jnp.where(state.time < switch, a, b), *bare)
            params = dataclasses.replace(params, market=early.market)
            mask = self.env.action_mask(state, params)
            keys = jax.random.split(key, 4)
            action = jax.random.categorical(keys[0], jnp.where(mask, 0.0, -1e9))
            action = jnp.where(jax.random.uniform(keys[1]) < hold_share, 0, action)
            wild = jax.random.randint(keys[2], (), -2, num_actions + 2)
            action = jnp.where(jax.random.uniform(keys[3]) < legal_share, action, wild)
            obs, after, reward, terminated, info = self.env.step_env(key, state, action, params)
            truncated = self.env.is_truncated(after, params)
            return after, (mask, action, obs, after, reward, terminated, truncated, info)

        return (obs, state), jax.lax.scan(step, state, jax.random.split(key, self.num_steps))[1]

    def check(self, seed: int, num_episodes: int) -> int:
        """Compare `num_episodes` episodes; returns the number of steps compared. A failure names seed and step."""
        rng = np.random.default_rng(seed)
        early = [self._draw(rng) for _ in range(num_episodes)]
        late = [self._draw(rng) if rng.random() < 0.3 else p for p in early]
        late = [{**b, "max_steps_in_episode": a["max_steps_in_episode"]} for a, b in zip(early, late, strict=True)]
        switch = rng.integers(1, 100, num_episodes)
        starts = [self._start(rng, p) for p in early]
        forced = np.where(rng.random(num_episodes) < 0.2, rng.choice([-1, 1], num_episodes), 0)
        keys = jax.random.split(jax.random.key(seed), num_episodes)
        columns = np.array(starts, np.int32).T
        first, played = self._play(
            keys,
            self._batch(early),
            self._batch(late),
            jnp.asarray(switch, jnp.int32),
            *map(jnp.asarray, columns),
            jnp.asarray(forced, jnp.int32),
        )
        first, played = jax.tree.map(np.asarray, (first, played))
        steps = 0
        for i in range(num_episodes):
            where = f"seed {seed}, episode {i}, market {starts[i][0]}, bar {starts[i][1]}, switch {switch[i]}"
            episode = jax.tree.map(lambda x, i=i: x[i], played)
            steps += self._replay(
                where, early[i], late[i], int(switch[i]), starts[i], int(forced[i]), first[0][i], episode
            )
        return steps

    def _start(self, rng: np.random.Generator, params: dict[str, Any]) -> tuple[int, int]:
        """Mostly a bar where entry is allowed, sometimes any bar of the table."""
        reference = self.reference
        reference.params = dataclasses.replace(reference.params, **params)
        market_id = int(rng.integers(len(reference.markets)))
        usable = reference.usable_sessions(market_id)
        if usable and rng.random() < 0.8:
            return market_id, int(rng.choice(reference.decision_bars(market_id, int(rng.choice(usable)))))
        last = len(reference.markets[market_id].close) - 2
        return market_id, int(rng.integers(max(390, last - 600) if rng.random() < 0.3 else 390, last + 1))

    def _batch(self, draws: list[dict[str, Any]]) -> Any:
        dtypes = {f.name: f.metadata.get("dtype") for f in dataclasses.fields(self.params)}
        fields = {name: jnp.asarray(np.array([p[name] for p in draws]), dtypes[name]) for name in draws[0]}
        markets = self.params.market.num_markets
        for name in ("commission_per_side", "reward_scale"):
            fields[name] = jnp.broadcast_to(fields[name][:, None], (len(draws), markets))
        return dataclasses.replace(self.params, **fields)

    def _replay(
        self,
        where: str,
        early: dict[str, Any],
        late: dict[str, Any],
        switch: int,
        start: tuple[int, int],
        forced: int,
        first_obs: np.ndarray,
        episode: Any,
    ) -> int:
        masks, actions, obs, states, rewards, terminated, truncated, info = episode
        reference, seen = self.reference, []
        reference.params = dataclasses.replace(reference.params, **early)
        zeroth, said = reference.reset(options={"market_id": start[0], "bar": start[1], "forced_side": forced})
        mask = said["action_mask"]
        for t in range(self.num_steps):
            if t == switch:
                reference.params = dataclasses.replace(reference.params, **late)
                mask = reference.action_masks()
            now, reward, term, trunc, said = reference.step(int(actions[t]))
            account = [int(getattr(reference.state, name)) for name in self.state_names]
            seen.append((now, [reward], mask, [term, trunc, *(said[name] for name in self.info)], account))
            mask = said["action_mask"]
            if term or trunc:
                break
        count = len(seen)
        theirs = [np.array(column) for column in zip(*seen, strict=True)]
        ends_and_info = [terminated, truncated, *(info[name] for name in self.info)]
        account = [getattr(states, name) for name in self.state_names]
        mine = [obs, rewards[:, None], masks, np.stack(ends_and_info, 1), np.stack(account, 1)]
        obs_names, actions_text = [str(i) for i in range(obs.shape[1])], f"actions {actions[:count].tolist()}"
        names = [obs_names, ["reward"], obs_names, ["terminated", "truncated", *self.info], self.state_names]
        np.testing.assert_allclose(first_obs, zeroth, rtol=1e-5, atol=1e-5, err_msg=f"{where}: first observation")
        for kind in (2, 3, 4, 1, 0):
            ours = mine[kind][:count]
            close = np.isclose(ours, theirs[kind], rtol=1e-5, atol=1e-5) if kind < 2 else ours == theirs[kind]
            if not close.all():
                t, column = np.argwhere(~close)[0]
                pair = f"{ours[t, column]} is not the reference's {theirs[kind][t, column]}"
                raise AssertionError(f"{where}, step {t}: {names[kind][column]} {pair}; {actions_text}")
        return count
