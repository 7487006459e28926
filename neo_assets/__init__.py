"""NASA's near-Earth objects (NEOs) gathered from the NeoWs Browse API into a data lake by a Dagster asset graph."""
