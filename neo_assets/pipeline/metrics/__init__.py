"""Metrics: one SQL file per table, and the engines that run it. Nothing here reads or writes the lake."""
