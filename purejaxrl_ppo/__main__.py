"""`python -m purejaxrl_ppo` is the command `purejaxrl-ppo`."""

from _console_start import purejaxrl_ppo

if __name__ == "__main__":
    purejaxrl_ppo()
