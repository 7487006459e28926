"""Tests of the NeoWs client, its errors and its parser."""
