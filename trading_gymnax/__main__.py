"""`python -m trading_gymnax` is the command `trading-gymnax`."""

from trading_gymnax.cli.main import main

if __name__ == "__main__":
    main()
