"""The retry policy's waits."""

import itertools

from neo_assets.sources.neows.retry_policy import RetryPolicy


def test_the_wait_doubles_with_jitter_up_to_the_longest() -> None:
    policy = RetryPolicy(first_wait_s=1, longest_wait_s=60)
    waits = [policy.wait_s(failures) for failures in range(1, 11)]
    least = [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert all(low <= wait <= low + 1 for low, wait in zip(least, waits, strict=True))
    assert all(one != other for one, other in itertools.pairwise(waits))


def test_any_number_of_failures_is_allowed() -> None:
    assert RetryPolicy(first_wait_s=0, longest_wait_s=60).wait_s(10**6) == 0
    assert 60 <= RetryPolicy().wait_s(10**6) <= 61
