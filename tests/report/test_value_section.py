"""The verdict in dollars for each dollar of fees, worked by hand."""

import math

import pytest

from trading_gymnax.survival.estimates import Days, Estimate
from trading_gymnax.survival.value_result import AccountCase, AccountValues, Value

NONE = Days(Estimate(math.nan, math.nan, math.nan), math.nan, math.nan)
HALF = Estimate(0.5, 0.4, 0.6)


def value(usd, low, high, fees=100.0):
    """Of lives that leave so much after fees; without fees there is nothing to divide by."""
    ends = [(x + fees) / fees if fees else math.nan for x in (usd, low, high)]
    money = (HALF, fees, Estimate(usd, low, high), Estimate(*ends), None)
    return Value(HALF, HALF, HALF, NONE, NONE, *money)


def values(policy, coin, *others) -> AccountValues:
    """The account of parameters with 1 contract at a time, and the policy with 2 and more."""
    cases = [AccountCase(None, 1, policy, coin)]
    cases += [AccountCase(None, 2 + at, other, coin) for at, other in enumerate(others)]
    return AccountValues(tuple(cases), 40, 60, 5.0, 10_000, "2025-01-01 to 2025-03-01", None, ("A note.",))


COIN = value(-20, -30, -10)


@pytest.mark.parametrize(
    ("found", "standing", "said"),
    [
        (
            values(value(150, 20, 260), COIN),
            "good",
            "The account x PAYS out of sample: with 1 at a time a dollar of fees earns 2.50 (1.20 to 3.60) dollars, in "
            "the hands of a coin that enters as often 0.80 (0.70 to 0.90).",
        ),
        (values(value(150, -1, 260), COIN, COIN), "unsure", "IS NOT PROVEN TO PAY out of sample: "),
        (values(value(150, 20, 260), value(151, 30, 270)), "unsure", "IS NOT PROVEN TO PAY"),
        (values(value(0, -1, 1), COIN), "bad", "DOES NOT PAY"),
        (values(value(50, 1, 99), COIN, value(40, 1, 90)), "good", "0.90). None of 1 other sizes earns more."),
        (
            values(value(50, 1, 99), COIN, value(40, 1, 90), value(60, 5, 90)),
            "good",
            "The best of 3 sizes on these sessions is that with 3 at a time, 1.60 (1.05 to 1.90).",
        ),
        (
            values(value(50, 1, 99, fees=0), value(-5, -9, -1, fees=0)),
            "good",
            "an account earns +50 (+1 to +99) dollars, in the hands of a coin that enters as often -5 (-9 to -1).",
        ),
    ],
)
def test_a_verdict_in_dollars_of_fees(found, standing, said):
    assert found.standing == standing
    assert said in found.verdict_per_fee("x", "out of sample")
