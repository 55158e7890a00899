"""Errors that end a training though nothing was wrong with what it was given; without JAX."""


class CheckpointError(RuntimeError):
    """No checkpoint of a run can be read, or one cannot be written."""


class ProcessLost(RuntimeError):
    """Another process of the run ended or failed; all of them, started again, go on from the last checkpoint.

    `wrong_input`: it failed over what it was given, and would again.
    """

    def __init__(self, message: str, wrong_input: bool = False) -> None:
        super().__init__(message)
        self.wrong_input = wrong_input
