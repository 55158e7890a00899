"""A random key of its own for every purpose."""

import zlib

import jax


def stream(key: jax.Array, purpose: str) -> jax.Array:
    """The typed key of a purpose: no other purpose has it, nor does anything that splits `key` itself.

    `jax.random.split(key, n)[i]` is `jax.random.fold_in(key, i)`. Whoever judges with the key that a trainer got too,
    and splits it or folds a small number into it, draws with the numbers that made the network and the environments.
    """
    return jax.random.fold_in(key, zlib.crc32(purpose.encode()))
