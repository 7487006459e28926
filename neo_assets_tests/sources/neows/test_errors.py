"""Each error's classification: whether to retry, whether it concerns all pages, whether it is an outage."""

import pickle

import pytest

from neo_assets.sources.neows import errors
from neo_assets.sources.neows.budget import BudgetError

VERDICTS = {
    errors.KeyRejected: (False, True, False),
    errors.Refused: (False, True, False),
    errors.NotFound: (False, False, False),
    errors.BadRequest: (False, False, False),
    errors.Misconfigured: (False, True, False),
    errors.CertificateRejected: (False, True, False),
    errors.RateLimited: (True, True, False),
    errors.Unavailable: (True, False, True),
    errors.Unreachable: (True, False, True),
    errors.NotAPage: (True, False, True),
    errors.FetcherEnded: (True, False, False),
    errors.WrongPage: (True, False, False),
    errors.Outage: (True, True, False),
}


def test_every_error_has_its_verdict_here() -> None:
    assert set(errors.NeoWsError.__subclasses__()) == set(VERDICTS)


@pytest.mark.parametrize("kind", VERDICTS, ids=lambda kind: kind.__name__)
def test_verdict(kind: type[errors.NeoWsError]) -> None:
    assert (kind.retryable, kind.concerns_all, kind.is_outage) == VERDICTS[kind]
    assert str(kind("host answered")) == "host answered"
    assert kind("host answered", 2_870).retry_after_s == 2_870


@pytest.mark.parametrize(
    "error",
    [
        *(kind("host answered", 2_870) for kind in (*VERDICTS, errors.OtherJson)),
        errors.PagesMissing({3: errors.RateLimited("over the limit", 2_870), 4: errors.NotFound("no such page")}, 10),
        BudgetError("the ledger cannot be used"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_can_be_told_to_another_process(error: Exception) -> None:
    assert told(pickle.loads(pickle.dumps(error))) == told(error)


def told(error: Exception) -> object:
    """What there is to know of an error."""
    pages = {number: told(one) for number, one in getattr(error, "failed", {}).items()}
    return type(error), str(error), getattr(error, "retry_after_s", None), getattr(error, "asked", None), pages
