"""Dollars that an account may still bring its trader, were the market a fair game: the potential of a shaped reward.

Closed forms of a driftless continuous equity, which reads a state and parameters (docs/rules.md, section 9) and looks
at no bar. They leave out what takes time: minimum and winning days, consistency, monthly fees, the daily limit, and
that a floor may follow at the end of the day only. A potential need not be right: shaping by any function of the state
leaves the optimal policy what it is; the nearer it is to the value, the sooner is the account's end felt.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from trading_gymnax import rules


def odds_of_reaching(
    level: jax.Array, equity: jax.Array, mark: jax.Array, floor: jax.Array, limit: jax.Array, highest_floor: jax.Array
) -> jax.Array:
    """Probability that a driftless equity reaches `level` before a floor that trails its high-water mark; float32.

    All in dollars: the floor now, the distance at which it trails the mark, and the highest floor there can be (inf:
    none). To the mark the floor stands still, and of two levels the nearer is the likelier one, in proportion. Above
    it each dollar more costs the share 1 / limit of the accounts, so that exp(-x / limit) are left after x dollars (J.
    Lehoczky, "Formulas for stopped diffusion processes with stopping times based on the maximum", Annals of
    Probability 5(4), 1977), until the floor locks and stands still again.
    """
    locks_at = highest_floor + limit
    to_mark = _share(equity - floor, jnp.minimum(mark, level) - floor)
    trails_to = jnp.clip(level, mark, jnp.maximum(locks_at, mark))
    trailing = jnp.exp(-(trails_to - mark) / limit)
    last_floor = jnp.maximum(floor, jnp.minimum(trails_to - limit, highest_floor))
    locked = _share(trails_to - last_floor, level - last_floor)
    return jnp.where(equity >= level, 1.0, to_mark * trailing * locked)


def _share(part: jax.Array, whole: jax.Array) -> jax.Array:
    """part / whole from 0 to 1; 1 where there is nothing to go."""
    return jnp.where(whole > 0, jnp.clip(part / jnp.where(whole > 0, whole, 1.0), 0.0, 1.0), 1.0)


def expected_dollars(state: Any, params: Any) -> jax.Array:
    """What the account may still bring after fees to come, float32; of scalars, and 0 for an account without a target.

    Funded: `funded_dollars`. In evaluation: the odds of the target, times what a fresh funded account brings, less its
    activation fee; without a funded phase nothing.
    """
    start, equity, mark, floor = (
        _dollars(x) for x in (state.initial_balance, state.equity, state.high_water_mark, state.floor)
    )
    limit = jnp.where(state.trailing_limit == rules.OFF, jnp.inf, _dollars(state.trailing_limit))
    now = funded_dollars(state, start, equity, mark, floor, limit, params)
    fresh_limit = params.funded_trailing_dd_limit
    fresh_floor = jnp.minimum(start - fresh_limit, start + params.funded_floor_lock)
    fresh = funded_dollars(state, start, start, start, fresh_floor, fresh_limit, params) - params.activation_fee
    on = jnp.isfinite(params.profit_target)
    target = start + jnp.where(on, params.profit_target, 0.0)
    odds = _odds(target, equity, mark, floor, limit, start + params.floor_lock)
    passes = params.funded_phase & on
    return jnp.where(state.funded, now, jnp.where(passes, odds * fresh, 0.0))


def funded_dollars(
    state: Any, start: jax.Array, equity: jax.Array, mark: jax.Array, floor: jax.Array, limit: jax.Array, params: Any
) -> jax.Array:
    """The trader's share of all payouts of a funded account that stands so, float32 dollars.

    The least balance that pays is reached with `odds_of_reaching`. From there on everything above it is taken, and what
    is taken and the balance together stay a fair game: on average as much is taken as lies between the balance and the
    floor at which the account ends. A floor that still trails rises by what is taken, over room r by x dollars in all:
    r - x + x^2 / 2r. No more is paid than the next cap for each payout that is left.
    """
    highest_floor = start + params.funded_floor_lock
    lifted = jnp.where(state.payouts == 0, start + params.payout_floor, -jnp.inf)
    lifted = jnp.where(jnp.isinf(lifted), floor, jnp.maximum(floor, lifted))
    least = params.payout_minimum / jnp.maximum(params.payout_share, 1e-4)
    level = jnp.maximum(start + params.payout_buffer, lifted) + least
    reached = jnp.maximum(level, equity)
    end = jnp.maximum(jnp.minimum(jnp.maximum(mark, reached) - limit, highest_floor), jnp.maximum(lifted, 0.0))
    room = jnp.maximum(reached - end, 0.0)
    rise = jnp.clip(jnp.where(jnp.isinf(limit), 0.0, highest_floor - end), 0.0, room)
    taken = room - rise + _share(rise, 2 * room) * rise
    caps = params.payout_cap
    left = jnp.where(params.payouts_at_most > 0, params.payouts_at_most - state.payouts, jnp.inf)
    cap = caps[jnp.minimum(state.payouts, caps.shape[-1] - 1)]
    most = jnp.where(left > 0, cap * jnp.maximum(left, 1), 0.0)  # inf times 0 is no number
    odds = _odds(level, equity, mark, floor, limit, highest_floor)
    return params.payout_split * odds * jnp.minimum(taken, most)


def _odds(
    level: jax.Array, equity: jax.Array, mark: jax.Array, floor: jax.Array, limit: jax.Array, highest_floor: jax.Array
) -> jax.Array:
    """`odds_of_reaching`, and 1 for an account that nothing ends."""
    on = jnp.isfinite(limit)
    trailing = odds_of_reaching(
        level, equity, mark, jnp.where(on, floor, 0.0), jnp.where(on, jnp.maximum(limit, 0.01), 1.0), highest_floor
    )
    return jnp.where(on, trailing, 1.0)


def _dollars(amount: jax.Array) -> jax.Array:
    return amount.astype(jnp.float32) / 100
