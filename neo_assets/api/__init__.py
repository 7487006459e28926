"""The read API that `neo serve` offers: the lake's products over HTTP; to the lake it only adds files that land."""
