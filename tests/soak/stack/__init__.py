"""The stack under test: a process of its own, with proxies around it, and what it keeps."""
