"""Messages and tasks that were given up: listing them with their reasons, and delivering them again."""
