"""`TradingPhase1`: when to enter. The market as a gymnax environment."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from trading_gymnax import life, observation, rules, sizes, starts
from trading_gymnax.arguments import check_reset, check_step, one_reward
from trading_gymnax.data.contracts import check_switch
from trading_gymnax.limits import checked_sizes
from trading_gymnax.market import (
    CLOCK_COLUMNS,
    FIRST_DECISION,
    FIRST_FINITE,
    LOADER_OPTIONS,
    Bar,
    MarketData,
    load_market_data,
    of_market,
    pair_of_bars,
    session_hours,
)
from trading_gymnax.packed import PackedState, is_flag, pack, packable, unpack
from trading_gymnax.params import EnvParams, PreparedParams, check_usable
from trading_gymnax.params_life import EnvParamsLife
from trading_gymnax.restarts import of_many, restart
from trading_gymnax.text import check_names

_BOUND = 1e30  # of the observation space: finite, so that it can be sampled


@packable("day_over", "terminated", "data_end")
@struct.dataclass
class EnvState(environment.EnvState):
    """One account. Scalars; prices in ticks, money in cents, both int32. Position fields are 0 when flat."""

    time: jax.Array  # steps since reset, int32
    step_idx: jax.Array  # decision bar: index in its market's table, int32
    market_id: jax.Array  # int32
    position: jax.Array  # side: +1 long, -1 short, 0 flat, int32
    contracts: jax.Array  # int32
    entry_price: jax.Array  # ticks, int32
    sl_price: jax.Array  # stop, ticks, int32
    tp_price: jax.Array  # target, ticks, int32
    initial_stop_ticks: jax.Array  # distance from fill to first stop, ticks, int32
    position_entry_step: jax.Array  # first bar that the position lived through, int32
    entry_balance: jax.Array  # balance before the entry's commission, cents, int32
    initial_balance: jax.Array  # latched at reset, cents, int32
    trailing_limit: jax.Array  # latched at reset, cents, int32; `rules.OFF` when off
    balance: jax.Array  # cents, int32
    equity: jax.Array  # balance + open profit at the close of the decision bar, cents, int32
    high_water_mark: jax.Array  # cents, int32
    floor: jax.Array  # equity below it is a breach, cents, int32
    session_start_equity: jax.Array  # cents, int32
    session_number: jax.Array  # sessions of the episode so far, from 1, int32
    day_over: jax.Array  # the daily limit ended this day, bool
    forced_side: jax.Array  # only entry that the first mask allows, 0 for any, int32
    num_trades: jax.Array  # closed round trips, int32
    winning_trades: jax.Array  # of those, net profit > 0, int32
    terminated: jax.Array  # bool
    data_end: jax.Array  # no bar, or no usable session, is left in the view, bool

    def position_fields(self) -> dict[str, jax.Array]:
        """The fields that are 0 when flat, by name."""
        return {name: getattr(self, name) for name in _POSITION_FIELDS}


_POSITION_FIELDS = (
    *("position", "contracts", "entry_price", "sl_price", "tp_price"),
    *("initial_stop_ticks", "position_entry_step", "entry_balance"),
)


@packable("funded")
@struct.dataclass
class EnvStateLife(life.LifeFields, EnvState):
    """The account with `account_life=True`: the fields of the market's account, and those of its life behind them."""


class TradingPhase1(environment.Environment[EnvState, EnvParams]):
    """Day trading of index futures, phase 1: choose when to enter; an ATR stop and target, or the close, get out.

    Actions: 0 HOLD, 1 BUY, 2 SELL. An illegal action acts as HOLD and sets `info["invalid_action"]`;
    `action_mask(state, params)` tells which are legal. One step plays one bar: the order is given at the close of the
    decision bar and fills at the open of the next one, made worse by slippage.

    Observation, float32 [window * (num_features + 3) + 5], 225 by default:

    | index | meaning | unit |
    |---|---|---|
    | 11 b + 0..7 | market features of the b-th of the last 20 bars, oldest first | see docs/rules.md, section 5.2 |
    | 11 b + 8 | New York hour of the bar's close / 24 | |
    | 11 b + 9 | minutes since rth_open / 390, negative before it | |
    | 11 b + 10 | minutes to must-flat / 390 | |
    | 220 | side: +1 long, -1 short, 0 flat | |
    | 221 | open profit at the close of the decision bar | ATR |
    | 222 | close to stop, positive while the stop is on the worse side | ATR |
    | 223 | close to target, positive while the target is on the better side | ATR |
    | 224 | bars held / 390, the entry bar counted | |

    220 to 224 are 0 when flat; ATR is floored at one tick. `account_features=True` appends four: equity above the floor
    / trailing limit, distance to the profit target / target, distance to the daily limit / limit (each 0 where the rule
    is off), number of the session in the episode / 30 (the first is 1). `account_life=True` makes an episode the whole
    life of an account, evaluation, funded account and payouts (docs/rules.md, section 9), and appends ten more behind
    those four. `entry_sizes=(1, 2, 4)` adds a BUY and a SELL of each further size behind the other actions, and to the
    observation the contracts held, relative to the largest size. `market_one_hot=True` appends at the very end one
    number a market: 1 for the state's market, 0 for the others.

    Reward: change of equity in units of the market's reward scale (by default its median ordinary stop), so that the
    rewards of an episode add up to its net profit. `reward_fn(before, after, fill, params) -> float32` replaces it.

    Ends: terminated by DRAWDOWN, DAILY_LOSS, PROFIT_TARGET or SESSION_END, truncated by TIME_LIMIT or DATA_END; codes
    in `info["done_reason"]`. Often asked (docs/rules.md, sections 2 to 4):
    - sessions are usable, and starts are drawn, under the hours of the present parameters;
    - the size of an order and a forced side restrict the mask, not where episodes start;
    - a random start leaves `min_bars_left` bars of the data before must-flat; a session too short for that starts at
      its first entry-allowed bar; none starts at the last bar that a session has;
    - HOLD is illegal, too, at the first decision of a forced start;
    - the last bar of the table does not force a position flat: the episode is truncated with it open;
    - a session's number counts from 1, and bars held from the entry bar on.

    `params=None` takes `default_params` as gymnax promises, which bakes the whole market into the compiled program:
    pass the params for anything but a quick look.
    """

    Params: type[EnvParams] = EnvParams
    State: type[EnvState] = EnvState
    LifeParams: type[EnvParams] = EnvParamsLife  # these two take their place with account_life=True
    LifeState: type[EnvState] = EnvStateLife
    action_names: tuple[str, ...] = ("HOLD", "BUY", "SELL")
    plays_in_kernel = True  # the rules of this very class are arithmetic on numbers (`one_kernel`); not inherited
    manages_stops = False  # phase 2 has actions and fields of the state for that
    observation_from_state = True  # `observe` reads state and params alone, and gives what `reset` and `step` return

    def __init__(
        self,
        data: Any = None,
        market: Any = None,
        *,
        window: int = 20,
        account_features: bool = False,
        account_life: bool = False,
        market_one_hot: bool = False,
        entry_sizes: Sequence[int] | None = None,
        reward_fn: Callable[..., jax.Array] | None = None,
        **options: Any,
    ) -> None:
        """Build the environment and its default parameters.

        data: a `MarketData`, anything that `load_market_data` reads, a dict {symbol: source}, or None for the built-in
            synthetic market. market: symbol or ContractSpec of a single source. window: bars in the observation.
        account_features: append the room to each rule of the account. account_life: evaluation, funded account and
            payouts, with parameters and fields of the state for them.
        market_one_hot: append which of the markets it is, one number each (contracts of a market count as one).
        entry_sizes: sizes that an entry chooses from, in multiples of `position_size`, the smallest first: (1, 2, 4)
            say. None: every entry has `position_size` contracts, or those that its risk allows.
        options: those of the loader, and fields of `EnvParams` that change the defaults.
        Raises ValueError for anything that does not fit.
        """
        if isinstance(window, bool) or not isinstance(window, int) or not 1 <= window <= rules.MAX_WINDOW:
            raise ValueError(f"window is the number of bars seen, from 1 to {rules.MAX_WINDOW}; got {window!r}")
        check_switch("account_features", account_features)
        check_switch("account_life", account_life)
        check_switch("market_one_hot", market_one_hot)
        if reward_fn is not None and not callable(reward_fn):
            raise ValueError(f"reward_fn must be a function such as those of trading_gymnax.rewards, got {reward_fn!r}")
        self.window = window
        self.account_features = bool(account_features)
        self.account_life = bool(account_life)
        self.entry_sizes = checked_sizes(entry_sizes)
        self.action_names = (*type(self).action_names, *sizes.names(self.entry_sizes))
        if account_life:
            self.Params, self.State = self.LifeParams, self.LifeState
        self.reward_fn = reward_fn
        fields = {name: options.pop(name) for name in list(options) if name in self.Params.__dataclass_fields__}
        check_names(options, [*LOADER_OPTIONS, *self.Params.__dataclass_fields__], f"{self.name} has no option")
        table = _market_data(data, market, options)
        self.num_features = table.num_features
        self.num_one_hot = len(set(table.roots)) if market_one_hot else 0
        rth = {"rth_open": table.rth[0], "rth_close": table.rth[1]}
        self._default_params = self.Params.create(table, **{**rth, **fields})
        check_usable(self._default_params, window)
        if self.entry_sizes:  # the largest order must be counted exactly, too
            self._default_params.replace(position_size=self._default_params.position_size * self.entry_sizes[-1])

    def __repr__(self) -> str:
        """Market, size of the observation and actions, in a line."""
        market, actions = self._default_params.market, ", ".join(self.action_names)
        return f"{type(self).__name__}({market!r}, observation {self.obs_shape}, actions {actions})"

    # -- gymnax interface --

    @property
    def default_params(self) -> EnvParams:
        """Parameters with the market that the environment was made with."""
        return self._default_params

    @property
    def name(self) -> str:
        """Registered id."""
        return f"{type(self).__name__}-v0"

    @property
    def num_actions(self) -> int:
        """Number of actions."""
        return len(self.action_names)

    @property
    def action_variants(self) -> dict[int, int]:
        """Entries of further sizes -> the entry of the first size on the same side, by number; for warm starts."""
        first = len(type(self).action_names)
        return {action: rules.BUY + (action - first) % 2 for action in range(first, self.num_actions)}

    @property
    def entry_sides(self) -> dict[int, int]:
        """Actions that enter -> their side, +1 long and -1 short, by number."""
        side = {rules.BUY: 1, rules.SELL: -1}
        return side | {action: side[like] for action, like in self.action_variants.items()}

    @property
    def obs_shape(self) -> tuple[int]:
        """Shape of the observation."""
        size = self.window * (self.num_features + CLOCK_COLUMNS) + self.num_position_features
        account = 4 + life.NUM_FEATURES * self.account_life if self.account_features else 0
        return (size + account + bool(self.entry_sizes) + self.num_one_hot,)

    @property
    def num_position_features(self) -> int:
        """Numbers about the position behind the window."""
        return 5

    def action_space(self, params: EnvParams | None = None) -> spaces.Discrete:
        """One of `action_names`."""
        return spaces.Discrete(self.num_actions)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """A flat vector, see the class."""
        return spaces.Box(-_BOUND, _BOUND, self.obs_shape, jnp.float32)

    def state_space(self, params: EnvParams) -> spaces.Dict:
        """Every field of the state: integers as whole numbers in the range of int32, flags as 0 or 1."""
        limits = jnp.iinfo(jnp.int32)
        whole, either = spaces.Box(limits.min, limits.max, (), jnp.int32), spaces.Discrete(2)
        names = [field.name for field in dataclasses.fields(self.State)]
        return spaces.Dict({name: either if is_flag(self.State, name) else whole for name in names})

    @functools.cached_property
    def _without_market(self) -> TradingPhase1:
        """A copy without default parameters: JAX's caches keep what a compiled method belongs to, bars and all."""
        bare = copy.copy(self)
        bare.__dict__.pop("_default_params", None)
        return bare

    def reset(self, key: jax.Array, params: EnvParams | None = None) -> tuple[jax.Array, EnvState]:
        """Observation and state of a fresh account, compiled."""
        params = self.default_params if params is None else params
        return environment.Environment.reset(self._without_market, key, params)

    def step(
        self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams | None = None
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """One bar, then a fresh start where the episode ended: what gymnax's own `step` returns, for less work.

        The state that goes on is chosen first and one observation is built from it; the observation before the reset
        stands in `info["final_observation"]` and costs nothing when nobody reads it.
        """
        return self._without_market._step(key, state, action, self.default_params if params is None else params)

    @functools.partial(jax.jit, static_argnames=("self",))
    def _step(
        self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        check_step(key, state, action, params, self.State)
        if self._has_kernel and isinstance(state, PackedState) and jax.default_backend() == "gpu":
            return of_many(self._step_alone, self._step_together)(key, state, action, params)
        return self._step_alone(key, state, action, params)

    def _step_alone(
        self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        after, reward, terminated, info = self._transition(state, action, params)
        truncated = self.is_truncated(after, params)
        account = restart(self._restarted, key, terminated | truncated, after, params)
        # Without the barrier a GPU's compiler may play the rules anew for each of the observation's numbers, and make
        # those of the account anew for each of the window's.
        account, numbers = jax.lax.optimization_barrier((account, list(self._account_numbers(account, params))))
        final = self._observation(after, params)
        info = {**info, "terminated": terminated, "truncated": truncated, "final_observation": final}
        obs = observation.joined(observation.market_window(account, params, self.window), jnp.stack(numbers))
        return obs, pack(account), reward, terminated, truncated, info

    @property
    def _has_kernel(self) -> bool:
        """Whether `_play` and `_new_account` are arithmetic on numbers, which a kernel of our own can do."""
        plain = not (self.account_life or self.entry_sizes or self.reward_fn)
        return plain and vars(type(self)).get("plays_in_kernel", False)

    def _step_together(
        self, key: jax.Array, state: PackedState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, PackedState, jax.Array, jax.Array, jax.Array]:
        """`_step_alone` of accounts [N] by one kernel for the rules, without `info`."""
        from trading_gymnax import one_kernel  # only a GPU needs Pallas

        def legal(state: Any, action: jax.Array) -> jax.Array:
            return rules.enforce_legality(action, self.action_mask(state, params))[0]

        scale = of_market(self._all_terms(params).reward_scale, state.market_id)
        # Both at once: nothing may read the states once the kernel writes the new ones in their place.
        action, scale = jax.lax.optimization_barrier((jax.vmap(legal)(state, action), scale))
        words = jax.random.key_data(key)
        plain = params.params if isinstance(params, PreparedParams) else params
        account = one_kernel.Account(self.State, self._outcome, lambda params, start: self._new_account(params, *start))
        market = params.market
        tables = one_kernel.Tables(market.bars, market.num_bars, self._plan(params), self._all_terms(params))
        row, found = one_kernel.step(account, state.row, action, (words[:, 0], words[:, 1]), tables, plain)
        state = PackedState(row, self.State)
        reward = rules.reward_of(found.change, found.done_reason, scale, params)
        shown = jax.vmap(lambda state: list(self._account_numbers(state, params)))(state)
        shown = jax.lax.optimization_barrier(shown)  # as in `_step_alone`
        window = jax.vmap(lambda state: observation.market_window(state, params, self.window))(state)
        obs = jax.vmap(observation.joined)(window, jnp.stack(shown, axis=1))
        return obs, state, reward, found.terminated, found.truncated

    def _outcome(self, state: EnvState, action: jax.Array, seen: rules.Seen, params: EnvParams) -> Any:
        """The state after a bar, and `one_kernel.Outcome`."""
        from trading_gymnax.one_kernel import Outcome

        after, fill = self._play(state, action, None, seen, params)
        change = rules.profit(state, after, params)
        return after, Outcome(change, fill.done_reason, after.terminated, self.is_truncated(after, params))

    def step_env(
        self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[str, jax.Array]]:
        """One bar without auto-reset, as gymnax's stock `step` calls it; the market needs no randomness."""
        check_step(key, state, action, params, self.State)
        after, reward, terminated, info = self._transition(state, action, params)
        return self._observation(after, params), pack(after), reward, terminated, info

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, EnvState]:
        """A fresh account, flat, at a start drawn by docs/rules.md, section 2.5."""
        check_reset(key, params)
        state = pack(self._fresh_account(key, params))
        return self._observation(state, params), state

    @functools.partial(jax.jit, static_argnames=("self",))
    def _reset_at(self, params: EnvParams, market_id: jax.Array, bar: jax.Array) -> tuple[jax.Array, EnvState]:
        state = self._new_account(params, market_id, bar, jnp.int32(0))
        return self._observation(state, params), pack(state)

    def reset_at(self, params: EnvParams, market_id: Any, bar: Any) -> tuple[jax.Array, EnvState]:
        """Observation and state of a fresh account whose first decision bar is `bar` of that market.

        Raises ValueError for a bar of the warm-up, one whose window lacks features, and the last bar (traced values are
        not checked).
        """
        market = params.market
        if not any(isinstance(x, jax.core.Tracer) for x in (bar, market_id, market.sessions)):
            m = int(market_id)
            if not 0 <= m < market.num_markets:
                raise ValueError(f"market_id {m} is not one of the {market.num_markets} markets")
            rows = np.asarray(market.sessions[m, 0])
            first = max(int(rows[FIRST_DECISION]), int(rows[FIRST_FINITE]) + self.window - 1)
            last = int(market.num_bars[m]) - 2
            if not first <= int(bar) <= last:
                raise ValueError(f"bar {int(bar)} cannot be a decision bar: choose one from {first} to {last}")
        return self._without_market._reset_at(params, jnp.asarray(market_id, jnp.int32), jnp.asarray(bar, jnp.int32))

    def observe(self, key: Any, state: EnvState, action: Any, params: EnvParams) -> jax.Array:
        """Observation of a state, float32 `obs_shape`; a function of state and params alone."""
        return self._observation(state, params)

    def get_obs(self, state: EnvState, params: EnvParams | None = None, key: Any = None) -> jax.Array:
        """gymnax's older name of `observe`."""
        return self._observation(state, self.default_params if params is None else params)

    def prepared(self, params: EnvParams) -> Any:
        """`params` for a loop of steps, a `PreparedParams`: what depends on them alone is computed only once.

        Every method takes either and gives the same numbers. Neither JAX nor the compiler takes anything out of a
        `scan` on a GPU, where each small computation costs as much as a large one. Of one set of parameters, not of a
        batch of different ones: each set has a tape of its own, as large as the market's features. Prepared ones stay
        as they are.
        """
        if isinstance(params, PreparedParams):
            return params
        return PreparedParams(params, self._plan(params), self._all_terms(params), observation.market_tape(params))

    def is_truncated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """The time limit is reached, or the view holds nothing more to trade."""
        return (state.time >= params.max_steps_in_episode) | state.data_end

    def is_terminated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """The step that led to this state ended the episode by a rule of the account or the session."""
        return state.terminated

    def action_mask(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Legal actions at the state's decision bar, bool [num_actions]."""
        params = self._in_force(state, params)
        now, _ = pair_of_bars(params.market, state.market_id, state.step_idx)
        return self._legal(state, now, self._terms(state.market_id, params), params)[0]

    def order_contracts(self, state: EnvState, action: jax.Array, params: EnvParams) -> jax.Array:
        """Contracts of the order that a legal entry gives at the state's decision bar, int32; BUY's for no entry."""
        params = self._in_force(state, params)
        now, _ = pair_of_bars(params.market, state.market_id, state.step_idx)
        terms = self._terms(state.market_id, params)
        offered = self._legal(state, now, terms, params)[1]
        if offered is None:
            return rules.position_contracts(now, terms, params)
        return sizes.ordinary_action(action, len(type(self).action_names), offered)[1]

    def render(self, state: EnvState, params: EnvParams) -> np.ndarray:
        """Picture of the last `window` bars with position, stop and target: RGB, uint8 [450, 800, 3]."""
        from trading_gymnax.render import render  # only who looks needs matplotlib

        return render(state, params, self.window)

    def __deepcopy__(self, memo: dict[int, Any]) -> TradingPhase1:
        """A second environment that shares the arrays, which nothing can change."""
        return copy.copy(self)

    # -- the rules, in their order --

    def play(self, state: EnvState, action: jax.Array, params: EnvParams) -> tuple[EnvState, jax.Array, rules.Fill]:
        """From a decision bar over its outcome bar to the next one, without auto-reset (docs/rules.md, section 3).

        Returns the state (its `terminated` and `data_end` say how it ended), the reward float32, and what happened to
        the position.
        """
        state = unpack(state)
        params = self._in_force(state, params)
        seen = self._seen(state, params)
        mask, offered = self._legal(state, seen.now, seen.terms, params)
        action, invalid = rules.enforce_legality(action, mask)
        contracts = None
        if offered is not None:
            action, contracts = sizes.ordinary_action(action, len(type(self).action_names), offered)
        after, fill = self._play(state, action, contracts, seen, params)
        fill = fill._replace(invalid=invalid)
        return after, self._reward(state, after, fill, seen.terms, params), fill

    def _play(
        self, state: EnvState, action: jax.Array, contracts: jax.Array | None, seen: rules.Seen, params: EnvParams
    ) -> tuple[EnvState, rules.Fill]:
        """`play` of a legal action, by what was looked up. All of it is arithmetic on numbers (`one_kernel`)."""
        before, now, bar, terms = state, seen.now, seen.bar, seen.terms
        state = self._manage_stop(state, action, now, params)
        state, entered = rules.enter(state, action, now, bar, terms, params, contracts)
        state = self._note_entry(state, entered)
        balance_in_bar = state.balance
        fill = rules.play_bar(state, now, bar, terms, params, self._stop_reason(state))
        fill = fill._replace(entered=entered)
        state, fill = rules.settle(state, fill, terms)
        state = rules.mark_to_market(state, bar, terms)
        state = rules.raise_floor(state, fill, balance_in_bar, terms, params)
        state, fill, breached = rules.close_breach(state, fill, now, bar, terms, params)
        state = self._trail(state, bar, params)
        reached = rules.daily_limit_reached(state, fill, params)
        state, done_reason, day_over = self._end_of_step(state, breached, reached, fill.must_flat, params)
        done_reason = jnp.where(before.data_end, rules.DoneReason.NONE, done_reason)  # nothing was there to trade
        state = self._next_decision(state, seen, done_reason != 0, reached, day_over)
        over_time = state.time >= params.max_steps_in_episode
        return state, fill._replace(done_reason=rules.truncation_reason(done_reason, over_time, state.data_end))

    def _transition(
        self, state: EnvState, action: jax.Array, params: EnvParams
    ) -> tuple[EnvState, jax.Array, jax.Array, dict[str, jax.Array]]:
        state, reward, fill = self.play(state, action, params)
        return state, reward, state.terminated, self._info(state, fill)

    def _in_force(self, state: EnvState, params: EnvParams) -> EnvParams:
        """The parameters as they count for this account now: a life has phases."""
        return life.in_force(state, params) if self.account_life else params

    def _legal(
        self, state: EnvState, now: Bar, terms: rules.Terms, params: EnvParams
    ) -> tuple[jax.Array, jax.Array | None]:
        """The mask, and contracts of each size where an entry chooses its size; `params` are those in force."""
        mask = self._mask(state, now, terms, params)
        if not self.entry_sizes:
            return mask, None
        limit = life.contracts_allowed(state, params) if self.account_life else None
        offered = sizes.contracts_offered(now, terms, params, self.entry_sizes, limit)
        return sizes.mask_with_sizes(mask, offered), offered

    def _mask(self, state: EnvState, now: Bar, terms: rules.Terms, params: EnvParams) -> jax.Array:
        return rules.entry_mask(state, now, terms, params)

    def _manage_stop(self, state: EnvState, action: jax.Array, now: Bar, params: EnvParams) -> EnvState:
        """Phase 2 moves stops here."""
        return state

    def _note_entry(self, state: EnvState, entered: jax.Array) -> EnvState:
        """Phase 2 remembers the first stop here."""
        return state

    def _stop_reason(self, state: EnvState) -> jax.Array:
        """Exit reason of a stop that is hit."""
        return jnp.int32(rules.ExitReason.STOP)

    def _trail(self, state: EnvState, bar: Bar, params: EnvParams) -> EnvState:
        """Phase 2 trails the stop here."""
        return state

    def _end_of_step(
        self, state: EnvState, breached: jax.Array, reached: jax.Array, must_flat: jax.Array, params: EnvParams
    ) -> tuple[EnvState, jax.Array, jax.Array]:
        """What a life books, the reason that terminates the episode, and whether the day is over but for the limit."""
        if self.account_life:
            return life.end_of_step(state, breached, reached, must_flat, state.data_end, params)
        return state, rules.termination(state, breached, reached, must_flat, params), must_flat

    def _reward(
        self, before: EnvState, after: EnvState, fill: rules.Fill, terms: rules.Terms, params: EnvParams
    ) -> jax.Array:
        if self.reward_fn is not None:
            return one_reward(self.reward_fn(before, after, fill, params))
        return rules.profit_reward(before, after, fill, terms.reward_scale, params)

    def _next_decision(
        self,
        state: EnvState,
        seen: rules.Seen,
        terminated: jax.Array,
        limit_reached: jax.Array,
        day_over: jax.Array,
    ) -> EnvState:
        """Go on at the outcome bar, or sleep until the next usable session of the view."""
        played = state.step_idx + 1
        night = (day_over | limit_reached) & ~terminated
        sleeps = night & (seen.next_start >= 0)
        table_ends = played + 1 >= seen.num_bars
        return state.replace(
            time=state.time + 1,
            step_idx=jnp.where(sleeps, seen.next_start, played),
            session_start_equity=jnp.where(sleeps, state.equity, state.session_start_equity),
            session_number=state.session_number + sleeps.astype(jnp.int32),
            day_over=limit_reached & ~sleeps,
            terminated=terminated,
            data_end=state.data_end | (table_ends & ~sleeps) | (night & ~sleeps),
        )

    def _info(self, state: EnvState, fill: rules.Fill) -> dict[str, jax.Array]:
        """docs/rules.md, section 7: scalars of fixed type, so that they can be stacked under scan."""
        money = {"equity": state.equity, "balance": state.balance, "trade_pnl": fill.trade_pnl}
        of_life = life.info(state) if self.account_life else {}
        return {
            **{name: value.astype(jnp.float32) / 100 for name, value in money.items()},
            **{f"{name}_cents": value for name, value in money.items()},
            "exit_reason": fill.exit_reason,
            "done_reason": fill.done_reason,
            "invalid_action": fill.invalid,
            "ambiguous_bar": fill.ambiguous,
            "position": state.position,
            "market_id": state.market_id,
            **of_life,
        }

    def _seen(self, state: EnvState, params: EnvParams) -> rules.Seen:
        now, bar = pair_of_bars(params.market, state.market_id, state.step_idx)
        next_start = of_market(self._plan(params).next_start, state.market_id)[bar.session]
        num_bars = of_market(params.market.num_bars, state.market_id)
        return rules.Seen(now, bar, self._terms(state.market_id, params), next_start, num_bars)

    def _terms(self, market_id: jax.Array, params: EnvParams) -> rules.Terms:
        return jax.tree.map(lambda values: of_market(values, market_id), self._all_terms(params))

    def _all_terms(self, params: EnvParams) -> rules.Terms:
        """Those of every market, [M] each."""
        if isinstance(params, PreparedParams):
            return params.terms
        market = params.market
        opening, closing = session_hours(params.rth_open, params.rth_close, market.session_start_minute)
        return rules.Terms(
            tick_cents=market.tick_cents,
            commission=rules.cents(params.commission_per_side),
            open_minute=opening,
            close_minute=closing,
            bar_minutes=market.bar_minutes,
            reward_scale=params.reward_scale,
            risk_ticks=rules.floor_div(rules.cents(params.risk_per_trade), market.tick_cents),
        )

    # -- starts (section 2) --

    def _fresh_account(self, key: jax.Array, params: EnvParams) -> EnvState:
        return self._new_account(params, *starts.draw_start(key, params, self._plan(params)))

    def _restarted(self, key: jax.Array, params: EnvParams) -> EnvState:
        """Where an episode has ended; `key` is that of the step."""
        return self._fresh_account(starts.reset_key(key), params)

    def _plan(self, params: EnvParams) -> starts.SessionPlan:
        return params.plan if isinstance(params, PreparedParams) else starts.session_plan(params, self.window)

    def _new_account(
        self, params: EnvParams, market_id: jax.Array, bar: jax.Array, forced_side: jax.Array, idle: Any = False
    ) -> EnvState:
        """A flat account at a decision bar; an `idle` one may not enter, and its first step ends the episode."""
        balance, limit = rules.cents(params.initial_balance), rules.cents(params.trailing_dd_limit)
        zeros = {name: jnp.int32(0) for name in self.State.__dataclass_fields__}
        over = jnp.asarray(idle, jnp.bool_)
        flags = {"day_over": over, "terminated": jnp.bool_(False), "data_end": over}
        account = {
            "initial_balance": balance,
            "balance": balance,
            "equity": balance,
            "high_water_mark": balance,
        }
        account |= {"session_start_equity": balance, "trailing_limit": limit, "session_number": jnp.int32(1)}
        place = {"step_idx": bar, "market_id": market_id, "forced_side": forced_side}
        floor = rules.floor_of(balance, limit, balance, params)
        state = self.State(**{**zeros, **flags, **account, **place, "floor": floor})
        return life.open_account(state, params) if self.account_life else state

    # -- observation (section 5) --

    def _observation(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Window, position, and the account where asked for; float32 `obs_shape`."""
        window = observation.market_window(state, params, self.window)
        return observation.joined(window, self._account_numbers(state, params))

    def _account_numbers(self, state: EnvState, params: EnvParams) -> jax.Array:
        """What stands behind the window, float32 [K]."""
        now, _ = pair_of_bars(params.market, state.market_id, state.step_idx)
        parts = [self._position_features(state, now)]
        if self.account_features:
            parts.append(observation.account_features(state, self._in_force(state, params)))
            parts += [life.features(state, params)] if self.account_life else []
        if self.entry_sizes:
            parts.append(sizes.feature(state, params, self.entry_sizes))
        if self.num_one_hot:
            parts.append(observation.market_one_hot(state, params.market, self.num_one_hot))
        return jnp.concatenate(parts)

    def _position_features(self, state: EnvState, now: Bar) -> jax.Array:
        """Phase 2 appends the management of the stop."""
        return observation.position_features(state, now)


def _market_data(data: Any, market: Any, options: dict[str, Any]) -> MarketData:
    """The constructor's data argument -> MarketData."""
    extra = ", ".join(["market"] * (market is not None) + list(options))
    if isinstance(data, MarketData):
        if extra:
            raise ValueError(f"data is already a MarketData; {extra} cannot change how it was loaded")
        return data
    if data is None:
        if extra:
            raise ValueError(
                f"{extra} says how to load bars, but there is no data=; give a file or a DataFrame, or neither"
            )
        from trading_gymnax.synthetic import default_market  # the built-in market is needed only here

        return default_market()
    return load_market_data(data, market, **options)
