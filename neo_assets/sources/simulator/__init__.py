"""A simulated NeoWs to run and test against: an invented catalogue of NEOs, and the ASGI application that serves it.

Nothing here depends on the rest of `neo_assets`.
"""
