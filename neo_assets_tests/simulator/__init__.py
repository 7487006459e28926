"""Tests of `neo_assets.simulator`: that it looks like NeoWs, counts like NeoWs and drifts like NeoWs."""
