"""The command line `trading-gymnax`: the only folder that imports the trainer.

Users type it, or call `main.main` with what would be typed; the modules are for the program itself.
"""
