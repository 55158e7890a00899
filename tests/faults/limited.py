"""A command line with little memory: `python -m tests.faults.limited MEGABYTES purejaxrl_ppo.cli.main train ...`."""

import importlib
import pathlib
import resource
import sys


def main() -> None:
    """Run it in so many megabytes of addresses beyond those that the imported program has."""
    program = importlib.import_module(sys.argv[2]).main
    for late in ("gymnax", "purejaxrl_ppo.fit"):  # what a training imports once it knows what to do
        importlib.import_module(late)
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + int(sys.argv[1]) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    program(sys.argv[3:])


if __name__ == "__main__":
    main()
