"""The read API that `neo serve` offers: the lake's products over HTTP. It computes and changes nothing."""
