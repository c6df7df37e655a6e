"""Reading pickles of plain data that strangers made, without executing anything."""
