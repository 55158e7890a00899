"""Options of XLA for programs that run once: they are to compile fast, not to run fast.

`python -m tests.quick` prints them as XLA_FLAGS takes them: under them the fast suite takes half of the time.
"""

import importlib.metadata

OPTIONS = {"xla_backend_optimization_level": 0}
if tuple(map(int, importlib.metadata.version("jax").split(".")[:2])) < (0, 11):  # later ones have no other emitters
    OPTIONS["xla_cpu_use_fusion_emitters"] = False
FLAGS = " ".join(f"--{name}={int(value)}" for name, value in OPTIONS.items())

if __name__ == "__main__":
    print(FLAGS)
