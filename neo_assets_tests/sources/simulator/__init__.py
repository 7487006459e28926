"""Tests of `neo_assets.sources.simulator`: that it looks like NeoWs, counts like NeoWs and drifts like NeoWs."""
