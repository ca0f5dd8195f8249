"""Errors that reach the user: one sentence that names the parameter, the bad value and the mend."""


class CarbonError(Exception):
    """Base of every error whose message is meant for the user."""


class InputError(CarbonError):
    """An input that cannot be used.

    Parameters
    ----------
    parameter : name of the parameter as the user sees it in the request, for example ``parcels``.
    problem : what is wrong, with the bad value in it.
    mend : what to do about it, as an instruction.
    """

    def __init__(self, parameter: str, problem: str, mend: str):
        self.parameter, self.problem, self.mend = parameter, problem, mend
        super().__init__(f"Parameter {parameter}: {problem.rstrip('.')}. {mend.rstrip('.')}.")


class MassError(CarbonError):
    """Emissions were lost or counted twice beyond the tolerance."""


class Cancelled(CarbonError):
    """The user asked the job to stop."""

    def __init__(self):
        super().__init__("Cancelled; nothing was written.")
