"""A process that trades the bars of `desk` from its folder on and says each bar; `test_recovery` kills it at random."""

import pathlib
import sys

from tests.live.desk import close_of, holds_then_sells, market, trader


def main(folder: pathlib.Path) -> None:
    made = trader(holds_then_sells, folder, durable=True)
    for bar in market().coming:
        if made.feed.last is not None and close_of(bar) <= made.feed.last:
            continue
        made.on_bar(bar)
        print("bar", flush=True)
    print("end", flush=True)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
