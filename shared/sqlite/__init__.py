"""SQLite files that many processes write to at once, and the deliveries of the embedded bus and queue in one."""
