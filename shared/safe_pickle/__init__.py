"""Reading pickles of plain data from untrusted senders, without executing anything."""
