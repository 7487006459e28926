"""Loaded by Schemathesis: the rule of parameters that OpenAPI has no words for. No assertions here."""

from typing import Any

import schemathesis

from neo_assets.api.parameters import ApproachParameters


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Let no range of valid parameters end before it begins, by having both ends at one place."""
    if not case.meta or not case.meta.generation.mode.is_positive:
        return
    for first, last in ApproachParameters.ranges:
        one, other = ApproachParameters.name_of(first), ApproachParameters.name_of(last)
        if one in case.query and other in case.query:
            case.query[other] = case.query[one]
