"""`python -m trading_gymnax` is the command `trading-gymnax`."""

from _console_start import trading_gymnax

if __name__ == "__main__":
    trading_gymnax()
