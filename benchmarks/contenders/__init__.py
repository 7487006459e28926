"""The exercise solved with other tools, each as its users would write it: one script, which reads NEOWS_BASE_URL,
NASA_API_KEYS and NEO_PAGES, leaves its files in the working directory, and prints as its last line the near misses by
orbiting body and the approaches by year, as one JSON object. They import nothing of ours: they run in another virtual
environment.
"""
