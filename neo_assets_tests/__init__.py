"""Tests of `neo_assets`, mirroring the package; what spans several parts stands in `integration`."""
