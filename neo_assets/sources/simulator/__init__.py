"""A NeoWs to run and test against: an invented catalogue of near-Earth objects and the ASGI application that serves it.

Nothing here knows the rest of `neo_assets`.
"""
