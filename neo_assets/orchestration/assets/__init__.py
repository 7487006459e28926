"""The asset graph, one module per storey of the lake: bronze, silver, gold. Resources, checks and schedules live beside
it.
"""
