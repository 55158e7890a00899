"""Options of XLA for programs that run once: they are to compile fast, not to run fast."""

import jax

OPTIONS = {"xla_backend_optimization_level": 0}
if jax.__version_info__ < (0, 11):  # later ones have no other emitters
    OPTIONS["xla_cpu_use_fusion_emitters"] = False
FLAGS = " ".join(f"--{name}={int(value)}" for name, value in OPTIONS.items())  # as XLA_FLAGS takes them
