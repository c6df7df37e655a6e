"""Configuration of a deployment: settings from the environment, the datasets, addresses, and the version."""
