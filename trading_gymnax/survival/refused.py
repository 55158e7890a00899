"""The error by which `survival` refuses."""


class SurvivalRefused(ValueError):
    """The odds of these accounts cannot be had from this policy and view; the message says why."""
