"""The HTTP client of the API server: configuration, credentials, errors, watch streams."""
