"""Where bytes are stored: the same paths on local disk and S3. Nothing here fetches, parses or computes."""
