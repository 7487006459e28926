"""Where data comes from: NeoWs, and a simulator of it. Nothing here knows of a lake or of Dagster."""
