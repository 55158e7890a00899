"""The command line `trading-gymnax`: the only folder that imports the trainer. `main.main` runs it."""
