"""The command line `purejaxrl-ppo`. `main.main` runs it."""
