"""The `neo` command. What it does is done by `pipeline` and by the graph; here it is started and reported."""
