"""What a deployment is told: settings from the environment, the datasets, addresses, and the version."""
