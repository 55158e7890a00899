"""What `bench.py` measures, one function a contender, each run in a process of its own by `worker.py`.

A function takes its settings as keyword arguments and returns `(measure, facts)`: `measure()` does the work once and
gives numbers by name, `facts` are numbers and words of the preparation ("compile_s" among them).
"""
