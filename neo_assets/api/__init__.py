"""The read API that `neo serve` offers: the lake's products over HTTP. It never writes to the lake."""
