"""The NeoWs API as if Dagster did not exist: requests, errors, redaction, parsing. Nothing here knows of a lake or a
graph.
"""
