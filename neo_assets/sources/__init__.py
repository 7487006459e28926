"""Sources of data: NeoWs, and a simulator of it. Nothing here depends on the lake or on Dagster."""
