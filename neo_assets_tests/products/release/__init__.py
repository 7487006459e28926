"""Tests of a release: each text in it, and the folder that it is written to."""
