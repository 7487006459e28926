"""Where bytes go: one layout on local disk and S3. What the bytes mean is the business of `neows` and `metrics`."""
