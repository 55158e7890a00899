"""`python -m purejaxrl_ppo` is the command `purejaxrl-ppo`."""

from purejaxrl_ppo.cli.main import main

if __name__ == "__main__":
    main()
