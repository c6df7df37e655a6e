"""Where the system runs: the stack on one machine, and the deployment."""
