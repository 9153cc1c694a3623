"""How many examples a generator of tests tries: few in ``make test``, many more in each round of ``make fuzz``."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

ROUND = 1000
"""What the profile ``fuzz`` takes for the usual 100 examples."""


def bounded(examples: int) -> settings:
    """Give settings for so many examples in ``make test``, and as many times more as the profile in use says."""
    return settings(
        max_examples=examples * settings().max_examples // 100,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
