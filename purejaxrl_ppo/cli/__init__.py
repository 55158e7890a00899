"""The command line `purejaxrl-ppo`.

Users type it, or call `main.main` with what would be typed; the modules are for the program itself.
"""
