"""The NeoWs API: requests, errors, redaction, parsing. Nothing here depends on the lake or on Dagster."""
