"""The asset graph, one module for each layer of the lake (bronze, silver, gold) and one for landed objects."""
