"""Each error's classification: whether to retry, whether it concerns all pages, whether it is an outage."""

import pytest

from neo_assets.sources.neows import errors

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
