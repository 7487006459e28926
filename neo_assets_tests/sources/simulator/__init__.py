"""Tests of `neo_assets.sources.simulator`: it looks, counts and drifts like NeoWs."""
